//! The route table as a value: which entry answers a path. Floor 2.
//!
//! Built by `config`, asked by `proxy` for each request. Paths are written as in Django's `urls.py` and mean the same
//! (see [`PathPattern`]); the first entry that fits wins. What an entry leads to is the caller's type.

mod error;
mod location;
mod matcher;
mod pattern;
mod table;
mod template;

pub use error::{Cause, PatternError};
pub use location::Location;
pub use pattern::{Captures, PathPattern};
pub use table::{Entry, Table};
pub use template::ChannelTemplate;
