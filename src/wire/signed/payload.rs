//! What stands in a token whose signature is good: channels, a user, times.
//!
//! A value outside its grammar is the site's mistake and is never read as something weaker: a malformed `user` must not
//! become nobody, a malformed `exp` not a token without end.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::{ChannelName, InvalidChannel, UserId};
use crate::wire::ask::MOST_CHANNELS;

/// The fields of a payload or a header.
pub(super) type Fields = Map<String, Value>;

/// What is wrong with a payload that the site has signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Signed by `Signer`, not by `dumps`.
    #[error("there is no time in it")]
    NoTime,
    /// Neither base64 nor compressed as `dumps` does it.
    #[error("it cannot be decoded")]
    Encoding,
    /// More than 32 KiB when inflated.
    #[error("it is too long when inflated")]
    TooLong,
    /// Anything but a JSON object.
    #[error("it is no JSON object")]
    NoObject,
    /// No list of strings, or an empty one.
    #[error("`channels` is no list of channel names")]
    NoChannels,
    /// A channel outside the grammar.
    #[error("`channels` names no valid channel")]
    Channel(#[source] InvalidChannel),
    /// More channels than a stream can have.
    #[error("`channels` are more than {MOST_CHANNELS}")]
    TooMany,
    /// No name of a user.
    #[error("`user` or `sub` is no short text and no whole number")]
    User,
    /// A JWT without an end.
    #[error("`exp` is no number")]
    Expiry,
    /// A beginning that is no time.
    #[error("`nbf` is no number")]
    NotBefore,
    /// A JWT for somebody, on a route that does not say who it is (RFC 7519, section 4.1.3).
    #[error("there is an `aud`, and the route has no `audience`")]
    Audience,
}

impl Mistake {
    /// What the author of the token may want to know.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoTime | Self::Encoding | Self::TooLong => {
                "a token is made by django.core.signing.dumps(…, key=…, salt=…), and has at most 32 KiB when inflated"
            }
            Self::NoObject | Self::NoChannels | Self::Channel(_) | Self::TooMany => {
                "the payload is an object with `channels`, a list of 1 to 100 names of letters, digits and _ . : @ / -"
            }
            Self::User => "`user` is a text of 1 to 200 bytes or a whole number, or left out",
            Self::Expiry | Self::NotBefore => {
                "`exp` is needed; it and `nbf` are seconds since 1970, as numbers"
            }
            Self::Audience => "name the `audience` in the route's token, or leave `aud` out",
        }
    }
}

/// The fields of a JSON object.
pub(super) fn fields(json: &[u8]) -> Option<Fields> {
    serde_json::from_slice(json).ok()
}

/// A field that is there; `null` is not.
pub(super) fn field<'f>(fields: &'f Fields, name: &str) -> Option<&'f Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// `channels`.
pub(super) fn channels(fields: &Fields) -> Result<Vec<ChannelName>, Mistake> {
    let names = field(fields, "channels").and_then(Value::as_array);
    let names = names
        .filter(|names| !names.is_empty())
        .ok_or(Mistake::NoChannels)?;
    let mut channels = Vec::new();
    for name in names {
        let name = name.as_str().ok_or(Mistake::NoChannels)?;
        let channel = ChannelName::parse(name).map_err(Mistake::Channel)?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
        if channels.len() > MOST_CHANNELS {
            return Err(Mistake::TooMany);
        }
    }
    Ok(channels)
}

/// The user: the first of these fields that is there, a text or a whole number.
pub(super) fn user(fields: &Fields, names: &[&str]) -> Result<Option<UserId>, Mistake> {
    let Some(value) = names.iter().find_map(|name| field(fields, name)) else {
        return Ok(None);
    };
    let user = match value {
        Value::String(text) => UserId::parse(text),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            UserId::parse(&number.to_string())
        }
        _ => None,
    };
    user.map(Some).ok_or(Mistake::User)
}

/// A `NumericDate` (RFC 7519, section 2), which may have a fraction. What is too far away is as far as can be.
pub(super) fn time(value: &Value) -> Option<Duration> {
    if let Some(seconds) = value.as_u64() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = value.as_f64()?.max(0.0);
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
