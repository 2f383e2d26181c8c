//! Standard Webhooks: who holds the secret signs a message so that its receiver knows it is whole, and who sent it.
//!
//! `notify` signs what it tells Django. What is signed is the id, the time and the body, joined by dots; the id therefore
//! should have none. See <https://www.standardwebhooks.com>.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

/// The header that names a message; the same when it is sent again.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// The header with the time it was sent, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The header with the signature.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The bytes a secret has at least.
const LEAST: usize = 24;

/// A secret that sender and receiver share. Never printed. Cheap to clone.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// A text that is no secret; it is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It does not begin with `whsec_`, or the rest is not base64.
    #[error("a secret of Standard Webhooks is whsec_ and base64")]
    Form,
    /// Fewer than 24 bytes.
    #[error("a secret of Standard Webhooks has at least {LEAST} bytes")]
    Short,
}

impl Secret {
    /// Reads `whsec_` and base64 of at least 24 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret::Form)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Form)?;
        if bytes.len() < LEAST {
            return Err(InvalidSecret::Short);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature` for a message that is sent at `timestamp`, in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(format!("{id}.{timestamp}.").as_bytes());
        signed.update(body);
        format!("v1,{}", STANDARD.encode(signed.sign()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_alike() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn a_secret_has_the_prefix_and_enough_bytes() {
        let secret = |text: &str| Secret::parse(text).map(|_| ());
        assert_eq!(
            secret(&format!("whsec_{}", STANDARD.encode([7; 24]))),
            Ok(())
        );
        assert_eq!(
            secret(&format!("whsec_{}", STANDARD.encode([7; 23]))),
            Err(InvalidSecret::Short)
        );
        for wrong in ["", "whsec_", "whsec_ä", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(secret(wrong).is_err(), "{wrong:?}");
        }
    }
}
