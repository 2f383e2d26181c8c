//! JSON Web Tokens (RFC 7519), signed by the one algorithm of the route.
//!
//! The signature is verified by the `jsonwebtoken` crate. Header and claims are read here: the crate knows only its own
//! clock, and lets a token pass that demands an extension. A key belongs to one algorithm, so a public key can never be
//! taken for a secret.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto, errors};
use serde_json::Value;

use super::payload::{Fields, Mistake, channels, field, fields, time, user};
use super::{Signed, TokenError};

/// How far the clock of the issuer may be ahead: `nbf` is often the very moment a token was made. Nothing of the kind is
/// granted at the end.
const AHEAD: Duration = Duration::from_secs(10);

/// The shortest secret for HS256, in bytes (RFC 7518, section 3.2).
const SHORTEST_SECRET: usize = 32;

/// What the PEM of a public key begins with.
const LABELS: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN RSA PUBLIC KEY-----",
];

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256; the key is a shared secret.
    Hs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA (PKCS #1 v1.5) with SHA-256 and at least 2,048 bits.
    Rs256,
}

/// A text that is no key of its algorithm. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// A secret that can be guessed.
    #[error("a secret for HS256 has at least {SHORTEST_SECRET} bytes (RFC 7518, section 3.2)")]
    Short,
    /// A PEM file where a secret belongs: probably a public key, which everybody has.
    #[error("a PEM key is no secret for HS256")]
    Pem,
    /// A private key, which has no business here.
    #[error("a private key: tokens are verified with the public one")]
    Private,
    /// An RSA key that no signature would be believed of.
    #[error("an RSA key has 2048 to 8192 bits")]
    Length,
    /// Something else.
    #[error("no public key for {0} in PEM form (-----BEGIN PUBLIC KEY-----)")]
    NotPublic(Algorithm),
}

/// The key of such tokens, and what they must say. A secret is never printed.
#[derive(Debug, Clone)]
pub struct Jwt {
    algorithm: Algorithm,
    key: DecodingKey,
    /// The text of a public key.
    public: Option<Box<str>>,
    audience: Option<Box<str>>,
    issuer: Option<Box<str>>,
}

impl Algorithm {
    /// The name in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    pub(super) const fn of_crate(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Jwt {
    /// Whether both take the same tokens.
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.key.as_bytes() == other.key.as_bytes()
            && self.audience == other.audience
            && self.issuer == other.issuer
    }
}

impl Eq for Jwt {}

impl Jwt {
    /// `key` is a secret for HS256, else a public key as PEM. A token must name `audience` and `issuer` if there are any.
    pub fn new(
        algorithm: Algorithm,
        key: &str,
        audience: Option<&str>,
        issuer: Option<&str>,
    ) -> Result<Self, InvalidKey> {
        let text = (algorithm != Algorithm::Hs256).then(|| key.into());
        let key = match algorithm {
            Algorithm::Hs256 => secret(key)?,
            Algorithm::Es256 => {
                let read = DecodingKey::from_ec_pem;
                public(algorithm, key, read, &ECDSA_P256_SHA256_FIXED)?
            }
            Algorithm::EdDsa => public(algorithm, key, DecodingKey::from_ed_pem, &ED25519)?,
            Algorithm::Rs256 => {
                let read = DecodingKey::from_rsa_pem;
                let key = public(algorithm, key, read, &RSA_PKCS1_2048_8192_SHA256)?;
                Some(key)
                    .filter(has_a_good_length)
                    .ok_or(InvalidKey::Length)?
            }
        };
        Ok(Self {
            algorithm,
            key,
            public: text,
            audience: audience.map(Into::into),
            issuer: issuer.map(Into::into),
        })
    }

    /// The one algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key, if it is no secret.
    pub fn public_key(&self) -> Option<&str> {
        self.public.as_deref()
    }

    /// The key, if it is one.
    pub(super) fn secret(&self) -> Option<&[u8]> {
        (self.algorithm == Algorithm::Hs256).then(|| self.key.as_bytes())
    }

