//! Tokens made here: what a site would sign for its listeners, for who tries a route or has no Django at hand.
//!
//! Called by `tidegate token`. Invariant: what is made is of the form that the site's own signer gives it, down to JSON without
//! anything but ASCII, which is what Django writes and reads.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use serde_json::{Map, Value, json};

use super::{Algorithm, Jwt, LONGEST, Signed, Verifier};
use crate::domain::ChannelName;
use crate::wire::duration;

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    /// Tokens of this kind end when they are as old as the route says.
    #[error("a token of this route is good for {} and no longer (max_age)", duration::text(*.0))]
    TooLong(Duration),
    /// The file has a public key only.
    #[error("the key of the route is a public one: tokens for {0} are signed with the private one")]
    NeedsKey(Algorithm),
    /// The route has all that is needed.
    #[error("the key of the route signs its tokens: no other is needed")]
    NeedsNoKey,
    /// No such key.
    #[error("this is no private key for {0} in PEM form")]
    Key(Algorithm),
    /// Channels with long names.
    #[error("the token would be longer than {LONGEST} bytes")]
    Long,
}

impl Verifier {
    /// Signs `content` at the time `now`, since 1970, so that this verifier takes it until `content.until`. `private` is the
    /// PEM of the private key, if the route has a public one.
    pub fn sign(
        &self,
        content: &Signed,
        now: Duration,
        private: Option<&str>,
    ) -> Result<String, Unsigned> {
        let token = match (self, private) {
            (Self::Django(_), Some(_)) => return Err(Unsigned::NeedsNoKey),
            (Self::Django(django), None) => {
                let most = django.max_age();
                // Its end follows from the time it says it was made at.
                let made = content.until.checked_sub(most);
                let made = made.filter(|made| *made <= now);
                let made = made.ok_or(Unsigned::TooLong(most))?;
                let payload = BASE64_URL_SAFE_NO_PAD.encode(ascii(&fields(content).into()));
                django.sign(&format!("{payload}:{}", base62(made.as_secs())))
            }
            (Self::Jwt(jwt), private) => {
                let mut claims = fields(content);
                claims.insert("iat".to_owned(), now.as_secs().into());
                claims.insert("exp".to_owned(), content.until.as_secs().into());
                for (name, value) in [("aud", jwt.audience()), ("iss", jwt.issuer())] {
                    if let Some(value) = value {
                        claims.insert(name.to_owned(), value.into());
                    }
                }
                signed_jwt(jwt, &claims.into(), private)?
            }
        };
        if token.len() > LONGEST {
            return Err(Unsigned::Long);
        }
        Ok(token)
    }
}

fn fields(content: &Signed) -> Map<String, Value> {
    let names = content.channels.iter().map(ChannelName::as_str);
    let mut fields = Map::new();
    fields.insert("channels".to_owned(), names.collect());
    if let Some(user) = &content.user {
        fields.insert("user".to_owned(), user.as_str().into());
    }
    fields
}

fn signed_jwt(jwt: &Jwt, claims: &Value, private: Option<&str>) -> Result<String, Unsigned> {
    let algorithm = jwt.algorithm();
    let key = match (jwt.secret(), private) {
        (Some(secret), None) => EncodingKey::from_secret(secret),
        (Some(_), Some(_)) => return Err(Unsigned::NeedsNoKey),
        (None, None) => return Err(Unsigned::NeedsKey(algorithm)),
        (None, Some(pem)) => {
            let read = match algorithm {
                Algorithm::Es256 => EncodingKey::from_ec_pem,
                Algorithm::EdDsa => EncodingKey::from_ed_pem,
                Algorithm::Rs256 | Algorithm::Hs256 => EncodingKey::from_rsa_pem,
            };
            read(pem.as_bytes()).map_err(|_| Unsigned::Key(algorithm))?
        }
    };
    let header = json!({ "alg": algorithm.as_str(), "typ": "JWT" });
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(ascii(part));
    let message = format!("{}.{}", encode(&header), encode(claims));
    let signature = crypto::sign(message.as_bytes(), &key, algorithm.of_crate());
    let signature = signature.map_err(|_| Unsigned::Key(algorithm))?;
    Ok(format!("{message}.{signature}"))
}

