//! `POST /v1/channels/{channel}/events`: the body is the data as it is, the other fields are in the query.
//!
//! Called by the publish service with the decoded pairs of the query. An empty body is empty data, for which a `data:`
//! line is written; with `close=1` it is a bare close. Names are as strict as in JSON: unknown ones, repeated ones and
//! empty values are refused.

use std::borrow::Cow;

use bytes::Bytes;

use super::Rejected;
use super::event::{
    NO_KEEP, NO_STREAM, NO_USER, hint, keep as keep_of, shortened, whole_milliseconds,
};
use crate::domain::{ChannelName, Event, EventName, PublisherId, RetryMs, StreamId, UserId};

pub(in crate::wire) const PARAMETERS: [&str; 7] =
    ["event", "id", "retry", "keep", "close", "user", "except"];

/// Makes the event that `query` and `body` describe.
pub fn from_query<'a>(
    channel: ChannelName,
    query: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    body: Bytes,
    max_event: usize,
) -> Result<Event, Rejected> {
    let mut name = None;
    let mut id = None;
    let mut retry = None;
    let mut close = None;
    let mut except = None;
    let mut keep = None;
    let mut user = None;
    for (key, value) in query {
        let wrong = |message: String| Rejected::Parameter {
            name: shortened(&key).into_owned(),
            message,
            hint: None,
        };
        let first = match &*key {
            "event" => {
                let parsed = EventName::parse(&value).map_err(|e| wrong(e.to_string()))?;
                name.replace(parsed).is_none()
            }
            "id" => {
                let parsed = PublisherId::parse(&value).map_err(|e| wrong(e.to_string()))?;
                id.replace(parsed).is_none()
            }
            "retry" => {
                let parsed = milliseconds(&value).ok_or_else(|| wrong(whole_milliseconds()))?;
                retry.replace(parsed).is_none()
            }
            "close" => {
                let parsed = switch(&value)
                    .ok_or_else(|| wrong("must be 1, true, 0 or false".to_owned()))?;
                close.replace(parsed).is_none()
            }
            "except" => {
                let parsed = StreamId::parse(&value).ok_or_else(|| wrong(NO_STREAM.to_owned()))?;
                except.replace(parsed).is_none()
            }
            "keep" => {
                let parsed = keep_of(&value).ok_or_else(|| wrong(NO_KEEP.to_owned()))?;
                keep.replace(parsed).is_none()
            }
            "user" => {
                let parsed = UserId::parse(&value).ok_or_else(|| wrong(NO_USER.to_owned()))?;
                user.replace(parsed).is_none()
            }
            "channel" | "channels" => {
                return Err(wrong("the channel is named by the path".to_owned()));
            }
            _ => {
                return Err(Rejected::Parameter {
                    name: shortened(&key).into_owned(),
                    message: "there is no such parameter".to_owned(),
                    hint: hint(&key, &PARAMETERS),
                });
            }
        };
        if !first {
            return Err(wrong("is there twice".to_owned()));
        }
    }
    let close = close.unwrap_or_default();
    Ok(Event {
        channels: [channel]
            .into_iter()
            .chain(user.as_ref().map(ChannelName::of_user))
            .collect(),
        name,
        data: if close && body.is_empty() {
            None
        } else {
            Some(checked(body, max_event)?)
        },
        id,
        retry,
        keep: keep.unwrap_or_default(),
        close,
        except,
    })
}

fn checked(body: Bytes, limit: usize) -> Result<Bytes, Rejected> {
    // The body is the data here, so it is named by the field it stands for.
    let pointer = "/data".to_owned();
    if body.len() > limit {
        return Err(Rejected::TooLarge { pointer, limit });
    }
    if let Err(error) = std::str::from_utf8(&body) {
        return Err(Rejected::Field {
            pointer,
            message: format!("not UTF-8 from byte {} on", error.valid_up_to() + 1),
            hint: None,
        });
    }
    Ok(body)
}

fn milliseconds(text: &str) -> Option<RetryMs> {
    // `parse` alone would take a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok().map(RetryMs))?
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}
