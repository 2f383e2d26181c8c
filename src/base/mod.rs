//! What every floor above needs and the domain does not know: logging, metrics, where access lines go, bells, locks, random
//! bits. Floor 1.

pub mod access;
pub mod bell;
pub mod descriptors;
pub mod handler;
pub mod keys;
pub mod live;
pub mod log;
pub mod metrics;
pub mod named;
pub mod random;
pub mod seldom;
pub mod sync;
pub mod systemd;
