//! Standard Webhooks: a request signed by HMAC-SHA256 over `id.timestamp.body`, in three headers.
//!
//! Verified by the publish service, for whoever posts straight in; what the gateway sends itself is signed here too. The
//! time is passed in. An id with a full stop is refused, for then the same signed bytes could be taken apart in another
//! way, and a captured request come again under another id.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq};

/// What names the message, however often it is sent.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When it was sent, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Its signatures, with a space between them.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How far the timestamp may be from now in either direction, in seconds.
pub const TOLERANCE_SECONDS: u64 = 300;

/// Secrets are handed out with and without padding; the reference implementations read both.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";
/// The shortest key, in bytes.
const SHORTEST_KEY: usize = 24;
/// The longest id, in bytes.
const LONGEST_ID: usize = 255;

/// The version of the signatures that are made and read.
const VERSION: &str = "v1,";

/// The key that both sides share. Never printed.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// A text that is no secret. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It begins otherwise.
    #[error("a webhook secret begins with {PREFIX:?}")]
    Prefix,
    /// What follows is not base64.
    #[error("what follows {PREFIX:?} must be base64")]
    Base64,
    /// The key is easy to guess.
    #[error("the key of a webhook secret has at least {SHORTEST_KEY} bytes, this one has {0}")]
    Short(usize),
}

impl Secret {
    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret::Prefix)?;
        let key = PADDED_OR_NOT
            .decode(encoded)
            .map_err(|_| InvalidSecret::Base64)?;
        if key.len() < SHORTEST_KEY {
            return Err(InvalidSecret::Short(key.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The value of `webhook-signature` for this message. `id` has no full stop.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let tag = self.tag(id, &timestamp.to_string(), body);
        format!("{VERSION}{}", STANDARD.encode(tag))
    }

    fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        context.sign()
    }
}

impl PartialEq for Secret {
    /// Whether both sign the same.
    fn eq(&self, other: &Self) -> bool {
        hmac::sign(&self.0, b"").as_ref() == hmac::sign(&other.0, b"").as_ref()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a signed request says of itself, before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What names it.
    pub id: String,
    /// When it was sent, in seconds since 1970.
    pub timestamp: u64,
    /// The same, as it was signed.
    written: String,
    /// The signatures that can be read.
    signatures: Vec<Vec<u8>>,
}

/// Headers that sign nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// One of the three is missing.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// Which of them counts cannot be known.
    #[error("the header {0} is there more than once")]
    Several(&'static str),
    /// The id.
    #[error("webhook-id has 1 to {LONGEST_ID} visible ASCII characters and no full stop")]
    Id,
    /// The timestamp.
    #[error("webhook-timestamp is not in whole seconds since 1970")]
    Timestamp,
    /// No signature, or only ones of other versions.
    #[error("webhook-signature has no signature of version v1")]
    Signature,
}

/// Reads the three headers; `None` if the request has none of them.
pub fn read(headers: &HeaderMap) -> Result<Option<Signed>, Unsigned> {
    if [ID, TIMESTAMP, SIGNATURE]
        .iter()
        .all(|name| !headers.contains_key(name))
    {
        return Ok(None);
    }
    let id = single(headers, &ID, "webhook-id")?.ok_or(Unsigned::Id)?;
    let visible = id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    if !visible || !(1..=LONGEST_ID).contains(&id.len()) {
        return Err(Unsigned::Id);
    }
    let written = single(headers, &TIMESTAMP, "webhook-timestamp")?;
    let digits = |text: &&str| text.bytes().all(|b| b.is_ascii_digit());
    let written = written.filter(digits).ok_or(Unsigned::Timestamp)?;
    let timestamp = written.parse().map_err(|_| Unsigned::Timestamp)?;
    let signatures = single(headers, &SIGNATURE, "webhook-signature")?;
    let signatures: Vec<_> = signatures
        .unwrap_or_default()
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
        .collect();
    if signatures.is_empty() {
        return Err(Unsigned::Signature);
    }
    Ok(Some(Signed {
        id: id.to_owned(),
        timestamp,
        written: written.to_owned(),
        signatures,
    }))
}

/// The one value of a header; `None` if it is no ASCII.
fn single<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<&'h str>, Unsigned> {
    let mut values = headers.get_all(header).iter();
    let value = values.next().ok_or(Unsigned::Missing(name))?;
    if values.next().is_some() {
        return Err(Unsigned::Several(name));
    }
    Ok(value.to_str().ok())
}

impl Signed {
    /// Whether it was sent near `now`, in seconds since 1970.
    pub const fn is_timely(&self, now: u64) -> bool {
        self.timestamp.abs_diff(now) <= TOLERANCE_SECONDS
    }

