//! History.

mod settings;

pub use settings::*;
