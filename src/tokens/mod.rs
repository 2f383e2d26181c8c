//! Who may publish: bearer tokens, webhook secrets, and what each is good for; in [`keys`], what the keys of GRIP are good for; in
//! [`passwords`], who may see a route.
//! Floor 2.
//!
//! Asked by `publish` for each request. A presented token is compared with every token there is, in constant time: how
//! long the answer takes says neither which token it was nor how much of it was right. It may say how long the secrets
//! are, which is nothing to hide.

pub mod keys;
pub mod passwords;

use std::fmt;
use std::sync::Arc;

use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::domain::{ChannelName, ChannelPattern};
use crate::wire::webhook::{self, Signed};

/// The text of a token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// A secret of no characters, which everybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret must not be empty")]
pub struct EmptySecret;

impl Secret {
    /// Takes any text but the empty one.
    pub fn parse(text: &str) -> Result<Self, EmptySecret> {
        if text.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Self(text.into()))
    }

    /// The text itself: for the header of our own requests, never for a log line.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One entry of `[publish] tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What logs call it.
    pub name: String,
    /// What the publisher presents. Unset: it signs.
    pub secret: Option<Secret>,
    /// What the publisher signs with. Unset: it presents the secret.
    pub webhook: Option<webhook::Secret>,
    /// The channels it is good for; empty means all.
    pub channels: Vec<ChannelPattern>,
}

/// What a good token allows. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant(Arc<Token>);

impl Grant {
    /// The name of the token.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it may publish to `channel`, read it, or end it. The channel of a user, which has no name, is for
    /// tokens that are good for all. A foreign channel goes by what the other protocol calls it.
    pub fn allows(&self, channel: &ChannelName) -> bool {
        let named = channel.is_named().then(|| channel.as_str());
        let called = named.or_else(|| channel.foreign());
        let fits = |pattern: &ChannelPattern| called.is_some_and(|name| pattern.fits(name));
        self.allows_all() || self.0.channels.iter().any(fits)
    }

    /// Whether it is good for every channel, so for what concerns no single one.
    pub fn allows_all(&self) -> bool {
        self.0.channels.is_empty()
    }
}

/// All tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Grant>);

impl Tokens {
    /// These tokens.
    pub fn new(tokens: Vec<Token>) -> Self {
        let granted = tokens.into_iter().map(|token| Grant(Arc::new(token)));
        Self(granted.collect())
    }

    /// Whether there are none, so that the listener must be private by other means.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter().map(|grant| &*grant.0)
    }

    /// What `presented` allows; `None` if it is no token of ours. Of two equal secrets the later entry counts.
    pub fn verify(&self, presented: &[u8]) -> Option<Grant> {
        let mut found = u32::MAX;
        for (index, grant) in (0..u32::MAX).zip(&self.0) {
            if let Some(secret) = &grant.0.secret {
                let same = secret.0.as_bytes().ct_eq(presented);
                found.conditional_assign(&index, same);
            }
        }
        self.0.get(usize::try_from(found).ok()?).cloned()
    }

    /// Whether any token is for signing.
    pub fn has_webhooks(&self) -> bool {
        self.0.iter().any(|grant| grant.0.webhook.is_some())
    }

    /// What the signature of `body` allows; `None` if it is by no secret of ours. Every secret is tried; of two equal
    /// ones the later entry counts.
    pub fn signed(&self, signed: &Signed, body: &[u8]) -> Option<Grant> {
        let mut found = None;
        for grant in &self.0 {
            let secret = grant.0.webhook.as_ref();
            if secret.is_some_and(|secret| signed.is_by(secret, body)) {
                found = Some(grant.clone());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    fn tokens() -> Tokens {
        let token = |name: &str, secret: &str, channels: &[&str]| Token {
            name: name.to_owned(),
            secret: Some(Secret::parse(secret).unwrap()),
            webhook: None,
            channels: channels
                .iter()
                .map(|text| ChannelPattern::parse(text).unwrap())
                .collect(),
        };
        Tokens::new(vec![
            token("django", "s3cret-one", &[]),
            token("billing", "s3cret-two", &["billing-*", "news"]),
        ])
    }

    #[test]
    fn a_token_allows_its_channels_and_no_others() {
        let channel = |name| ChannelName::parse(name).unwrap();
        let all = tokens().verify(b"s3cret-one").unwrap();
        assert!(all.name() == "django" && all.allows(&channel("anything")) && all.allows_all());
        let some = tokens().verify(b"s3cret-two").unwrap();
        assert_eq!(some.name(), "billing");
        assert!(some.allows(&channel("billing-7")) && some.allows(&channel("news")));
        assert!(!some.allows(&channel("user-7")) && !some.allows_all());
        let foreign = ChannelName::of_foreign;
        assert!(some.allows(&foreign("billing-a%20b")) && !some.allows(&foreign("user-7")));
    }

    #[test]
    fn a_token_for_some_channels_reaches_no_user() {
        let user = ChannelName::of_user(&UserId::parse("42").unwrap());
        let token = |channels: &[&str]| Token {
            name: "t".to_owned(),
            secret: Some(Secret::parse("s").unwrap()),
            webhook: None,
            channels: channels
                .iter()
                .map(|text| ChannelPattern::parse(text).unwrap())
                .collect(),
        };
        let grant = |channels| Tokens::new(vec![token(channels)]).verify(b"s").unwrap();
        assert!(grant(&[]).allows(&user) && !grant(&["*", "42"]).allows(&user));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", "s3cret", "s3cret-onf", "s3cret-one ", "S3CRET-ONE"] {
            assert!(tokens().verify(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        assert!(Tokens::default().verify(b"").is_none() && Tokens::default().is_empty());
        assert_eq!(Secret::parse("").unwrap_err(), EmptySecret);
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert!(!format!("{:?}", tokens()).contains("s3cret"));
    }
}
