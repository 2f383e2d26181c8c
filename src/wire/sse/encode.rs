//! Writing an event stream.
//!
//! Called by `publish` (one [`event()`] per publish, shared by every stream) and by `stream` for what only one stream is
//! sent. The fields of an event come in the order `event`, `id`, `retry`, `data`: the short ones first, so that a human
//! who reads the wire sees what it is before a long text. Invariant: a value is cut or split at CR, LF and CRLF, and
//! nothing else ends a line for a browser.

use std::cell::Cell;
use std::fmt;
use std::io::Write as _;

use crate::domain::{Event, EventId, EventName, Frame, RetryMs};

/// The room that is kept for the next event, at most.
const MOST_ROOM: usize = 64 << 10;

/// A comment, which keeps the connection from looking idle and wakes no listener.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// Encodes `event`, whose id is the publisher's or else `own`, in one allocation once there is room. Without data (a bare
/// close) only the id is said, which no browser dispatches: but it comes back with the reconnect, which so is known to have
/// seen the end.
pub fn event(event: &Event, own: EventId) -> Frame {
    let Some(data) = &event.data else {
        return match &event.id {
            Some(id) => place(id),
            None => place(own),
        };
    };
    build(|out| {
        if let Some(name) = &event.name {
            out.field("event", name.as_str());
        }
        match &event.id {
            Some(id) => out.field("id", id),
            None => out.field("id", own),
        }
        if let Some(RetryMs(ms)) = event.retry {
            out.field("retry", ms);
        }
        out.data(data);
    })
}

/// The first bytes of a stream: `retry:`, a comment (so that `onopen` fires through any proxy), and the position as
/// `id:`, so that a client cut off before its first event still resumes. An id that could not stand on one line is left
/// out.
pub fn head(retry: RetryMs, id: Option<&str>) -> Frame {
    build(|out| {
        out.field("retry", retry.0);
        out.raw(b": stream open\n");
        if let Some(id) = id.filter(|id| !id.contains(['\r', '\n', '\0'])) {
            out.field("id", id);
        }
        out.raw(b"\n");
    })
}

/// Moves the client's last event id without an event.
pub fn place(id: impl fmt::Display) -> Frame {
    build(|out| {
        out.field("id", &id);
        out.raw(b"\n");
    })
}

/// Sets the client's pause before it reconnects.
pub fn retry(retry: RetryMs) -> Frame {
    build(|out| {
        out.field("retry", retry.0);
        out.raw(b"\n");
    })
}

/// The event that says: between your last event and `id` something is missing, for this `reason`. Without an id the
/// client keeps the one it has: more belongs to the answer, and the place comes after it.
pub fn reset(reason: &str, id: Option<EventId>) -> Frame {
    let reason = serde_json::Value::from(reason);
    build(|out| {
        out.raw(b"event: reset\n");
        if let Some(id) = id {
            out.field("id", id);
        }
        out.data(format!("{{\"reason\":{reason}}}").as_bytes());
    })
}

/// An event without a place in the log, so without an id.
pub fn named(event: &EventName, data: &str) -> Frame {
    build(|out| {
        out.field("event", event.as_str());
        out.data(data.as_bytes());
    })
}

/// Writes into room that is used again and again, and copies from there: the frames of a log lie in memory for long, so
/// they carry no spare capacity.
fn build(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    thread_local! {
        static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut room = ROOM.take();
    room.clear();
    write(&mut room);
    let frame = Frame::new(&room);
    if room.capacity() <= MOST_ROOM {
        ROOM.set(room);
    }
    frame
}

trait Sink {
    /// One line. The value must not contain a line end: it is a number, an id or a name, valid by its type.
    fn field(&mut self, name: &str, value: impl fmt::Display);

    /// The `data:` lines, at least one, and the blank line that dispatches the event.
    fn data(&mut self, data: &[u8]);

    fn raw(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn field(&mut self, name: &str, value: impl fmt::Display) {
        self.raw(name.as_bytes());
        self.raw(b": ");
        // A vector refuses no byte, so the only error would be of the value's `Display`.
        let _written: std::io::Result<()> = write!(self, "{value}");
        self.raw(b"\n");
    }

    fn data(&mut self, data: &[u8]) {
        let mut rest = Some(data);
        while let Some(text) = rest {
            let (line, after) = split_line(text);
            self.raw(b"data: ");
            self.raw(line);
            self.raw(b"\n");
            rest = after;
        }
        self.raw(b"\n");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The text up to the first CR, LF or CRLF, and what follows it.
fn split_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = memchr::memchr2(b'\r', b'\n', text);
    match end.and_then(|end| text.split_at_checked(end)) {
        None => (text, None),
        Some((line, [b'\r', b'\n', after @ ..] | [_, after @ ..])) => (line, Some(after)),
        Some((line, [])) => (line, None),
    }
}
