//! How `tidegate tail` writes an event: one line, for people or as JSON.
//!
//! An event's text is foreign: line ends and control characters are shown escaped, so that it can neither begin a line
//! of its own nor command the terminal.

use std::fmt::Write as _;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::sse::Parsed;

/// What the events are and how they are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// The events come from a tap: the data of each is an object that describes the event that passed.
    pub(super) tap: bool,
    /// JSON instead of columns.
    pub(super) json: bool,
}

/// An event on the tap.
#[derive(Deserialize)]
struct Passed {
    channels: Vec<String>,
    event: Option<String>,
    id: Option<String>,
    data: Option<Box<RawValue>>,
}

/// Writes one event and flushes.
pub(super) fn write(out: &mut dyn io::Write, event: &Parsed, style: Style) -> io::Result<()> {
    let passed = style.tap.then(|| passed(&event.data)).flatten();
    let line = match (passed, style.json) {
        // White space between tokens may hold line ends; inside a JSON string they are always escaped.
        (Some(_), true) => event.data.replace(['\r', '\n'], " "),
        (Some(passed), false) => columns(&passed),
        (None, true) => plain(event),
        (None, false) => columns(&Passed {
            channels: Vec::new(),
            event: Some(event.event.clone()),
            id: Some(event.id.clone()),
            data: serde_json::value::to_raw_value(&event.data).ok(),
        }),
    };
    writeln!(out, "{line}")?;
    out.flush()
}

fn passed(data: &str) -> Option<Passed> {
    serde_json::from_str(data).ok()
}

fn plain(event: &Parsed) -> String {
    #[derive(Serialize)]
    struct Plain<'a> {
        event: &'a str,
        id: &'a str,
        data: &'a str,
    }
    let plain = Plain {
        event: &event.event,
        id: &event.id,
        data: &event.data,
    };
    serde_json::to_string(&plain).expect("texts can always be written as JSON")
}

fn columns(passed: &Passed) -> String {
    let mut line = String::new();
    column(&mut line, &passed.channels.join(","), "-");
    line.push(' ');
    column(&mut line, passed.event.as_deref().unwrap_or(""), "message");
    line.push(' ');
    column(&mut line, passed.id.as_deref().unwrap_or(""), "-");
    line.push(' ');
    let data = passed.data.as_deref().map_or("", RawValue::get);
    match serde_json::from_str::<String>(data) {
        Ok(text) => shown(&mut line, &text),
        Err(_) => shown(&mut line, data),
    }
    line
}

/// Text that may be foreign, or `nothing` if there is none.
pub(super) fn column(line: &mut String, text: &str, nothing: &str) {
    shown(line, if text.is_empty() { nothing } else { text });
}

fn shown(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            // Writing to a string never fails.
            let _written: std::fmt::Result = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
}
