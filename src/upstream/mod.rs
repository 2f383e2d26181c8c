//! The client towards Django.

mod settings;

pub use settings::*;
