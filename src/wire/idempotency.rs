//! `Idempotency-Key`: the name a client gives a request, so that sending it twice does it once
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Read by the publish service. The value is taken as it is written: the draft's quoted string and the bare token that
//! most clients send are both just a name.

use http::{HeaderMap, HeaderName};

/// The request's header.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in bytes.
const LONGEST: usize = 255;

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Which of them counts cannot be known.
    #[error("there is more than one Idempotency-Key")]
    Several,
    /// Empty, too long, or with a character that cannot be seen.
    #[error("an Idempotency-Key has 1 to {LONGEST} visible ASCII characters")]
    Form,
}

/// The key of a request, if it has one.
pub fn key(headers: &HeaderMap) -> Result<Option<&str>, InvalidKey> {
    let mut given = headers.get_all(KEY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(InvalidKey::Several);
    }
    let visible = |text: &&str| text.bytes().all(|b| b.is_ascii_graphic());
    let fits = |text: &&str| (1..=LONGEST).contains(&text.len());
    let text = key.to_str().ok().filter(visible).filter(fits);
    text.map(Some).ok_or(InvalidKey::Form)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, InvalidKey> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, HeaderValue::from_bytes(value).unwrap());
        }
        key(&headers).map(|found| found.map(ToOwned::to_owned))
    }

    #[test]
    fn a_key_is_visible_and_not_too_long() {
        assert_eq!(read(&[]), Ok(None));
        let long = "k".repeat(255);
        for good in ["k", "\"8e03978e-40d5\"", "~", &long] {
            assert_eq!(read(&[good.as_bytes()]), Ok(Some(good.to_owned())));
        }
        for bad in ["", "a b", "a\tb", "\u{e9}", &"k".repeat(256)] {
            assert_eq!(read(&[bad.as_bytes()]), Err(InvalidKey::Form), "{bad:?}");
        }
        assert_eq!(read(&[b"a", b"a"]), Err(InvalidKey::Several));
    }
}
