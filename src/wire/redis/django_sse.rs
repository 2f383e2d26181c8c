//! django-sse: a pair of an event's name and its data.
//!
//! The lines of the event are those that the package's own view would write, with two differences: empty data is an empty
//! `data:` line, without which no browser dispatches the event, and data that is neither a string nor a list of strings,
//! at which the package fails, is sent as the JSON it is.

use serde_json::Value;
use serde_json::value::RawValue;

use super::python::{formatted, lines};
use super::{Fields, Malformed, Message, as_json, parsed};
use crate::domain::EventName;

pub(super) fn read(text: &str) -> Result<Message, Malformed> {
    let (name, data): (Value, &RawValue) = parsed(text)?;
    let name = formatted(&name).ok_or(Malformed::Shape)?;
    // The package writes `event: ` for an empty name, which for a browser is as if it was not there.
    let name = match name.as_str() {
        "" => None,
        name => Some(EventName::parse(name).map_err(|_| Malformed::Shape)?),
    };
    Ok(Message {
        name,
        data: text_of(data.get())?.into(),
        id: None,
        fields: Fields::None,
    })
}

/// The text of the event, of which each line is one that the package would write.
fn text_of(json: &str) -> Result<String, Malformed> {
    if json.starts_with('"') {
        return Ok(joined(lines(&parsed::<String>(json)?)));
    }
    match serde_json::from_str::<Vec<String>>(json) {
        Ok(texts) => Ok(joined(texts.iter().flat_map(|text| lines(text)))),
        Err(_) => as_json(json),
    }
}

fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
