//! What `django.core.signing.dumps(obj, key=…, salt=…)` makes: `[.]payload:time:signature`.
//!
//! The payload is JSON in URL-safe base64 without padding, with a dot before it if it was compressed; the time is in
//! seconds, base62; the signature is an HMAC-SHA256 over all before it, whose key is `sha256(salt + "signer" + key)`
//! (`salted_hmac`).

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

use super::payload::{Mistake, channels, fields, user};
use super::{Signed, TokenError};

/// The longest payload once it is inflated, in bytes.
const LONGEST_INFLATED: usize = 32 << 10;

/// Key, salt and age of such tokens. The key is never printed.
#[derive(Debug, Clone)]
pub struct Django {
    /// Boxed, because it is large.
    key: Box<hmac::Key>,
    salt: Box<str>,
    max_age: Duration,
}

impl PartialEq for Django {
    /// Whether both take the same tokens.
    fn eq(&self, other: &Self) -> bool {
        let sign = |one: &Self| hmac::sign(&one.key, b"");
        self.salt == other.salt
            && self.max_age == other.max_age
            && sign(self).as_ref() == sign(other).as_ref()
    }
}

impl Eq for Django {}

impl Django {
    /// `key` and `salt` as they are given to `dumps`.
    pub fn new(key: &str, salt: &str, max_age: Duration) -> Self {
        let mut derived = digest::Context::new(&digest::SHA256);
        for part in [salt, "signer", key] {
            derived.update(part.as_bytes());
        }
        Self {
            key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, derived.finish().as_ref())),
            salt: salt.into(),
            max_age,
        }
    }

    /// The salt.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// How long a token is good after it was made.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// `value` with its signature.
    pub(super) fn sign(&self, value: &str) -> String {
        let signature = hmac::sign(&self.key, value.as_bytes());
        format!("{value}:{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    pub(super) fn verify(&self, token: &str, now: Duration) -> Result<Signed, TokenError> {
        let (value, signature) = token.rsplit_once(':').ok_or(TokenError::Malformed)?;
        // Exactly one text decodes to these bytes, so this is as strict as Django's comparison of the texts.
        let signature = BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| TokenError::Malformed)?;
        hmac::verify(&self.key, value.as_bytes(), &signature).map_err(|_| TokenError::Signature)?;
        let (payload, made) = value
            .rsplit_once(':')
            .and_then(|(payload, made)| Some((payload, base62(made)?)))
            .ok_or(TokenError::Payload(Mistake::NoTime))?;
        let until = Duration::from_secs(made).saturating_add(self.max_age);
        if until <= now {
            return Err(TokenError::Expired);
        }
        let read = || {
            let fields = fields(&decoded(payload)?).ok_or(Mistake::NoObject)?;
            Ok(Signed {
                channels: channels(&fields)?,
                user: user(&fields, &["user"])?,
                until,
            })
        };
        read().map_err(TokenError::Payload)
    }
}

fn decoded(payload: &str) -> Result<Vec<u8>, Mistake> {
    let decode = |text| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| Mistake::Encoding)
    };
    let Some(compressed) = payload.strip_prefix('.') else {
        return decode(payload);
    };
    let inflated = decompress_to_vec_zlib_with_limit(&decode(compressed)?, LONGEST_INFLATED);
    inflated.map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => Mistake::TooLong,
        _ => Mistake::Encoding,
    })
}

/// Django's base62: digits, then upper case, then lower case.
fn base62(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_is_djangos() {
        for (digits, value) in [
            ("0", Some(0)),
            ("z", Some(61)),
            ("10", Some(62)),
            ("1r31eq", Some(1_700_000_000)),
            ("LygHa16AHYF", Some(u64::MAX)),
            ("LygHa16AHYG", None),
            ("zzzzzzzzzzzzzzzzzzzzzzzz", None),
            ("", None),
            ("-5", None),
            ("1 ", None),
        ] {
            assert_eq!(base62(digits), value, "{digits:?}");
        }
    }
}
