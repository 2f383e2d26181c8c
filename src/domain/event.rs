//! An event as a publisher means it, before it has a place in the log.

use std::fmt;

use bytes::Bytes;

use super::{ChannelName, StreamId};

/// The longest event name or id, in bytes.
const LONGEST: usize = 1024;

/// A text that cannot be a field of an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// CR, LF or NUL: the first two would end the line and forge a field, the last makes a browser ignore an id
    /// (WHATWG HTML, 9.2.6).
    #[error("must not contain CR, LF or NUL")]
    LineBreak,
    /// More than 1,024 bytes.
    #[error("must have at most {LONGEST} bytes")]
    TooLong,
    /// Nothing at all, where that would have no meaning.
    #[error("must not be empty")]
    Empty,
    /// An id that no client could send back in a header (RFC 9110, section 5.5).
    #[error("must not begin or end with a blank, nor contain control characters")]
    NoHeader,
}

fn checked(text: &str) -> Result<Box<str>, InvalidField> {
    if text.is_empty() {
        return Err(InvalidField::Empty);
    }
    if text.len() > LONGEST {
        return Err(InvalidField::TooLong);
    }
    if text.contains(['\r', '\n', '\0']) {
        return Err(InvalidField::LineBreak);
    }
    Ok(text.into())
}

/// The `event:` field. Without one a browser dispatches `message`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventName(Box<str>);

impl EventName {
    /// Checks that `text` fits on one line and is not empty.
    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        checked(text).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An `id:` that the publisher gave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublisherId(Box<str>);

impl PublisherId {
    /// Checks that `text` fits on one line, is not empty (an empty id would erase the client's), and can come back in
    /// `Last-Event-ID`.
    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        let checked = checked(text)?;
        let blank = |c: Option<char>| c.is_some_and(|c| matches!(c, ' ' | '\t'));
        let control = text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f);
        if control || blank(text.chars().next()) || blank(text.chars().next_back()) {
            return Err(InvalidField::NoHeader);
        }
        Ok(Self(checked))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `retry:` value: milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryMs(pub u32);

/// What history retains of an event for those who come later. Streams that are open get every event, whatever is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// It stays as long as history reaches.
    #[default]
    All,
    /// The newest of its name in its channel stays, as the state for whoever comes later; the one before goes.
    Last,
    /// Nothing: only streams that are open get it, and to have missed it is no gap.
    None,
}

/// What a publisher hands in. `wire` encodes it, the log gives it its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The channels it goes to: at least one, no name twice.
    pub channels: Vec<ChannelName>,
    /// The `event:` field.
    pub name: Option<EventName>,
    /// The text of the event, UTF-8; `None` only for a bare `close`.
    pub data: Option<Bytes>,
    /// The publisher's own id. Unset: the log's.
    pub id: Option<PublisherId>,
    /// The `retry:` field.
    pub retry: Option<RetryMs>,
    /// What history retains of it.
    pub keep: Keep,
    /// Whether the channels' streams end after this event.
    pub close: bool,
    /// A stream that must not get it.
    pub except: Option<StreamId>,
}
