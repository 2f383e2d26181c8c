//! Signed tokens: a stranger's text is never good, what the site signs is read, and no byte of it can be changed.
//!
//! The first byte says where the token is changed, the next how; the rest is a token as it is, and also the payload of
//! one that is signed here.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tidegate::wire::ask::MOST_CHANNELS;
use tidegate::wire::signed::{Algorithm, Django, Jwt, LONGEST, Signed, TokenError, Verifier};

const KEY: &str = "a secret of more than thirty-two bytes";
const NOW: Duration = Duration::from_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);

pub fn check(data: &[u8]) -> Option<()> {
    let [place, change, payload @ ..] = data else {
        return None;
    };
    let django = Verifier::Django(Django::new(KEY, "sse", HOUR));
    let jwt = Jwt::new(Algorithm::Hs256, KEY, None, None).expect("a good key");
    let jwt = Verifier::Jwt(jwt);
    if let Ok(text) = std::str::from_utf8(payload) {
        assert!(django.verify(text, NOW).is_err() && jwt.verify(text, NOW).is_err());
    }
    let encoded = BASE64_URL_SAFE_NO_PAD.encode(payload);
    // The time is `NOW` in base62.
    for value in [
        format!("{encoded}:1r31eq"),
        format!(".{encoded}:1r31eq"),
        format!("{encoded}:{encoded}"),
    ] {
        let token = sign(&django_key(), &value, ':');
        is_read(&django, &token, *place, *change);
    }
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    is_read(
        &jwt,
        &sign(&key, &format!("{header}.{encoded}"), '.'),
        *place,
        *change,
    );
    // As a header it may say anything, but not another algorithm.
    let token = sign(&key, &format!("{encoded}.{encoded}"), '.');
    let _any = jwt.verify(&token, NOW).map(|signed| is_sound(&signed));
    Some(())
}

/// The token is not refused for its signature, and changed in one byte it is refused.
fn is_read(verifier: &Verifier, token: &str, place: u8, change: u8) {
    if token.len() > LONGEST {
        assert_eq!(verifier.verify(token, NOW), Err(TokenError::TooLong));
        return;
    }
    match verifier.verify(token, NOW) {
        Ok(signed) => is_sound(&signed),
        Err(error) => assert!(
            !matches!(
                error,
                TokenError::Signature | TokenError::Malformed | TokenError::Algorithm
            ),
            "{error:?}: {token}"
        ),
    }
    let mut bytes = token.as_bytes().to_vec();
    // Both ends are in reach, however long the token is.
    let at = if place < 128 {
        usize::from(place)
    } else {
        bytes.len().saturating_sub(usize::from(place) - 127)
    };
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= change.clamp(1, 127);
    let changed = String::from_utf8(bytes).expect("still ASCII");
    assert!(
        verifier.verify(&changed, NOW).is_err(),
        "{token} as {changed}"
    );
}

fn is_sound(signed: &Signed) {
    assert!((1..=MOST_CHANNELS).contains(&signed.channels.len()));
    assert!(signed.until > NOW);
    for (index, channel) in signed.channels.iter().enumerate() {
        assert!(channel.is_named() && !signed.channels[..index].contains(channel));
    }
}

fn django_key() -> hmac::Key {
    let mut derived = digest::Context::new(&digest::SHA256);
    for part in ["sse", "signer", KEY] {
        derived.update(part.as_bytes());
    }
    hmac::Key::new(hmac::HMAC_SHA256, derived.finish().as_ref())
}

fn sign(key: &hmac::Key, value: &str, separator: char) -> String {
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(key, value.as_bytes()));
    format!("{value}{separator}{signature}")
}
