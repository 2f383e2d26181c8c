//! What publishers send: the JSON of `POST /v1/events`, the query of `POST /v1/channels/{channel}/events`, the answers.
//!
//! Called by the publish service with a body that already fits `[limits] body`. All or nothing: the first mistake, in
//! the order of the text, rejects everything. Fields: `channel` or `channels` (1 to 64 names, repeated ones count
//! once), `user` (a text or a whole number; alone or beside them), `event`, `data`, `id`, `retry` (whole milliseconds),
//! `keep` (`all`, `last`, `none`), `close`, `except` (a stream's id). `null` is the same as leaving a field out, except in `data`: there it is a value like any other and is sent as the text `null`. A string
//! in `data` is sent as its text; anything else as compact JSON in which numbers and the order of keys are kept exactly
//! as they were written. `data` may be left out only with `close`, which then only ends the streams: a name or an id
//! beside it reaches nobody.

pub(super) mod event;
pub(super) mod json;
pub mod ndjson;
#[cfg(test)]
mod properties;
pub(super) mod query;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::HeaderName;
use serde::Serialize;

use crate::domain::Event;
use crate::wire::problem::Problem;

pub use query::from_query;

/// The header by which a view publishes: on its answer, one event or an array of them; it may repeat.
pub const HEADER: HeaderName = HeaderName::from_static("sse-publish");

/// The most channels of one event.
const MOST_CHANNELS: usize = 64;

/// How much one publish may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest `data` of one event, in bytes, as it is sent.
    pub max_event: usize,
    /// The most events of one batch.
    pub max_batch: usize,
}

/// What a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// An object: one event.
    One(Event),
    /// An array: these events, all or nothing. It may be empty.
    Batch(Vec<Event>),
}

impl Publish {
    /// The events.
    pub fn events(&self) -> &[Event] {
        match self {
            Self::One(event) => std::slice::from_ref(event),
            Self::Batch(events) => events,
        }
    }

    /// Whether they are the elements of an array.
    pub const fn is_batch(&self) -> bool {
        matches!(self, Self::Batch(_))
    }
}

/// Why a publish is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The body is not JSON, or not UTF-8.
    #[error("line {line}, column {column}: {detail}")]
    BadJson {
        /// The line of the mistake, counted from 1.
        line: usize,
        /// The byte in that line, counted from 1; 0 when the body ends right before it.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// The body is JSON, but this value is wrong.
    #[error("{}{message}", prefix(.pointer))]
    Field {
        /// Where: an RFC 6901 pointer.
        pointer: String,
        /// What is wrong.
        message: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// This parameter of the query is wrong.
    #[error("{name:?}: {message}")]
    Parameter {
        /// Its name, cut if it is long.
        name: String,
        /// What is wrong.
        message: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// The data of an event is too long.
    #[error("{}the data of an event has at most {limit} bytes", prefix(.pointer))]
    TooLarge {
        /// Where: an RFC 6901 pointer.
        pointer: String,
        /// The most bytes allowed.
        limit: usize,
    },
    /// A batch has too many events.
    #[error("a batch has at most {limit} events")]
    TooMany {
        /// The most events allowed.
        limit: usize,
    },
}

fn prefix(pointer: &str) -> String {
    if pointer.is_empty() {
        String::new()
    } else {
        format!("{pointer}: ")
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        let detail = rejected.to_string();
        match rejected {
            Rejected::BadJson { .. } => Self::bad_json(detail),
            Rejected::Field { pointer, hint, .. } => {
                Self::invalid_field(detail).at(pointer).with_hint(hint)
            }
            Rejected::Parameter { name, hint, .. } => Self::invalid_parameter(detail)
                .in_parameter(name)
                .with_hint(hint),
            Rejected::TooLarge { pointer, .. } => Self::too_large(detail).at(pointer),
            Rejected::TooMany { .. } => Self::too_large(detail).at(String::new()),
        }
    }
}

/// Reads the body of `POST /v1/events`.
pub fn read(body: &[u8], limits: Limits) -> Result<Publish, Rejected> {
    let whole = json::document(body)?;
    match json::elements(whole, limits.max_batch) {
        Some(Ok(elements)) => elements
            .iter()
            .enumerate()
            .map(|(index, element)| event::read(element, &format!("/{index}"), limits.max_event))
            .collect::<Result<_, _>>()
            .map(Publish::Batch),
        Some(Err(json::TooMany)) => Err(Rejected::TooMany {
            limit: limits.max_batch,
        }),
        None => event::read(whole, "", limits.max_event).map(Publish::One),
    }
}

/// Whether the event with this number in a body that was read, from 0, names its channels by `channels`. A body that is no batch
/// has one event only.
pub fn lists_channels(body: &[u8], number: usize) -> bool {
    let Ok(whole) = json::document(body) else {
        return false;
    };
    match json::elements(whole, usize::MAX) {
        Some(Ok(elements)) => elements.get(number).is_some_and(|one| event::lists(one)),
        Some(Err(json::TooMany)) => false,
        None => event::lists(whole),
    }
}

/// Reads the value of a [`HEADER`]: what the body of `POST /v1/events` is, in ASCII, for a header has no
/// encoding that both sides would agree upon.
pub fn read_header(value: &[u8], limits: Limits) -> Result<Publish, Rejected> {
    if let Some(at) = value.iter().position(|b| !b.is_ascii()) {
        return Err(Rejected::BadJson {
            line: 1,
            column: at + 1,
            detail: "not ASCII; json.dumps writes ASCII unless told otherwise".to_owned(),
        });
    }
    read(value, limits)
}

/// The answer to one event: its id, and how many open streams are on its channels.
pub fn published_one(id: &str, streams: usize) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        id: &'a str,
        streams: usize,
    }
    json::write(&Answer { id, streams })
}

/// The answer to a batch: how many events are in the log now, and the id of the last one.
pub fn published_batch(published: usize, last_id: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        published: usize,
        last_id: Option<&'a str>,
    }
    json::write(&Answer { published, last_id })
}
