//! GRIP, the language in which Django tells a proxy to hold a request and publishes to what is held.
//!
//! `stream` reads what an answer says about holding it ([`Instruct`]) and delivers what was published ([`Stored`]);
//! `publish` reads the bodies of the control endpoint ([`read()`]); `config` makes the [`signature::Key`]s. GRIP's own words
//! are used here and nowhere else. Where Pushpin ends a stream because of a directive it does not know, the directive
//! stays as it is.
//!
//! Bounds: 100 channels of a hold, five filters of a channel, 64 entries of meta and 8 KiB, 10,000 items of a publish,
//! 1 KiB of a directive that is not over yet, 1,000 operations of a patch and 1 MiB that it copies.

mod body;
mod channel;
mod fields;
pub mod filter;
pub mod instruct;
pub mod item;
mod keep_alive;
pub mod link;
mod names;
mod parameters;
pub mod patch;
#[cfg(test)]
mod properties;
mod read;
pub mod signature;
mod stored;
pub mod template;
#[cfg(test)]
mod tests;

pub use channel::{Channel, Filter, Filters};
pub use filter::delivers;
pub use instruct::{BadInstruct, Instruct, Link, Mode, clean, has_instruct_body, is_instruct};
pub use item::{Action, Body, Item, ResponseFormat, StreamFormat};
pub use keep_alive::{KeepAlive, KeepAliveMode};
pub use link::{BadLink, resolve};
pub use names::{FEATURES, GRIP_FEATURE, GRIP_LAST, GRIP_SIG, last};
pub use read::{BadItem, BadItems, read};
pub use stored::{Stored, StoredStream};
pub use template::{Content, Encoding, render};

/// The most channels of one held request.
pub const MOST_CHANNELS: usize = 100;

/// The longest name of a channel, in bytes.
const LONGEST_NAME: usize = 512;

/// The longest id, in bytes.
const LONGEST_ID: usize = 1024;

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && !text.contains(char::is_control)
}

/// Whether an id can go back to Django in `Grip-Last`.
fn is_id(text: &str) -> bool {
    text.len() <= LONGEST_ID && !text.contains(char::is_control)
}
