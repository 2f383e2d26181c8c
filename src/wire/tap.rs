//! What the tap sends: events as they were published, told from outside.

use bytes::Bytes;
use serde_json::json;

use super::sse::{self, Parsed, Parser};
use crate::domain::{ChannelName, EventName, Frame};

/// Reads what listeners are given; `None` for a frame that no listener dispatches.
pub fn read(frame: &Frame) -> Option<Parsed> {
    let mut parser = Parser::new(frame.len());
    parser.feed(frame.as_bytes()).ok()?.into_iter().next()
}

/// One event of the tap: its data is JSON with the `channels` and the `user` that `event` went to, and what it says.
pub fn event(channels: &[&ChannelName], user: Option<&str>, event: &Parsed) -> Option<Bytes> {
    let channels: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
    let data = json!({
        "channels": channels,
        "user": user,
        "event": event.event,
        "id": event.id,
        "data": event.data,
    });
    let name = EventName::parse("event").ok()?;
    Some(sse::named(&name, &data.to_string()).to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Event, EventId, Keep, Position};

    #[test]
    fn an_event_is_told_with_its_channels_and_without_its_framing() {
        let channels = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let published = Event {
            channels: channels.to_vec(),
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
        let heard = read(&sse::event(&published, id)).unwrap();
        let told = event(&channels.each_ref(), Some("42"), &heard).unwrap();
        let told = Parser::new(1024).feed(&told).unwrap().remove(0);
        let expected = json!({
            "channels": ["a", "b"], "user": "42", "event": "tick", "id": "0000000001-3", "data": "one\ntwo",
        });
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&told.data).unwrap(),
            expected
        );
        let bare = Event {
            data: None,
            close: true,
            ..published
        };
        assert_eq!(read(&sse::event(&bare, id)), None);
    }
}