    /// What `aud` must name.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// What `iss` must be.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(super) fn verify(&self, token: &str, now: Duration) -> Result<Signed, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decoded(header).ok_or(TokenError::Malformed)?;
        if header.get("alg").and_then(Value::as_str) != Some(self.algorithm.as_str()) {
            return Err(TokenError::Algorithm);
        }
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let algorithm = self.algorithm.of_crate();
        match crypto::verify(signature, message.as_bytes(), &self.key, algorithm) {
            Ok(true) => {}
            Ok(false) => return Err(TokenError::Signature),
            Err(_) => return Err(TokenError::Malformed),
        }
        let claims = decoded(payload).ok_or(TokenError::Payload(Mistake::NoObject))?;
        let until = until(&claims, now)?;
        self.is_for_us(&claims)?;
        let read = || {
            Ok(Signed {
                channels: channels(&claims)?,
                user: user(&claims, &["user", "sub"])?,
                until,
            })
        };
        read().map_err(TokenError::Payload)
    }

    fn is_for_us(&self, claims: &Fields) -> Result<(), TokenError> {
        match (field(claims, "aud"), self.audience()) {
            (None, None) => {}
            (Some(_), None) => return Err(TokenError::Payload(Mistake::Audience)),
            (Some(told), Some(audience)) if names(told, audience) => {}
            (_, Some(_)) => return Err(TokenError::Audience),
        }
        let issuer = field(claims, "iss").and_then(Value::as_str);
        if self.issuer.is_some() && issuer != self.issuer() {
            return Err(TokenError::Issuer);
        }
        Ok(())
    }
}

/// The end of a token whose time has come and is not over.
fn until(claims: &Fields, now: Duration) -> Result<Duration, TokenError> {
    let until = field(claims, "exp")
        .and_then(time)
        .ok_or(TokenError::Payload(Mistake::Expiry))?;
    if until <= now {
        return Err(TokenError::Expired);
    }
    if let Some(from) = field(claims, "nbf") {
        let from = time(from).ok_or(TokenError::Payload(Mistake::NotBefore))?;
        if from > now.saturating_add(AHEAD) {
            return Err(TokenError::NotYet);
        }
    }
    Ok(until)
}

/// Whether `aud` is this one, or a list with it.
fn names(told: &Value, audience: &str) -> bool {
    match told {
        Value::String(one) => one == audience,
        Value::Array(all) => all.iter().any(|one| one == audience),
        _ => false,
    }
}

fn decoded(part: &str) -> Option<Fields> {
    fields(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?)
}

fn secret(text: &str) -> Result<DecodingKey, InvalidKey> {
    if text.contains("-----BEGIN ") {
        return Err(InvalidKey::Pem);
    }
    if text.len() < SHORTEST_SECRET {
        return Err(InvalidKey::Short);
    }
    Ok(DecodingKey::from_secret(text.as_bytes()))
}

/// Reads a key with the crate, which would also take a point of any curve for one, and the first bit string of a
/// certificate.
fn public(
    algorithm: Algorithm,
    pem: &str,
    read: fn(&[u8]) -> Result<DecodingKey, errors::Error>,
    verification: &'static dyn VerificationAlgorithm,
) -> Result<DecodingKey, InvalidKey> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(InvalidKey::Private);
    }
    let is_labelled = |label| pem.trim_start().starts_with(label);
    if !LABELS.into_iter().any(is_labelled) {
        return Err(InvalidKey::NotPublic(algorithm));
    }
    let key = read(pem.as_bytes()).ok();
    key.filter(|key| ParsedPublicKey::new(verification, key.as_bytes()).is_ok())
        .ok_or(InvalidKey::NotPublic(algorithm))
}

/// Whether an RSA key is one of those that the crate verifies with; it looks only then.
fn has_a_good_length(key: &DecodingKey) -> bool {
    let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_bytes());
    let der = parsed.ok().and_then(|parsed| parsed.as_der().ok());
    let key = der.and_then(|der| PublicEncryptingKey::from_der(der.as_ref()).ok());
    key.is_some_and(|key| (2048..=8192).contains(&key.key_size_bits()))
}
