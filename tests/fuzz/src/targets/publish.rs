//! The body of `POST /v1/events`: what is accepted is what a plain JSON reader sees, and one event on the wire each.

use bytes::Bytes;
use serde_json::Value;
use tidegate::domain::{ChannelName, Event, EventName, PublisherId};
use tidegate::wire::problem::Problem;
use tidegate::wire::publish::{Limits, Publish, Rejected, read};

use super::event::is_exactly;

const LIMITS: Limits = Limits {
    max_event: 200,
    max_batch: 4,
};

/// No answer to a bad body is longer: it never carries the body back.
const LONGEST_PROBLEM: usize = 2048;

pub fn check(data: &[u8]) -> Option<()> {
    let events = match read(data, LIMITS) {
        Ok(Publish::One(event)) => vec![event],
        Ok(Publish::Batch(events)) => events,
        Err(rejected) => {
            is_told(rejected);
            return Some(());
        }
    };
    for event in &events {
        is_exactly(event);
        let length = event.data.as_ref().map_or(0, Bytes::len);
        assert!(length <= LIMITS.max_event);
    }
    assert!(events.len() <= LIMITS.max_batch);
    // The plain reader knows no number beyond a double and no nesting beyond 128; the gateway passes both on.
    match serde_json::from_slice(data) {
        Ok(Value::Array(values)) => {
            assert_eq!(events.len(), values.len());
            events
                .iter()
                .zip(&values)
                .for_each(|(event, value)| is_meant(event, value));
        }
        Ok(value) => is_meant(&events[0], &value),
        Err(error) => assert!(!error.is_eof(), "{error}"),
    }
    Some(())
}

/// The event has what `value` says and nothing else.
fn is_meant(event: &Event, value: &Value) {
    let named: Vec<&Value> = match (&value["channel"], &value["channels"]) {
        (Value::Null, Value::Null) => Vec::new(),
        (Value::Null, Value::Array(all)) => all.iter().collect(),
        (one, Value::Null) => vec![one],
        both => panic!("{both:?}"),
    };
    let (channels, users): (Vec<_>, Vec<_>) = event.channels.iter().partition(|c| c.is_named());
    let is_named = |channel: &&ChannelName| named.iter().any(|name| **name == channel.as_str());
    assert!(channels.iter().all(is_named) && channels.len() <= 64);
    assert!(
        named
            .iter()
            .all(|name| channels.iter().any(|c| **name == c.as_str()))
    );
    match (&value["user"], users.as_slice()) {
        (Value::Null, []) => assert!(!channels.is_empty()),
        (Value::String(name), [user]) => assert_eq!(user.user(), Some(name.as_str())),
        // The plain reader rounds what has more than 64 bits.
        (Value::Number(number), [_]) if number.is_f64() => {}
        (Value::Number(number), [user]) => assert_eq!(user.user(), Some(&*number.to_string())),
        differ => panic!("{differ:?}"),
    }
    assert_eq!(
        value["event"].as_str(),
        event.name.as_ref().map(EventName::as_str)
    );
    assert_eq!(
        value["id"].as_str(),
        event.id.as_ref().map(PublisherId::as_str)
    );
    assert_eq!(value["close"].as_bool().unwrap_or_default(), event.close);
    match (&event.data, value.get("data")) {
        (Some(data), Some(Value::String(text))) => assert_eq!(data, text.as_bytes()),
        (Some(data), Some(other)) => {
            let data: Value = serde_json::from_slice(data).expect("JSON");
            assert_eq!(data, *other);
        }
        (None, None) => assert!(event.close),
        differ => panic!("{differ:?}"),
    }
}

/// The answer is a short JSON object.
pub fn is_told(rejected: Rejected) {
    let json = Problem::from(rejected).to_json();
    assert!(json.len() <= LONGEST_PROBLEM, "{}", json.len());
    assert!(serde_json::from_slice::<Value>(&json).is_ok_and(|json| json.is_object()));
}
