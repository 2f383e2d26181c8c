//! Who may listen by a token: nobody is asked, the token says it.
//!
//! `proxy` finds the token in a request ([`TokenCheck::find`]), `stream` has it verified once it has taken its places
//! ([`Presented::terms`]). The time is read here. A token is never printed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::Metrics;
use crate::wire::ask::Terms;
use crate::wire::headers;
use crate::wire::query;
use crate::wire::signed::{Signed, TokenError, Verifier};

/// Where a client may put its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// In this parameter of the query: an `EventSource` can set nothing else.
    Query(String),
    /// In `Authorization: Bearer …` (RFC 6750, section 2.1).
    Bearer,
}

/// `sse = { token = … }` of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// How the tokens are signed.
    pub verifier: Verifier,
    /// Where they are looked for; the first that has one counts. Default the query's `token`, then a bearer.
    pub from: Vec<Carrier>,
}

/// Verifies the tokens of one route. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenCheck(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: TokenSettings,
    metrics: Metrics,
}

/// What a client presented, not looked at yet.
pub struct Presented {
    check: TokenCheck,
    token: Option<String>,
}

/// Why a token opens no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("there is no token")]
    Missing,
    /// It is not good.
    #[error("the token is not good")]
    Invalid(#[source] TokenError),
}

impl Refused {
    /// The metric label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid(error) => error.as_str(),
        }
    }

    /// What the author of the token may want to know, if the site signed it and it is of no use.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Invalid(TokenError::Payload(mistake)) => Some(mistake.hint()),
            Self::Missing | Self::Invalid(_) => None,
        }
    }
}

impl Carrier {
    /// The token in this place; an empty one is none.
    fn find(&self, headers: &HeaderMap, query: Option<&str>) -> Option<String> {
        let found = match self {
            Self::Query(name) => query::first(query, &[name]),
            // What is no text is no token either, but must not be passed over as if there were none.
            Self::Bearer => {
                headers::bearer(headers).map(|token| String::from_utf8_lossy(token).into_owned())
            }
        };
        found.filter(|token| !token.is_empty())
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Bearer => f.write_str("bearer"),
        }
    }
}

impl TokenCheck {
    /// The check of one route.
    pub fn new(settings: TokenSettings, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            settings,
            metrics: metrics.clone(),
        }))
    }

    /// What a client presents with this request.
    pub fn find(&self, headers: &HeaderMap, query: Option<&str>) -> Presented {
        let mut from = self.0.settings.from.iter();
        Presented {
            check: self.clone(),
            token: from.find_map(|carrier| carrier.find(headers, query)),
        }
    }
}

impl Presented {
    /// What the token grants, and for how long from now on.
    pub fn terms(&self) -> Result<Terms, Refused> {
        let terms = self.verify();
        let result = terms.as_ref().map_or_else(Refused::as_str, |_| "good");
        self.check
            .0
            .metrics
            .tokens
            .get_or_create(&[("result", result)])
            .inc();
        terms
    }

    fn verify(&self) -> Result<Terms, Refused> {
        let token = self.token.as_deref().ok_or(Refused::Missing)?;
        let now = now();
        let verifier = &self.check.0.settings.verifier;
        let Signed {
            channels,
            user,
            until,
        } = verifier.verify(token, now).map_err(Refused::Invalid)?;
        Ok(Terms {
            channels,
            user,
            expires: Some(until.saturating_sub(now)),
            retry: None,
        })
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(***)")
    }
}

/// The time since 1970. With a clock that is before it, every token is over.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Registry;
    use crate::wire::signed::Django;

    fn found(from: Vec<Carrier>, authorization: &[&str], query: Option<&str>) -> Option<String> {
        let verifier = Verifier::Django(Django::new("key", "sse", Duration::from_secs(60)));
        let settings = TokenSettings { verifier, from };
        let check = TokenCheck::new(settings, &Metrics::new(&Registry::default()));
        let mut headers = HeaderMap::new();
        for value in authorization {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append("authorization", value);
        }
        let presented = check.find(&headers, query);
        assert_eq!(format!("{presented:?}"), "Presented(***)");
        assert!(presented.terms().is_err());
        presented.token
    }

    #[test]
    fn the_first_place_that_has_a_token_counts() {
        let token = || Carrier::Query("token".to_owned());
        let both = || vec![token(), Carrier::Bearer];
        let query = Some("a=b&token=in%2Dquery&token=other");
        let bearer = ["Bearer in-header"];
        assert_eq!(found(both(), &bearer, query).as_deref(), Some("in-query"));
        let other = vec![Carrier::Bearer, token()];
        assert_eq!(found(other, &bearer, query).as_deref(), Some("in-header"));
        for query in [None, Some(""), Some("token"), Some("token=&x")] {
            let found = found(both(), &["bearer  in-header "], query);
            assert_eq!(found.as_deref(), Some("in-header"));
        }
        let jwt = vec![Carrier::Query("jwt".to_owned())];
        assert_eq!(found(jwt, &bearer, query), None);
        for authorization in [
            "",
            "Bearer",
            "Bearer ",
            "Basic in-header",
            "Bearerin-header",
        ] {
            assert_eq!(found(both(), &[authorization], None), None);
        }
        assert!(found(both(), &["Bearer ä"], None).is_some());
    }
}
