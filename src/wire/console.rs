//! The answers of the internal listener about what is there: JSON made of what the log and the hub know.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::publish::json::write;
use super::tap;
use crate::domain::{EventId, Frame};

/// One channel of `GET /v1/channels`.
#[derive(Debug, Serialize)]
pub struct Channel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Open streams on it.
    pub streams: usize,
    /// Events that can still be read.
    pub events: usize,
    /// The newest event's id on the wire.
    pub last_id: Option<&'a str>,
    /// Events a second.
    pub rate: f64,
}

/// The answer of `GET /v1/channels`.
pub fn channels(channels: &[Channel<'_>]) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        channels: &'a [Channel<'a>],
    }
    write(&Answer { channels })
}

/// An open stream.
#[derive(Debug, Serialize)]
pub struct Stream<'a> {
    /// Its id.
    pub id: String,
    /// Its user.
    pub user: Option<&'a str>,
    /// The route that opened it.
    pub route: &'a str,
    /// The channels it is on, by name.
    pub channels: Vec<&'a str>,
    /// The client's address.
    pub address: IpAddr,
    /// When it began.
    #[serde(serialize_with = "in_milliseconds")]
    pub since: Timestamp,
    /// Events it was given.
    pub sent: u64,
    /// Events that it is still to be given.
    pub lag: usize,
}

/// The answer of `GET /v1/streams` and of `GET /v1/channels/{channel}/streams`.
pub fn streams(streams: &[Stream<'_>]) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        streams: &'a [Stream<'a>],
    }
    write(&Answer { streams })
}

/// An event that history holds.
#[derive(Debug, Serialize)]
pub struct Kept {
    id: String,
    event: String,
    data: String,
    #[serde(serialize_with = "in_milliseconds")]
    at: Timestamp,
}

impl Kept {
    /// Reads what listeners are given; `None` for a frame that no listener dispatches.
    pub fn of(frame: &Frame, id: String, at: Timestamp) -> Option<Self> {
        let event = tap::read(frame)?;
        Some(Self {
            id,
            event: event.event,
            data: event.data,
            at,
        })
    }
}

/// The answer of `GET /v1/channels/{channel}/events`; `next` is the place after which there are more.
pub fn history(events: &[Kept], next: Option<EventId>) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        events: &'a [Kept],
        next: Option<String>,
    }
    let next = next.map(|id| id.to_string());
    write(&Answer { events, next })
}

/// The answer of a kick and of `DELETE /v1/channels/{channel}`.
pub fn ended(ended: usize) -> Bytes {
    #[derive(Serialize)]
    struct Answer {
        ended: usize,
    }
    write(&Answer { ended })
}

/// The answer of `GET /v1/stats`.
#[derive(Debug, Serialize)]
pub struct Stats<'a> {
    /// The program's version.
    pub version: &'a str,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Open streams.
    pub streams: usize,
    /// Channels with streams or events.
    pub channels: usize,
    /// Events that can still be read.
    pub events: usize,
    /// The end of the log.
    pub last_id: String,
}

/// The answer of `GET /v1/stats`.
pub fn stats(stats: &Stats<'_>) -> Bytes {
    write(stats)
}

/// RFC 3339 in UTC; the clock is told no finer than this.
fn in_milliseconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_milliseconds() {
        let at = Timestamp::from_millisecond(1_795_243_380_042).unwrap();
        let frame = Frame::new(b"event: tick\nid: 7\ndata: a\ndata: b\n\n");
        let kept = Kept::of(&frame, "7".to_owned(), at).unwrap();
        assert_eq!(
            history(&[kept], None),
            r#"{"events":[{"id":"7","event":"tick","data":"a\nb","at":"2026-11-21T06:43:00.042Z"}],"next":null}"#
        );
        let channel = Channel {
            name: "a",
            streams: 1,
            events: 2,
            last_id: None,
            rate: 0.017,
        };
        assert_eq!(
            channels(&[channel]),
            r#"{"channels":[{"name":"a","streams":1,"events":2,"last_id":null,"rate":0.017}]}"#
        );
    }

    #[test]
    fn a_frame_without_data_is_no_event() {
        let frame = Frame::new(b"id: 7\n\n");
        assert!(Kept::of(&frame, "7".to_owned(), Timestamp::UNIX_EPOCH).is_none());
    }
}
