//! What every floor above needs and the domain does not know: logging, metrics, locks. Floor 1.

pub mod log;
