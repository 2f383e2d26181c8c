//! Held streams.

mod settings;

pub use settings::*;
