//! `Grip-Sig`: what shows Django that a request came through the gateway, and what the control endpoint is opened with.
//!
//! `config` makes the keys, the upstream side signs with them (a token may be used for minutes), the control endpoint
//! asks [`Key::opens`]. The claims are `iss` and `exp` and no other: with an `aud`, or an `iat` ahead of its clock, Django's
//! side refuses the token. Short secrets are taken, as Pushpin takes them.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, crypto};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::fields::BASE64;

/// What stands before a secret that is written as base64.
const OF_BASE64: &str = "base64:";

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 << 10;

/// A text that is no key. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing, which everybody knows.
    #[error("the key is empty")]
    Empty,
    /// What follows `base64:` is none.
    #[error("what follows base64: is no base64")]
    Base64,
    /// A PEM that nothing can be signed with.
    #[error("the PEM is no private key for ES256 (P-256, in PKCS #8) or RS256 (2048 bits or more)")]
    Pem,
}

/// A key that `Grip-Sig` is signed with. Never printed.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    signing: EncodingKey,
    /// A shared secret, by which others sign too.
    secret: Option<Box<[u8]>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    exp: u64,
}

/// What is read of a token that others made.
#[derive(Deserialize)]
struct Algorithms {
    alg: Box<str>,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Expiry {
    exp: serde_json::Number,
}

impl Key {
    /// Reads a key: a plain text, `base64:` and bytes, or a private key as PEM.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.contains("-----BEGIN ") {
            return Self::of_pem(text.as_bytes()).ok_or(InvalidKey::Pem);
        }
        let secret = match text.strip_prefix(OF_BASE64) {
            Some(text) => {
                let bytes = BASE64.decode(text.trim());
                bytes.map_err(|_| InvalidKey::Base64)?
            }
            None => text.as_bytes().to_vec(),
        };
        if secret.is_empty() {
            return Err(InvalidKey::Empty);
        }
        Ok(Self::of_secret(secret))
    }

    /// A secret written in hexadecimal digits; `None` if it is none.
    pub fn of_hex(digits: &str) -> Option<Self> {
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            let both = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            both.then(|| u8::from_str_radix(pair, 16).ok())?
        };
        let secret: Option<Vec<u8>> = pairs.map(byte).collect();
        secret
            .filter(|secret| !secret.is_empty())
            .map(Self::of_secret)
    }

    /// A secret that nobody else knows, where none is configured.
    pub fn random(bytes: [u8; 32]) -> Self {
        Self::of_secret(bytes.to_vec())
    }

    fn of_secret(secret: Vec<u8>) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            signing: EncodingKey::from_secret(&secret),
            secret: Some(secret.into()),
        }
    }

    fn of_pem(pem: &[u8]) -> Option<Self> {
        let read = [
            (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
        ];
        let keys = read.into_iter().filter_map(|(algorithm, key)| {
            let key = Self {
                algorithm,
                signing: key.ok()?,
                secret: None,
            };
            // A curve that is not the algorithm's, or too short a key, shows only when something is signed.
            key.sign("", 0).map(|_| key)
        });
        keys.last()
    }

    /// A token for `Grip-Sig` that holds until `exp_unix`, seconds since 1970. `None` if the key does not sign, which
    /// [`Key::parse`] has tried.
    pub fn sign(&self, iss: &str, exp_unix: u64) -> Option<String> {
        let claims = Claims { iss, exp: exp_unix };
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.signing).ok()
    }

    /// Whether `bearer` is a token that is signed with this secret and has not expired at `now_unix`, or the secret
    /// itself. A private key opens nothing.
    pub fn opens(&self, bearer: &str, now_unix: u64) -> bool {
        let Some(secret) = &self.secret else {
            return false;
        };
        let is_secret = bool::from(secret.ct_eq(bearer.as_bytes()));
        is_secret || (bearer.len() <= LONGEST && is_signed(secret, bearer, now_unix).is_some())
    }
}

