//! What the tap sends, and the lists of the internal listener: JSON made of what the log and the hub know.

use bytes::Bytes;
use serde_json::json;

use super::sse::{self, Parser};
use crate::domain::{ChannelName, EventName, Frame};

/// One event of the tap: its data is JSON with the event's `channels`, `event`, `id` and `data`. `None` for a frame that
/// no listener dispatches.
pub fn event(channels: &[ChannelName], frame: &Frame) -> Option<Bytes> {
    let mut parser = Parser::new(frame.len());
    let event = parser.feed(frame.as_bytes()).ok()?.into_iter().next()?;
    let channels: Vec<_> = channels.iter().map(ChannelName::as_str).collect();
    let data =
        json!({ "channels": channels, "event": event.event, "id": event.id, "data": event.data });
    let name = EventName::parse("event").ok()?;
    Some(sse::named(&name, &data.to_string()))
}

/// One channel of `GET /v1/channels`.
#[derive(Debug, serde::Serialize)]
pub struct Channel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Open streams on it.
    pub streams: usize,
    /// Events that can still be read.
    pub events: usize,
    /// The newest event's id on the wire.
    pub last_id: Option<&'a str>,
}

/// The answer of `GET /v1/channels`.
pub fn channels(channels: &[Channel<'_>]) -> Bytes {
    json!({ "channels": channels }).to_string().into()
}

/// The answer of `GET /v1/stats`.
#[derive(Debug, serde::Serialize)]
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
    json!(stats).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Event, EventId, Keep, Position};

    #[test]
    fn an_event_is_told_with_its_channels_and_without_its_framing() {
        let channels = vec![
            ChannelName::parse("a").unwrap(),
            ChannelName::parse("b").unwrap(),
        ];
        let published = Event {
            channels: channels.clone(),
            name: Some(EventName::parse("tick").unwrap()),
            data: Some(Bytes::from_static(b"one\ntwo")),
            id: None,
            retry: None,
            close: false,
            keep: Keep::All,
            except: None,
        };
        let id = EventId {
            epoch: Epoch::from_random(1),
            position: Position::after(3),
        };
        let told = event(&channels, &sse::event(&published, id)).unwrap();
        let mut parser = Parser::new(1024);
        let told = parser.feed(&told).unwrap().remove(0);
        let expected = json!({"channels": ["a", "b"], "event": "tick", "id": "0000000001-3", "data": "one\ntwo"});
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&told.data).unwrap(),
            expected
        );
        assert_eq!(
            event(
                &channels,
                &sse::event(
                    &Event {
                        data: None,
                        close: true,
                        ..published
                    },
                    id
                )
            ),
            None
        );
    }
}
