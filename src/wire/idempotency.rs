//! `Idempotency-Key`: the name a client gives a request, so that sending it twice does it once
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Read by the publish service. The value is taken as it is written: the draft's quoted string and the bare token that
//! most clients send are both just a name.

use std::fmt;

use http::{HeaderMap, HeaderName};

use crate::wire::webhook;

/// The request's header.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in bytes.
const LONGEST: usize = 255;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `Idempotency-Key`
    IdempotencyKey,
    /// `webhook-id`, which senders of webhooks give their requests in any case
    WebhookId,
}

impl Header {
    /// The name, as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdempotencyKey => "Idempotency-Key",
            Self::WebhookId => "webhook-id",
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Which of them counts cannot be known.
    #[error("there is more than one {0}")]
    Several(Header),
    /// Empty, too long, or with a character that cannot be seen.
    #[error("the value of {0} has 1 to {LONGEST} visible ASCII characters")]
    Form(Header),
}

/// The key of a request, if it has one: `Idempotency-Key`, else `webhook-id`.
pub fn key(headers: &HeaderMap) -> Result<Option<(Header, &str)>, InvalidKey> {
    let (header, name) = if headers.contains_key(KEY) {
        (Header::IdempotencyKey, KEY)
    } else {
        (Header::WebhookId, webhook::ID)
    };
    let mut given = headers.get_all(name).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(InvalidKey::Several(header));
    }
    let visible = |text: &&str| text.bytes().all(|b| b.is_ascii_graphic());
    let fits = |text: &&str| (1..=LONGEST).contains(&text.len());
    let text = key.to_str().ok().filter(visible).filter(fits);
    text.map(|text| Some((header, text)))
        .ok_or(InvalidKey::Form(header))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Read = Result<Option<(Header, String)>, InvalidKey>;

    fn read(values: &[(HeaderName, &[u8])]) -> Read {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        key(&headers).map(|found| found.map(|(header, key)| (header, key.to_owned())))
    }

    #[test]
    fn a_key_is_visible_and_not_too_long() {
        assert_eq!(read(&[]), Ok(None));
        let long = "k".repeat(255);
        for (name, header) in [
            (KEY, Header::IdempotencyKey),
            (webhook::ID, Header::WebhookId),
        ] {
            for good in ["k", "\"8e03978e-40d5\"", "~", &long] {
                let found = read(&[(name.clone(), good.as_bytes())]);
                assert_eq!(found, Ok(Some((header, good.to_owned()))));
            }
            for bad in ["", "a b", "a\tb", "\u{e9}", &"k".repeat(256)] {
                let found = read(&[(name.clone(), bad.as_bytes())]);
                assert_eq!(found, Err(InvalidKey::Form(header)), "{bad:?}");
            }
            let twice = read(&[(name.clone(), b"a"), (name, b"a")]);
            assert_eq!(twice, Err(InvalidKey::Several(header)));
        }
    }

    #[test]
    fn the_id_of_a_webhook_counts_where_there_is_no_key() {
        let both = read(&[(webhook::ID, b"a b"), (KEY, b"k")]);
        assert_eq!(both, Ok(Some((Header::IdempotencyKey, "k".to_owned()))));
    }
}
