//! What other packages publish through Redis, as events: the messages of django-sse, plain JSON, and django-eventstream.
//!
//! Called by `redis` for each message, after `config` has read the [`Format`] of a rule. Which channel an event goes to is
//! said by a template, whose variables [`Message::field`] knows. Invariant: a [`Message`] is an event that the log takes
//! as it is, and what cannot be one is [`Malformed`], whatever the bytes.

mod django_sse;
mod eventstream;
mod json;
mod python;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::{EventName, PublisherId};

/// How the messages on a Redis channel are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `["event", "data"]`, as `django_sse.redisqueue.send_event` writes it.
    DjangoSse,
    /// An object, which is the data of the event as it stands.
    Json,
    /// What django-eventstream writes if it has `EVENTSTREAM_REDIS`.
    DjangoEventstream,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The `event:` field.
    pub name: Option<EventName>,
    /// The text of the event.
    pub data: Bytes,
    /// The id that the publisher gave.
    pub id: Option<PublisherId>,
    /// What a template may ask for.
    fields: Fields,
}

#[derive(Debug, Clone, PartialEq)]
enum Fields {
    /// Nothing: the message is for whoever listens to its Redis channel.
    None,
    /// The message's own channel.
    Channel(String),
    /// All that is in the object.
    Object(Value),
}

/// A message that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is no text.
    #[error("not UTF-8")]
    NotUtf8,
    /// It is no JSON.
    #[error("not JSON")]
    NotJson,
    /// It is JSON, but not what the format asks for.
    #[error("not of this format")]
    Shape,
}

/// Reads a message.
pub fn read(format: Format, payload: &[u8]) -> Result<Message, Malformed> {
    let text = std::str::from_utf8(payload).map_err(|_| Malformed::NotUtf8)?;
    match format {
        Format::DjangoSse => django_sse::read(text),
        Format::Json => json::read(text),
        Format::DjangoEventstream => eventstream::read(text),
    }
}

impl Message {
    /// What the message says under `name`: a string or a whole number, also further down, where the parts of the name
    /// have dots between them. `None` for anything else, and for an empty string, which would name the channel of nobody.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        let found: Option<Cow<'_, str>> = match &self.fields {
            Fields::None => None,
            Fields::Channel(channel) => (name == "channel").then(|| channel.as_str().into()),
            Fields::Object(object) => {
                let mut parts = name.split('.');
                match parts.try_fold(object, |value, part| value.get(part))? {
                    Value::String(text) => Some(text.as_str().into()),
                    Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
                    _ => None,
                }
            }
        };
        found.filter(|text| !text.is_empty())
    }
}

/// Reads a type of serde's. What does not fit is no JSON, or JSON of another shape.
fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|_| match as_json(text) {
        Ok(_) => Malformed::Shape,
        Err(malformed) => malformed,
    })
}

/// JSON as it stands. What was only looked over may hold half of a surrogate pair, which is no text.
fn as_json(text: &str) -> Result<String, Malformed> {
    let looked_through = serde_json::from_str::<Value>(text);
    let json = looked_through.map(|_| text.to_owned());
    json.map_err(|_| Malformed::NotJson)
}
