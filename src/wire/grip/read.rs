//! The body of `POST /publish/`: `{"items": […]}`.
//!
//! Called by the control endpoint with a body that already fits its limit. All or nothing: one bad item, and nothing of
//! the batch is published. The formats stand in the item (as pubcontrol writes them) or under `formats`; unknown fields and
//! formats are passed over, and one that is known must be there. The text of an error is the line that the publisher is
//! answered: it is short and carries nothing of the body back.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fields::{BASE64, Headers, detail};
use super::item::{Action, Body, Item, ResponseFormat, StreamFormat};
use super::{is_id, is_name, patch};

/// The most items of one publish.
const MOST_ITEMS: usize = 10_000;

/// The greatest code of an answer to a poll.
const GREATEST_CODE: u16 = 999;

/// Why nothing of a publish is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadItems {
    /// No JSON, or a value of the wrong type.
    #[error("{0}")]
    Json(Box<str>),
    /// More than 10,000.
    #[error("a publish has at most {MOST_ITEMS} items")]
    TooMany,
    /// One of them says what cannot be done.
    #[error("items/{index}: {source}")]
    Item {
        /// Which, counted from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: BadItem,
    },
}

/// What is wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadItem {
    /// A name that is empty, too long, or has control characters.
    #[error("channel must have 1 to 512 bytes and no control characters")]
    Channel,
    /// An id that could not come back in `Grip-Last`.
    #[error("id and prev-id must have at most 1024 bytes and no control characters")]
    Id,
    /// Neither `http-stream` nor `http-response` nor `ws-message`.
    #[error("it has no format that is known: http-stream, http-response")]
    NoFormat,
    /// An action that nobody knows, or that is not one of the format.
    #[error("{0} has an unknown action")]
    Action(&'static str),
    /// Nothing to send on a stream.
    #[error("http-stream has neither content nor content-bin")]
    NoContent,
    /// A binary field that is no base64.
    #[error("{0} is no base64")]
    Base64(&'static str),
    /// No number of a status.
    #[error("the code of http-response must be 0 to {GREATEST_CODE}")]
    Code,
    /// A reason that would not fit on its line.
    #[error("the reason of http-response has control characters")]
    Reason,
    /// No JSON Patch.
    #[error("body-patch is no JSON Patch")]
    Patch,
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    items: Vec<Written<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    channel: String,
    id: Option<String>,
    prev_id: Option<String>,
    meta: Option<BTreeMap<String, String>>,
    no_seq: Option<bool>,
    #[serde(borrow)]
    formats: Option<Formats<'a>>,
    http_stream: Option<Stream>,
    #[serde(borrow)]
    http_response: Option<Answer<'a>>,
    ws_message: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Formats<'a> {
    http_stream: Option<Stream>,
    #[serde(borrow)]
    http_response: Option<Answer<'a>>,
    ws_message: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stream {
    action: Option<String>,
    content: Option<String>,
    content_bin: Option<String>,
    content_filters: Option<Vec<Box<str>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    action: Option<String>,
    code: Option<u16>,
    reason: Option<Box<str>>,
    headers: Option<Headers>,
    body: Option<String>,
    body_bin: Option<String>,
    #[serde(borrow)]
    body_patch: Option<&'a RawValue>,
    content_filters: Option<Vec<Box<str>>>,
}

/// Reads the items of a publish.
pub fn read(body: &[u8]) -> Result<Vec<Item>, BadItems> {
    let whole: Whole<'_> =
        serde_json::from_slice(body).map_err(|error| BadItems::Json(detail(&error)))?;
    if whole.items.len() > MOST_ITEMS {
        return Err(BadItems::TooMany);
    }
    let items = whole.items.into_iter().enumerate();
    let checked = items.map(|(index, written)| {
        written
            .check()
            .map_err(|source| BadItems::Item { index, source })
    });
    checked.collect()
}

impl Written<'_> {
    fn check(self) -> Result<Item, BadItem> {
        if !is_name(&self.channel) {
            return Err(BadItem::Channel);
        }
        let ids = [&self.id, &self.prev_id];
        if !ids.into_iter().flatten().all(|id| is_id(id)) {
            return Err(BadItem::Id);
        }
        let formats = self.formats.unwrap_or_default();
        let stream = formats.http_stream.or(self.http_stream);
        let response = formats.http_response.or(self.http_response);
        let socket = formats.ws_message.or(self.ws_message);
        if stream.is_none() && response.is_none() && socket.is_none() {
            return Err(BadItem::NoFormat);
        }
        let meta = self.meta.unwrap_or_default().into_iter();
        Ok(Item {
            channel: self.channel.into(),
            id: self.id.map(Into::into),
            prev_id: self.prev_id.map(Into::into),
            meta: meta
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            no_seq: self.no_seq.unwrap_or_default(),
            stream: stream.map(Stream::check).transpose()?,
            response: response.map(Answer::check).transpose()?,
        })
    }
}

impl Stream {
    fn check(self) -> Result<StreamFormat, BadItem> {
        let action = action(self.action, "http-stream")?;
        let content = match (action, self.content_bin, self.content) {
            (Action::Close | Action::Hint, _, _) => Bytes::new(),
            (Action::Send, Some(text), _) => decoded(&text, "content-bin")?,
            (Action::Send, None, Some(text)) => text.into(),
            (Action::Send, None, None) => return Err(BadItem::NoContent),
        };
        Ok(StreamFormat {
            action,
            content,
            content_filters: self.content_filters,
        })
    }
}

impl Answer<'_> {
    fn check(self) -> Result<ResponseFormat, BadItem> {
        let action = action(self.action, "http-response")?;
        if action == Action::Close {
            return Err(BadItem::Action("http-response"));
        }
        let code = self.code.unwrap_or(200);
        if code > GREATEST_CODE {
            return Err(BadItem::Code);
        }
        let reason = self.reason.filter(|reason| !reason.is_empty());
        if reason
            .as_ref()
            .is_some_and(|r| r.contains(char::is_control))
        {
            return Err(BadItem::Reason);
        }
        let body = match (self.body_patch, self.body_bin) {
            (Some(raw), _) => {
                let bytes = raw.get().as_bytes();
                if !patch::is_patch(bytes) {
                    return Err(BadItem::Patch);
                }
                Body::Patch(Bytes::copy_from_slice(bytes))
            }
            (None, Some(text)) => Body::Bytes(decoded(&text, "body-bin")?),
            (None, None) => Body::Bytes(self.body.unwrap_or_default().into()),
        };
        Ok(ResponseFormat {
            action,
            code,
            reason,
            headers: self.headers.unwrap_or_default().0,
            body,
            content_filters: self.content_filters,
        })
    }
}

