//! The body of `POST /v1/kick`: whose streams are to end.
//!
//! Exactly one of `{"user":…}` (a text or a whole number, as Django's primary keys are), `{"channel":…}` and
//! `{"stream":…}`; `null` is the same as leaving it out. The body is small: `internal` bounds it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem;
use super::publish::Rejected;
use super::publish::event::{NO_STREAM, hint, shortened, user};
use super::publish::json;
use crate::domain::{ChannelName, StreamId, UserId};

const FIELDS: [&str; 3] = ["user", "channel", "stream"];

/// Whose streams end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Those of a user.
    User(UserId),
    /// Those on a channel.
    Channel(ChannelName),
    /// This one.
    Stream(StreamId),
}

/// Reads the body.
pub fn read(body: &[u8]) -> Result<Target, Rejected> {
    let whole = json::document(body)?;
    if !whole.get().starts_with('{') {
        return Err(wrong("", "a kick is a JSON object"));
    }
    let read = serde_json::Deserializer::from_str(whole.get()).deserialize_map(Members);
    // The grammar is checked: what is left is a name with half of a surrogate pair.
    let members = read.map_err(|_| wrong("", "a name contains half of a surrogate pair"))?;
    let mut target = None;
    for (name, value) in members {
        let Some(field) = FIELDS.into_iter().find(|field| *field == name) else {
            return Err(Rejected::Field {
                pointer: problem::pointer([&*shortened(&name)]),
                message: format!("{:?} is nothing a kick can name", shortened(&name)),
                hint: hint(&name, &FIELDS),
            });
        };
        if value.get() == "null" {
            continue;
        }
        let read = one(field, value)?;
        if target.replace(read).is_some() {
            return Err(wrong(
                field,
                "a kick has exactly one target, this is a second",
            ));
        }
    }
    target.ok_or_else(|| wrong("", "\"user\", \"channel\" or \"stream\" is missing"))
}

fn one(field: &str, value: &RawValue) -> Result<Target, Rejected> {
    let text = || json::text(value).map_err(|error| wrong(field, error));
    match field {
        "channel" => {
            let name = ChannelName::parse(&text()?).map_err(|error| wrong(field, error))?;
            Ok(Target::Channel(name))
        }
        "stream" => {
            let id = StreamId::parse(&text()?).ok_or_else(|| wrong(field, NO_STREAM))?;
            Ok(Target::Stream(id))
        }
        _ => {
            let user = user(value).map_err(|error| wrong(field, error))?;
            Ok(Target::User(user))
        }
    }
}

fn wrong(field: &str, message: impl fmt::Display) -> Rejected {
    let path = (!field.is_empty()).then_some(field);
    Rejected::Field {
        pointer: problem::pointer(path),
        message: message.to_string(),
        hint: None,
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order, also those that are there twice.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (String, String, Option<String>) {
        match read(body.as_bytes()).unwrap_err() {
            Rejected::Field {
                pointer,
                message,
                hint,
            } => (pointer, message, hint),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn a_kick_names_a_user_a_channel_or_a_stream() {
        let user = |id| Target::User(UserId::parse(id).unwrap());
        for (body, target) in [
            (r#"{"user":"42"}"#, user("42")),
            (r#"{"user": 42 }"#, user("42")),
            (r#"{"user":-1,"channel":null}"#, user("-1")),
            (
                r#"{"channel":"a/b"}"#,
                Target::Channel(ChannelName::parse("a/b").unwrap()),
            ),
            (
                r#"{"stream":"0000000000000000000000000000feed"}"#,
                Target::Stream(StreamId::from_random(0xfeed)),
            ),
        ] {
            assert_eq!(read(body.as_bytes()), Ok(target), "{body}");
        }
    }

    #[test]
    fn everything_else_is_refused_at_its_place() {
        for (body, pointer) in [
            ("7", ""),
            ("{}", ""),
            (r#"{"user":null}"#, ""),
            (r#"{"user":1.5}"#, "/user"),
            (r#"{"user":""}"#, "/user"),
            (r#"{"user":true}"#, "/user"),
            (r#"{"channel":"a b"}"#, "/channel"),
            (r#"{"channel":1}"#, "/channel"),
            (r#"{"stream":"x"}"#, "/stream"),
            (r#"{"user":1,"channel":"a"}"#, "/channel"),
            (r#"{"user":1,"user":1}"#, "/user"),
            (r#"{"a/b":1}"#, "/a~1b"),
            (r#"{"\ud800":1}"#, ""),
        ] {
            assert_eq!(refused(body).0, pointer, "{body}");
        }
        let (pointer, message, hint) = refused(r#"{"usr":1}"#);
        assert_eq!(pointer, "/usr");
        assert_eq!(message, "\"usr\" is nothing a kick can name");
        assert_eq!(hint.as_deref(), Some("did you mean \"user\"?"));
        let bad = read(b"{").unwrap_err();
        assert!(matches!(bad, Rejected::BadJson { .. }));
    }
}