/// JSON in ASCII: Django reads a payload as Latin-1.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string never fails.
            let _written: std::fmt::Result = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// Django's base62: digits, then upper case, then lower case.
fn base62(mut number: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    loop {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        digits.push(char::from(DIGITS.get(digit).copied().unwrap_or_default()));
        number /= 62;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;
    use crate::wire::signed::Django;

    const NOW: Duration = Duration::from_secs(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn content(ttl: Duration) -> Signed {
        Signed {
            channels: ["a", "b"]
                .map(|name| ChannelName::parse(name).unwrap())
                .to_vec(),
            user: UserId::parse("änn \u{1f600}"),
            until: NOW + ttl,
        }
    }

    fn jwt(algorithm: Algorithm, key: &str) -> Verifier {
        Verifier::Jwt(Jwt::new(algorithm, key, Some("aud"), Some("iss")).unwrap())
    }

    /// Holds a token against its own verifier: good to the last second, and no longer.
    fn is_good(verifier: &Verifier, private: Option<&str>, ttl: Duration) {
        let content = content(ttl);
        let token = verifier.sign(&content, NOW, private).unwrap();
        assert_eq!(verifier.verify(&token, NOW), Ok(content));
        let last = (NOW + ttl).saturating_sub(Duration::from_secs(1));
        assert!(verifier.verify(&token, last).is_ok());
        assert!(verifier.verify(&token, NOW + ttl).is_err());
    }

    #[test]
    fn what_is_signed_is_verified() {
        let django = Verifier::Django(Django::new("key", "sse", HOUR));
        is_good(&django, None, HOUR);
        is_good(&django, None, Duration::from_secs(60));
        is_good(&jwt(Algorithm::Hs256, &"s".repeat(32)), None, HOUR * 24);
        for (algorithm, of_rcgen) in [
            (Algorithm::Es256, &rcgen::PKCS_ECDSA_P256_SHA256),
            (Algorithm::EdDsa, &rcgen::PKCS_ED25519),
            (Algorithm::Rs256, &rcgen::PKCS_RSA_SHA256),
        ] {
            let pair = rcgen::KeyPair::generate_for(of_rcgen).unwrap();
            let verifier = jwt(algorithm, &pair.public_key_pem());
            is_good(&verifier, Some(&pair.serialize_pem()), HOUR);
            let without = verifier.sign(&content(HOUR), NOW, None);
            assert!(matches!(without, Err(Unsigned::NeedsKey(_))));
            let wrong = verifier.sign(&content(HOUR), NOW, Some(&pair.public_key_pem()));
            assert!(matches!(wrong, Err(Unsigned::Key(_))), "{algorithm}");
        }
    }

    #[test]
    fn what_no_verifier_would_take_is_not_made() {
        let django = Verifier::Django(Django::new("key", "sse", HOUR));
        let longer = django.sign(&content(HOUR + Duration::from_secs(1)), NOW, None);
        assert!(matches!(longer, Err(Unsigned::TooLong(HOUR))));
        let hs256 = jwt(Algorithm::Hs256, &"s".repeat(32));
        for verifier in [&django, &hs256] {
            let with_key = verifier.sign(&content(HOUR), NOW, Some("-----BEGIN"));
            assert!(matches!(with_key, Err(Unsigned::NeedsNoKey)));
        }
        let names = (0..100).map(|n| ChannelName::parse(&format!("{n:0>190}")).unwrap());
        let many = Signed {
            channels: names.collect(),
            ..content(HOUR)
        };
        assert!(matches!(hs256.sign(&many, NOW, None), Err(Unsigned::Long)));
    }

    #[test]
    fn numbers_are_written_as_django_does() {
        for (number, digits) in [(0, "0"), (61, "z"), (62, "10"), (1_700_000_000, "1r31eq")] {
            assert_eq!(base62(number), digits);
        }
        assert_eq!(ascii(&json!("ä😀")), "\"\\u00e4\\ud83d\\ude00\"");
    }
}
