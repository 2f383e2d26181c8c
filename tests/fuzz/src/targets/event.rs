//! The writer of event streams: no text of a publisher forges a field or an event.
//!
//! The input is data, event name, id, a number and a reason, with 0xFF between them.

use tidegate::domain::{
    Epoch, Event, EventId, EventName, Frame, Keep, Position, PublisherId, RetryMs,
};
use tidegate::wire::sse::{self, Parsed, Parser};
use tidegate::wire::tap;

use crate::parts::texts;

/// The place that the log gives in every target.
pub fn own() -> EventId {
    EventId {
        epoch: Epoch::from_random(0xab),
        position: Position::after(7),
    }
}

pub fn check(data: &[u8]) -> Option<()> {
    let [data, name, id, retry, reason] = texts(data)?;
    let event = Event {
        channels: Vec::new(),
        name: EventName::parse(name).ok(),
        data: Some(data.to_owned().into()),
        id: PublisherId::parse(id).ok(),
        retry: retry.parse().ok().map(RetryMs),
        keep: Keep::All,
        close: false,
        except: None,
    };
    is_exactly(&event);
    let bare = Event {
        data: None,
        close: true,
        ..event.clone()
    };
    is_exactly(&bare);
    if let Some(name) = &event.name {
        let expected = parsed(name.as_str(), data, "", None);
        assert_eq!(read(sse::named(name, data).as_bytes()), [expected]);
    }
    let [reset] = read(sse::reset(reason, Some(own())).as_bytes())
        .try_into()
        .expect("one event");
    assert_eq!(
        (reset.event.as_str(), reset.id),
        ("reset", own().to_string())
    );
    let told: serde_json::Value = serde_json::from_str(&reset.data).expect("JSON");
    assert_eq!(told, serde_json::json!({ "reason": reason }));
    assert_eq!(read(sse::head(RetryMs(1), Some(id)).as_bytes()), []);
    Some(())
}

/// Whatever is written of `event` is read as this one event, or as no event if it has no data.
pub fn is_exactly(event: &Event) {
    let frame = sse::event(event, own());
    let id = event
        .id
        .as_ref()
        .map_or_else(|| own().to_string(), |id| id.as_str().to_owned());
    let Some(data) = &event.data else {
        let mut parser = Parser::new(usize::MAX);
        assert_eq!(parser.feed(frame.as_bytes()), Ok(Vec::new()));
        assert_eq!(parser.last_event_id(), id);
        return;
    };
    let data = std::str::from_utf8(data).expect("data is UTF-8");
    let name = event.name.as_ref().map_or("message", EventName::as_str);
    let retry = event.retry.map(|RetryMs(ms)| u64::from(ms));
    let expected = parsed(name, data, &id, retry);
    is_told_by_the_tap(&frame, &expected);
    assert_eq!(read(frame.as_bytes()), [expected]);
}

fn is_told_by_the_tap(frame: &Frame, expected: &Parsed) {
    let event = tap::read(frame).expect("an event with data");
    let told = tap::event(&[], None, &event).expect("a good name");
    let [told] = read(&told).try_into().expect("one event");
    let told: serde_json::Value = serde_json::from_str(&told.data).expect("JSON");
    assert_eq!(told["data"], *expected.data);
    assert_eq!(told["id"], *expected.id);
}

fn parsed(name: &str, data: &str, id: &str, retry: Option<u64>) -> Parsed {
    Parsed {
        event: name.to_owned(),
        data: data.replace("\r\n", "\n").replace('\r', "\n"),
        id: id.to_owned(),
        has_id: !id.is_empty(),
        retry,
    }
}

/// The events of a whole stream, which must end with the end of one.
pub fn read(stream: &[u8]) -> Vec<Parsed> {
    assert!(stream.ends_with(b"\n\n"));
    Parser::new(usize::MAX).feed(stream).expect("no limit")
}
