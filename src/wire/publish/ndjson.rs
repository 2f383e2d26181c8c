//! A body that is a stream of events: one JSON object on each line (NDJSON).
//!
//! Called by the publish service with the pieces of the body as they arrive. However the network cuts the body, the
//! lines are the same. What is kept is the beginning of one line and one piece.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;

use super::event::{hint, shortened};
use super::{Rejected, event, json};
use crate::domain::Event;
use crate::wire::duration;

/// The one parameter of the query.
/// The shortest time without an audience: less is no time for a page to reload, and much looking.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
const STOP_WHEN_ALONE: &str = "stop_when_alone";

/// Room on a line for everything but the data: 64 channels, names, ids, all of it escaped.
const BESIDE_DATA: usize = 128 << 10;
/// What one byte of data takes at most: `\u0000`.
const ESCAPED: usize = 6;

/// The longest line on which an event with data of `max_event` bytes may stand, in bytes.
pub const fn longest_line(max_event: usize) -> usize {
    max_event
        .saturating_mul(ESCAPED)
        .saturating_add(BESIDE_DATA)
}

/// A line is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line has at most {longest} bytes")]
pub struct LineTooLong {
    /// The most bytes allowed.
    pub longest: usize,
}

/// Cuts a body into its lines, which end with LF or CRLF.
#[derive(Debug)]
pub struct Lines {
    /// The piece that came last, and before it what came before of its first line.
    rest: BytesMut,
    /// So many bytes of `rest` are known to hold no LF.
    searched: usize,
    longest: usize,
}

impl Lines {
    /// Lines of at most `longest` bytes, their end not counted.
    pub fn new(longest: usize) -> Self {
        Self {
            rest: BytesMut::new(),
            searched: 0,
            longest,
        }
    }

    /// Takes the next piece of the body. Call [`Lines::line`] until there is none before the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next whole line without its end; `None` if its end has not come yet.
    pub fn line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        let new = self.rest.get(self.searched..).unwrap_or_default();
        let Some(at) = new.iter().position(|&b| b == b'\n') else {
            self.searched = self.rest.len();
            // A CR at the end may be half of a line's end.
            return self.checked(&self.rest).map(|_| None);
        };
        let line = self.rest.split_to(self.searched + at);
        self.rest.advance(1);
        self.searched = 0;
        let length = self.checked(&line)?;
        Ok(Some(line.freeze().slice(..length)))
    }

    /// What stands behind the last line end once the body is over: the last line, which may be empty.
    pub fn last(self) -> Bytes {
        let length = without_cr(&self.rest);
        self.rest.freeze().slice(..length)
    }

    /// The length of `line` without a CR at its end, if it is not too long.
    fn checked(&self, line: &[u8]) -> Result<usize, LineTooLong> {
        let length = without_cr(line);
        if length > self.longest {
            let longest = self.longest;
            return Err(LineTooLong { longest });
        }
        Ok(length)
    }
}

fn without_cr(line: &[u8]) -> usize {
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

/// Whether nothing stands on the line: it is skipped.
pub fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// Reads the one event of a line. A line that is no JSON is one wrong thing of the body, which goes on behind it.
pub fn read_line(line: &[u8], max_event: usize) -> Result<Event, Rejected> {
    let document = json::document(line).map_err(|rejected| match rejected {
        Rejected::BadJson { column, detail, .. } => Rejected::Field {
            pointer: String::new(),
            message: format!("not JSON: column {column}: {detail}"),
            hint: None,
        },
        other => other,
    })?;
    event::read(document, "", max_event)
}

/// How long nobody may have listened before the request ends, by `stop_when_alone` in the query. There is no other
/// parameter.
pub fn stop_when_alone<'a>(
    query: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
) -> Result<Option<Duration>, Rejected> {
    let mut patience = None;
    for (key, value) in query {
        let wrong = |message: String, hint| Rejected::Parameter {
            name: shortened(&key).into_owned(),
            message,
            hint,
        };
        if key != STOP_WHEN_ALONE {
            let message = "there is no such parameter".to_owned();
            return Err(wrong(message, hint(&key, &[STOP_WHEN_ALONE])));
        }
        let given = duration::parse(&value).map_err(|e| wrong(e.to_string(), None))?;
        if given < LEAST_PATIENCE {
            return Err(wrong("must be at least 1s".to_owned(), None));
        }
        if patience.replace(given).is_some() {
            return Err(wrong("is there twice".to_owned(), None));
        }
    }
    Ok(patience)
}

