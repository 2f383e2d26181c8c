//! What Django is told of who is on which channel: the body of one request of `notify`, as JSON.
//!
//! Writing only. The words of `type` are API: they never change.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::domain::{Change, ChannelName, UserId, What};

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    at: String,
}

/// The changes of one request, which is told again under the same `id` until it was heard.
pub fn batch(id: &str, changes: &[Change]) -> Bytes {
    let changes: Vec<_> = changes.iter().map(written).collect();
    json!({ "id": id, "changes": changes }).to_string().into()
}

fn written(change: &Change) -> Written<'_> {
    let (kind, channel, user) = match &change.what {
        What::Reset => ("reset", None, None),
        What::InUse(channel) => ("in-use", Some(channel), None),
        What::Joined(channel, user) => ("joined", Some(channel), Some(user)),
        What::Left(channel, user) => ("left", Some(channel), Some(user)),
        What::Empty(channel) => ("empty", Some(channel), None),
    };
    Written {
        kind,
        channel: channel.map(ChannelName::as_str),
        user: user.map(UserId::as_str),
        at: rfc_3339(change.at),
    }
}

/// In UTC, always with milliseconds: `2026-11-21T06:43:00.042Z`.
fn rfc_3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_written_as_it_is_documented() {
        let at = Timestamp::from_millisecond(1_795_243_380_000).unwrap();
        let room = ChannelName::parse("room-1").unwrap();
        let user = UserId::parse("4\"2").unwrap();
        let changes = [
            What::Reset,
            What::InUse(room.clone()),
            What::Joined(room.clone(), user.clone()),
            What::Left(room.clone(), user),
            What::Empty(room),
        ]
        .map(|what| Change { what, at });
        let written: serde_json::Value = serde_json::from_slice(&batch("ab-1", &changes)).unwrap();
        let at = "2026-11-21T06:43:00.000Z";
        let expected = json!({ "id": "ab-1", "changes": [
            { "type": "reset", "at": at },
            { "type": "in-use", "channel": "room-1", "at": at },
            { "type": "joined", "channel": "room-1", "user": "4\"2", "at": at },
            { "type": "left", "channel": "room-1", "user": "4\"2", "at": at },
            { "type": "empty", "channel": "room-1", "at": at },
        ]});
        assert_eq!(written, expected);
    }
}