fn is_signed(secret: &[u8], token: &str, now_unix: u64) -> Option<()> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let header: Algorithms = decoded(header)?;
    if &*header.alg != "HS256" || header.crit.is_some() {
        return None;
    }
    let key = DecodingKey::from_secret(secret);
    let is_good = crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256).ok()?;
    let payload: Expiry = is_good.then(|| decoded(payload)).flatten()?;
    let until = payload
        .exp
        .as_u64()
        .or_else(|| whole(payload.exp.as_f64()?));
    (until? > now_unix).then_some(())
}

/// A time may have a fraction (RFC 7519, section 2); what is beyond all times is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^53, where a double holds every whole number"
)]
fn whole(seconds: f64) -> Option<u64> {
    (0.0..=9_007_199_254_740_992.0)
        .contains(&seconds)
        .then_some(seconds as u64)
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.signing.inner() == other.signing.inner()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::parse("changeme").unwrap()
    }

    fn token(header: &str, payload: &str) -> String {
        let message = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let message = message.join(".");
        let signing = EncodingKey::from_secret(b"changeme");
        let signature = crypto::sign(message.as_bytes(), &signing, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let text = BASE64.encode(key.serialize_der());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn a_signature_says_who_and_until_when_and_no_more() {
        let signed = key().sign("pushpin", 1000).unwrap();
        let parts: Vec<Vec<u8>> = signed
            .split('.')
            .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap())
            .collect();
        assert_eq!(parts[0], br#"{"typ":"JWT","alg":"HS256"}"#);
        assert_eq!(parts[1], br#"{"iss":"pushpin","exp":1000}"#);
        assert!(key().opens(&signed, 999) && !key().opens(&signed, 1000));
    }

    #[test]
    fn a_key_has_three_forms() {
        let same = Key::parse("base64:Y2hhbmdlbWU=").unwrap();
        assert_eq!(same.sign("a", 1), key().sign("a", 1));
        assert_eq!(Key::parse("").unwrap_err(), InvalidKey::Empty);
        assert_eq!(Key::parse("base64:").unwrap_err(), InvalidKey::Empty);
        assert_eq!(Key::parse("base64:*").unwrap_err(), InvalidKey::Base64);
        let es256 = Key::parse(&pem(&rcgen::PKCS_ECDSA_P256_SHA256)).unwrap();
        assert_eq!(es256.algorithm, Algorithm::ES256);
        let signed = es256.sign("a", 1000).unwrap();
        assert!(!es256.opens(&signed, 1));
        for other in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            assert_eq!(Key::parse(&pem(other)).unwrap_err(), InvalidKey::Pem);
        }
        let rs256 = Key::parse(&pem(&rcgen::PKCS_RSA_SHA256)).unwrap();
        assert_eq!(rs256.algorithm, Algorithm::RS256);
        assert!(rs256.sign("a", 1).is_some());
    }

    #[test]
    fn the_secret_itself_opens() {
        assert!(key().opens("changeme", 0));
        for other in ["", "changem", "changemes", "base64:Y2hhbmdlbWU="] {
            assert!(!key().opens(other, 0), "{other}");
        }
    }

    #[test]
    fn only_a_good_token_opens() {
        let header = r#"{"alg":"HS256"}"#;
        assert!(key().opens(&token(header, r#"{"exp":10.5,"aud":"x"}"#), 9));
        for (header, payload) in [
            (header, "{}"),
            (header, r#"{"exp":"10"}"#),
            (header, r#"{"exp":-10}"#),
            (header, r#"{"exp":1e300}"#),
            (header, r#"{"exp":9.9}"#),
            (r#"{"alg":"none"}"#, r#"{"exp":10}"#),
            (r#"{"alg":"HS512"}"#, r#"{"exp":10}"#),
            (r#"{"alg":"HS256","crit":["x"]}"#, r#"{"exp":10}"#),
        ] {
            assert!(!key().opens(&token(header, payload), 9), "{payload}");
        }
        let good = token(header, r#"{"exp":10}"#);
        let other = Key::random([7; 32]);
        assert!(!other.opens(&good, 9));
        for cut in 0..good.len() {
            assert!(!key().opens(&good[..cut], 9));
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        assert!(!format!("{:?}", key()).contains("changeme"));
        assert!(!format!("{:?}", key()).contains("99, 104"));
    }
}
