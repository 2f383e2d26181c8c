//! Taking events.

mod settings;

pub use settings::*;
