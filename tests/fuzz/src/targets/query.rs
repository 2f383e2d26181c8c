//! `POST /v1/channels/{channel}/events`: the first line is the query, the rest the body.

use bytes::Bytes;
use tidegate::domain::{ChannelName, EventName, PublisherId};
use tidegate::wire::publish::from_query;
use tidegate::wire::query;

use super::event::is_exactly;
use super::publish::is_told;

const MAX_EVENT: usize = 200;

pub fn check(data: &[u8]) -> Option<()> {
    let line = data.iter().position(|&b| b == b'\n').unwrap_or(data.len());
    let text = std::str::from_utf8(&data[..line]).ok()?;
    let body = Bytes::copy_from_slice(data.get(line + 1..).unwrap_or_default());
    let channel = ChannelName::parse("news").ok()?;
    let event = match from_query(channel.clone(), query::pairs(text), body.clone(), MAX_EVENT) {
        Ok(event) => event,
        Err(rejected) => {
            is_told(rejected);
            return Some(());
        }
    };
    let told = |name| query::first(Some(text), &[name]);
    let (first, users) = event.channels.split_first()?;
    assert_eq!(*first, channel);
    assert_eq!(
        told("user").as_deref(),
        users.first().and_then(ChannelName::user)
    );
    assert_eq!(
        told("event").as_deref(),
        event.name.as_ref().map(EventName::as_str)
    );
    assert_eq!(
        told("id").as_deref(),
        event.id.as_ref().map(PublisherId::as_str)
    );
    assert!(
        event
            .data
            .as_ref()
            .map_or(event.close && body.is_empty(), |data| *data == body)
    );
    assert!(body.len() <= MAX_EVENT);
    is_exactly(&event);
    Some(())
}
