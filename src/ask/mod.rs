//! Who may listen.

mod settings;

pub use settings::*;
