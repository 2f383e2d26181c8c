//! Tokens that a site signs for its listeners: by `django.core.signing`, or as a JWT.
//!
//! `config` makes a [`Verifier`] of each route with `token`, `ask` gives it what a client presented and the time.
//! Nothing of a token is believed before its signature was found good: what a stranger sends is compared, never read
//! (of a JWT's header only the algorithm, and that must be the one of the route).
//!
//! Bounds: a token of 8 KiB, an inflated payload of 32 KiB, 100 channels.

mod django;
mod jwt;
mod payload;
mod sign;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use django::Django;
pub use jwt::{Algorithm, InvalidKey, Jwt};
pub use payload::Mistake;
pub use sign::Unsigned;

use crate::domain::{ChannelName, UserId};

/// The longest token, in bytes.
pub const LONGEST: usize = 8 << 10;

/// How the tokens of a route are signed, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verifier {
    /// `kind = "django-signed"`.
    Django(Django),
    /// `kind = "jwt"`.
    Jwt(Jwt),
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// At least one, none twice.
    pub channels: Vec<ChannelName>,
    /// Whose token it is.
    pub user: Option<UserId>,
    /// Until when it holds, since 1970.
    pub until: Duration,
}

/// Why a token is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than 8 KiB.
    #[error("the token is longer than {LONGEST} bytes")]
    TooLong,
    /// Not of the form of its kind.
    #[error("the token has not the form of its kind")]
    Malformed,
    /// A JWT that says another `alg` than the route, `none` included.
    #[error("the token names another algorithm")]
    Algorithm,
    /// A JWT that demands an extension (RFC 7515, section 4.1.11); there is none here.
    #[error("the token demands an extension")]
    Critical,
    /// Signed with another key or salt, or changed.
    #[error("the signature does not fit")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come (`nbf`).
    #[error("the token is not good yet")]
    NotYet,
    /// `aud` does not name the audience of the route.
    #[error("the token is for another audience")]
    Audience,
    /// `iss` is not the issuer of the route.
    #[error("the token is from another issuer")]
    Issuer,
    /// The signature is good and the payload is not: a mistake of the site.
    #[error("the payload of a well-signed token is wrong")]
    Payload(#[source] Mistake),
}

impl TokenError {
    /// The metric label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::Payload(_) => "payload",
        }
    }
}

impl Verifier {
    /// Verifies a token at the time `now`, since 1970, and reads it.
    pub fn verify(&self, token: &str, now: Duration) -> Result<Signed, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        match self {
            Self::Django(django) => django.verify(token, now),
            Self::Jwt(jwt) => jwt.verify(token, now),
        }
    }
}
