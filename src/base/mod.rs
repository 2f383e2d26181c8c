//! What every floor above needs and the domain does not know: logging, metrics, locks, random bits. Floor 1.

pub mod descriptors;
pub mod handler;
pub mod log;
pub mod metrics;
pub mod random;
pub mod sync;
