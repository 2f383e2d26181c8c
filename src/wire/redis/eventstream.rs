//! django-eventstream with `EVENTSTREAM_REDIS`: an object that names channel, type, data and the number of the event.
//!
//! The id on the wire is that of the package, the quoted channel and the number, so that clients keep what they know.
//! Whom to leave out does not travel through Redis, so it is lost here as it is for the package's own listener.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::python::formatted;
use super::{Fields, Malformed, Message, as_json, parsed};
use crate::domain::{EventName, PublisherId};

/// What `urllib.parse.quote` quotes.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

#[derive(Deserialize)]
struct Written<'a> {
    channel: String,
    event_type: Value,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    pub_id: Value,
}

pub(super) fn read(text: &str) -> Result<Message, Malformed> {
    let written: Written<'_> = parsed(text)?;
    let name = formatted(&written.event_type).ok_or(Malformed::Shape)?;
    let name = match one_line(&name).as_str() {
        "" => None,
        name => Some(EventName::parse(name).map_err(|_| Malformed::Shape)?),
    };
    let id = match &written.pub_id {
        Value::Null => None,
        id => Some(id_of(&written.channel, id)?),
    };
    // It is JSON in a string; without `json_encode` whatever the site has handed in.
    let data = match written.data.get() {
        text if text.starts_with('"') => parsed(text)?,
        json => as_json(json)?,
    };
    Ok(Message {
        name,
        data: data.into(),
        id,
        fields: Fields::Channel(written.channel),
    })
}

fn id_of(channel: &str, id: &Value) -> Result<PublisherId, Malformed> {
    let id = formatted(id).ok_or(Malformed::Shape)?;
    let id = format!("{}:{id}", utf8_percent_encode(channel, QUOTED));
    PublisherId::parse(&one_line(&id)).map_err(|_| Malformed::Shape)
}

/// Without what would end a line, as the package takes it out.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], "")
}