fn action(text: Option<String>, format: &'static str) -> Result<Action, BadItem> {
    text.map_or(Ok(Action::Send), |text| {
        Action::parse(&text).ok_or(BadItem::Action(format))
    })
}

fn decoded(text: &str, field: &'static str) -> Result<Bytes, BadItem> {
    let bytes = BASE64.decode(text).map(Into::into);
    bytes.map_err(|_| BadItem::Base64(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(item: &str) -> Result<Item, BadItems> {
        let mut items = read(format!("{{\"items\": [{item}]}}").as_bytes())?;
        assert_eq!(items.len(), 1);
        Ok(items.remove(0))
    }

    fn bad(item: &str) -> BadItem {
        match one(item) {
            Err(BadItems::Item { index: 0, source }) => source,
            other => panic!("{item}: {other:?}"),
        }
    }

    #[test]
    fn what_django_eventstream_publishes() {
        let item = one(r#"{"channel": "events-room", "id": "8", "prev-id": "7",
            "meta": {"skip_users": "3,4"}, "http-stream": {"content":
            "event: message\nid: %I\ndata: x\n\n", "content-filters": ["build-id"]}}"#);
        let item = item.unwrap();
        assert_eq!(&*item.channel, "events-room");
        assert_eq!(item.id.as_deref(), Some("8"));
        assert_eq!(item.prev_id.as_deref(), Some("7"));
        assert_eq!(item.meta, [("skip_users".into(), "3,4".into())]);
        assert_eq!((item.no_seq, item.response), (false, None));
        let stream = item.stream.unwrap();
        assert_eq!(stream.action, Action::Send);
        assert_eq!(stream.content, "event: message\nid: %I\ndata: x\n\n");
        assert_eq!(stream.content_filters, Some(vec!["build-id".into()]));
        let close = one(r#"{"channel": "user-7", "http-stream": {"action": "close"}}"#);
        assert_eq!(close.unwrap().stream.unwrap().action, Action::Close);
    }

    #[test]
    fn formats_stand_in_the_item_or_below() {
        let item = one(
            r#"{"channel": "a", "size": 4, "x": null, "no-seq": true, "formats": {
            "json-object": 4, "http-stream": {"content-bin": "/w=="},
            "http-response": {"code": 404, "reason": "No", "headers": {"A": "b"}, "body": "c"}}}"#,
        );
        let item = item.unwrap();
        assert!(item.no_seq);
        assert_eq!(&*item.stream.unwrap().content, b"\xff");
        let response = item.response.unwrap();
        assert_eq!((response.code, response.headers.len()), (404, 1));
        assert_eq!(response.body, Body::Bytes("c".into()));
        let socket = one(r#"{"channel": "a", "ws-message": {}}"#).unwrap();
        assert_eq!((socket.stream, socket.response), (None, None));
        let poll = one(r#"{"channel": "a", "http-response": {"body-patch": [
            {"op": "remove", "path": "/a"} ]}}"#);
        let poll = poll.unwrap().response.unwrap();
        assert_eq!((poll.code, poll.action), (200, Action::Send));
        assert!(matches!(poll.body, Body::Patch(json) if json.starts_with(b"[")));
    }

    #[test]
    fn one_bad_item_spoils_the_publish() {
        let good = r#"{"channel": "a", "http-stream": {"content": ""}}"#;
        let two = format!(r#"{{"items": [{good}, {{"channel": ""}}]}}"#);
        let error = read(two.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("items/1: channel must have"), "{error}");
        assert_eq!(bad(r#"{"channel": "a"}"#), BadItem::NoFormat);
        let forged = bad(r#"{"channel": "a", "id": "1\n2", "ws-message": {}}"#);
        assert_eq!(forged, BadItem::Id);
        let stream = |json: &str| bad(&format!(r#"{{"channel": "a", "http-stream": {json}}}"#));
        assert_eq!(stream("{}"), BadItem::NoContent);
        assert_eq!(stream(r#"{"action": "x"}"#), BadItem::Action("http-stream"));
        let poll = |json: &str| bad(&format!(r#"{{"channel": "a", "http-response": {json}}}"#));
        let close = poll(r#"{"action": "close"}"#);
        assert_eq!(close, BadItem::Action("http-response"));
        assert_eq!(poll(r#"{"code": 1000}"#), BadItem::Code);
        let odd = poll(r#"{"body-bin": "*"}"#);
        assert_eq!(odd, BadItem::Base64("body-bin"));
        assert_eq!(poll(r#"{"reason": "a\r\nb: c"}"#), BadItem::Reason);
        assert_eq!(poll(r#"{"body-patch": [{"op": "x"}]}"#), BadItem::Patch);
    }

    #[test]
    fn what_is_no_publish_is_told_in_one_line() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"items": [{}]}"#,
            r#"{"items": [{"channel": "a", "meta": {"a": 4}, "ws-message": {}}]}"#,
            r#"{"items": [{"channel": "a", "id": 4, "ws-message": {}}]}"#,
            r#"{"items": [{"channel": "\ud800", "ws-message": {}}]}"#,
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            let line = error.to_string();
            assert!(matches!(error, BadItems::Json(_)), "{body}");
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
        assert_eq!(read(b"\n{\"items\": []}"), Ok(vec![]));
        let many = |count| {
            let items = vec![r#"{"channel":"a","ws-message":{}}"#; count].join(",");
            read(format!("{{\"items\":[{items}]}}").as_bytes())
        };
        assert!(many(MOST_ITEMS).is_ok_and(|items| items.len() == MOST_ITEMS));
        assert_eq!(many(MOST_ITEMS + 1), Err(BadItems::TooMany));
    }
}