/// The answer to a stream of events: how many are in the log now, the id of the last one, and why it ended if that was
/// not the publisher's wish.
pub fn published_lines(published: u64, last_id: Option<&str>, stopped: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        published: u64,
        last_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stopped: Option<&'a str>,
    }
    json::write(&Answer {
        published,
        last_id,
        stopped,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a body that comes in these pieces; the last of them is what is left at its end.
    fn cut<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        longest: usize,
    ) -> Result<Vec<Bytes>, (Vec<Bytes>, LineTooLong)> {
        let (mut lines, mut found) = (Lines::new(longest), Vec::new());
        for piece in pieces {
            lines.feed(piece);
            loop {
                match lines.line() {
                    Ok(Some(line)) => found.push(line),
                    Ok(None) => break,
                    Err(error) => return Err((found, error)),
                }
            }
        }
        found.push(lines.last());
        Ok(found)
    }

    #[test]
    fn a_line_ends_with_lf_or_crlf() {
        let whole = cut([&b"a\nb\r\n\n\r\nc\rd\r\r\ne"[..]], 10).unwrap();
        assert_eq!(whole, ["a", "b", "", "", "c\rd\r", "e"]);
        assert_eq!(cut([&b"a\n"[..]], 10).unwrap(), ["a", ""]);
        assert_eq!(cut([&b"a\r"[..]], 10).unwrap(), ["a"]);
        assert!(is_blank(b"") && is_blank(b" \t\r") && !is_blank(b"{"));
    }

    #[test]
    fn the_longest_line_fits_and_one_byte_more_does_not() {
        assert_eq!(cut([&b"12345\r\n12345\r"[..]], 5).unwrap(), ["12345"; 2]);
        for long in [&b"1\n123456"[..], b"1\n123456\n2", b"1\n12345\r\r\n"] {
            let (before, error) = cut(long.chunks(1), 5).unwrap_err();
            assert_eq!(
                (before, error),
                (vec![Bytes::from("1")], LineTooLong { longest: 5 })
            );
        }
    }

    #[test]
    fn every_event_fits_on_the_longest_line() {
        let (max_event, long) = (1000, "\\u0001");
        let names: Vec<_> = (0..64)
            .map(|n| format!("{n:0>200}").replace('0', "\\u0030"))
            .collect();
        let body = format!(
            r#"{{"channels":{},"user":"{}","event":"{}","id":"x","data":"{}","keep":"last"}}"#,
            format!("{names:?}").replace("\\\\", "\\"),
            "\\u0061".repeat(200),
            long.repeat(1000),
            long.repeat(max_event),
        );
        assert_eq!(
            read_line(body.as_bytes(), max_event)
                .unwrap()
                .channels
                .len(),
            65
        );
        assert!(body.len() < longest_line(max_event), "{}", body.len());
    }

    #[test]
    fn a_line_is_one_event() {
        let event = read_line(br#" {"channel":"a","data":1} "#, 10).unwrap();
        assert_eq!(event.channels.len(), 1);
        for bad in [
            &b"[]"[..],
            b"{",
            b"1",
            b"\xff",
            b"{}",
            br#"{"channel":"a","data":1} {}"#,
        ] {
            assert!(read_line(bad, 10).is_err());
        }
        assert_eq!(
            published_lines(2, Some("x"), Some("alone")),
            r#"{"published":2,"last_id":"x","stopped":"alone"}"#
        );
        assert_eq!(
            published_lines(0, None, None),
            r#"{"published":0,"last_id":null}"#
        );
    }

    #[test]
    fn a_query_says_how_long_nobody_may_listen() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|&(k, v)| (Cow::Borrowed(k), Cow::Borrowed(v)));
            stop_when_alone(pairs).map_err(|rejected| rejected.to_string())
        };
        assert_eq!(read(&[]), Ok(None));
        let half = Duration::from_secs(30);
        assert_eq!(read(&[("stop_when_alone", "30s")]), Ok(Some(half)));
        for bad in ["", "30", "0s", "999ms", "x", "9999999d"] {
            assert!(read(&[("stop_when_alone", bad)]).is_err(), "{bad}");
        }
        let twice = read(&[("stop_when_alone", "1s"), ("stop_when_alone", "1s")]);
        assert_eq!(twice.unwrap_err(), "\"stop_when_alone\": is there twice");
        assert!(read(&[("stop_when_alon", "1s")]).is_err());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(
            body in "[ab\r\n]{0,60}",
            cuts in prop::collection::vec(1_usize..9, 0..60),
            longest in 0_usize..12,
        ) {
            let (mut rest, mut pieces) = (body.as_bytes(), Vec::new());
            for at in cuts {
                let (piece, after) = rest.split_at(at.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(cut(pieces, longest), cut([body.as_bytes()], longest));
            let naive: Vec<_> = body.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
            prop_assert_eq!(cut([body.as_bytes()], usize::MAX).unwrap(), naive);
        }
    }
}