    /// Whether one of the signatures is that of `secret` over this body. All are compared, in constant time.
    pub fn is_by(&self, secret: &Secret, body: &[u8]) -> bool {
        let tag = secret.tag(&self.id, &self.written, body);
        let same = |signature: &Vec<u8>| signature.as_slice().ct_eq(tag.as_ref());
        let any = self.signatures.iter().map(same);
        any.fold(Choice::from(0), |any, same| any | same).into()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn signed(id: &str, timestamp: &str, signature: &str) -> Result<Signed, Unsigned> {
        let lines = [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ];
        read(&headers(&lines)).map(|signed| signed.unwrap())
    }

    #[test]
    fn the_example_of_the_reference_libraries_is_made_and_verified() {
        let secret = Secret::parse(SECRET).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = secret.sign(id, 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let signed = signed(id, "1614265330", &signature).unwrap();
        assert!(signed.is_by(&secret, body) && !signed.is_by(&secret, b"{}"));
        let other = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        assert!(!signed.is_by(&other, body));
    }

    #[test]
    fn one_good_signature_among_others_is_enough() {
        let secret = Secret::parse(SECRET).unwrap();
        let good = secret.sign("a", 5, b"x");
        let (bad, other) = (secret.sign("b", 5, b"x"), good.replace("v1,", "v1a,"));
        for (signatures, is_good) in [
            (format!("{bad} {good}"), true),
            (format!("v2,??? {good} {bad}"), true),
            (format!("  {good} "), true),
            (bad, false),
        ] {
            let signed = signed("a", "5", &signatures).unwrap();
            assert_eq!(signed.is_by(&secret, b"x"), is_good, "{signatures}");
        }
        for none in [other.as_str(), "", "v1,", "v1,?", "v1"] {
            let found = signed("a", "5", none);
            // An empty signature can be read, and is wrong.
            assert!(
                found.is_err() || !found.unwrap().is_by(&secret, b"x"),
                "{none:?}"
            );
        }
    }

    #[test]
    fn headers_that_could_be_read_in_two_ways_are_refused() {
        assert_eq!(read(&HeaderMap::new()), Ok(None));
        let good = "v1,AAAA";
        for id in ["", "a.b", "a b", &"x".repeat(256), "\u{e9}"] {
            assert_eq!(signed(id, "5", good), Err(Unsigned::Id), "{id:?}");
        }
        for time in ["-5", "+5", "5.0", " ", "1e3", "99999999999999999999", ""] {
            assert_eq!(
                signed("a", time, good),
                Err(Unsigned::Timestamp),
                "{time:?}"
            );
        }
        let all = [
            ("webhook-id", "a"),
            ("webhook-timestamp", "5"),
            ("webhook-signature", good),
        ];
        for (name, value) in all {
            let less: Vec<_> = all.iter().copied().filter(|(n, _)| *n != name).collect();
            assert_eq!(read(&headers(&less)), Err(Unsigned::Missing(name)));
            let more: Vec<_> = all.iter().copied().chain([(name, value)]).collect();
            assert_eq!(read(&headers(&more)), Err(Unsigned::Several(name)));
        }
    }

    #[test]
    fn five_minutes_either_way() {
        let signed = signed("a", "1000", "v1,AAAA").unwrap();
        for (now, timely) in [
            (700, true),
            (1300, true),
            (699, false),
            (1301, false),
            (0, false),
        ] {
            assert_eq!(signed.is_timely(now), timely, "{now}");
        }
    }

    #[test]
    fn a_secret_has_its_form_and_is_never_printed() {
        for (text, error) in [
            ("", InvalidSecret::Prefix),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", InvalidSecret::Prefix),
            ("whsec_?", InvalidSecret::Base64),
            ("whsec_", InvalidSecret::Short(0)),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=",
                InvalidSecret::Short(23),
            ),
        ] {
            assert_eq!(Secret::parse(text).unwrap_err(), error, "{text}");
        }
        let secret = Secret::parse(SECRET).unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        let padding = [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA==",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA",
        ];
        let [with, without] = padding.map(|text| Secret::parse(text).unwrap().sign("a", 5, b""));
        assert_eq!(with, without);
    }

    proptest! {
        #[test]
        fn what_is_signed_is_verified(id in "[a-z_0-9]{1,30}", timestamp: u64, body: Vec<u8>) {
            let secret = Secret::parse(SECRET).unwrap();
            let signature = secret.sign(&id, timestamp, &body);
            let signed = signed(&id, &timestamp.to_string(), &signature).unwrap();
            prop_assert!(signed.is_by(&secret, &body));
            prop_assert!(!signed.is_by(&secret, &[&body[..], b" "].concat()));
        }

        #[test]
        fn any_headers_are_read_without_a_panic(
            id in "[ -~]{0,20}",
            timestamp in "[0-9. -]{0,21}",
            signature in "(v1,|v2,|[A-Za-z0-9+/=]{0,8}| ){0,8}",
        ) {
            let _read = signed(&id, &timestamp, &signature);
        }
    }
}
