//! Sockets to requests.

mod settings;

pub use settings::*;
