//! Answers that serve others with the same credentials and URL for a moment, where a route allows it.
//!
//! Only grants are kept, and only those without an initial state, which is true of one place in the log only. The key is
//! a tuple of everything the answer may depend on, never a joined string.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::{Facts, Grant};
use crate::base::sync::lock;
use crate::upstream::{Head, RequestBody};
use crate::wire::last_event_id::LastEventId;

/// Answers kept at once; beyond, new ones are not kept until old ones have run out.
const MOST: usize = 1024;

/// What makes two asks the same: the method, the URL with its host (as the client wrote it, and as a
/// trusted proxy names it), the credentials, the origin (an answer's CORS
/// headers may name it), and where the client was.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    method: Method,
    target: PathAndQuery,
    headers: [Vec<HeaderValue>; 8],
    last: Option<HeaderValue>,
    whole: bool,
    /// Whether nothing else could matter: no body, and no malformed id, of which Django is told without its text.
    plain: bool,
}

impl Key {
    pub(super) fn of(head: &Head, facts: &Facts, body: &RequestBody) -> Self {
        let all = |name| values(&head.headers, &name);
        let proto = HeaderName::from_static("x-forwarded-proto");
        let forwarded_host = HeaderName::from_static("x-forwarded-host");
        Self {
            method: head.method.clone(),
            target: head.target.clone(),
            headers: [
                all(HOST),
                all(COOKIE),
                all(AUTHORIZATION),
                // Those that APIs have made up.
                all(HeaderName::from_static("x-api-key")),
                all(HeaderName::from_static("x-auth-token")),
                all(ORIGIN),
                all(proto),
                all(forwarded_host),
            ],
            last: facts.last.as_ref().and_then(LastEventId::as_header),
            whole: facts.whole,
            plain: body.length() == 0 && facts.last != Some(LastEventId::Unusable),
        }
    }

    /// An answer to anything but a read may depend on the body.
    pub(super) const fn can_be_shared(&self) -> bool {
        self.plain && matches!(self.method, Method::GET | Method::HEAD)
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    headers.get_all(name).iter().cloned().collect()
}

#[derive(Debug)]
pub(super) struct Cache {
    keep_for: Duration,
    kept: Mutex<HashMap<Key, (Instant, Grant)>>,
}

impl Cache {
    pub(super) fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            kept: Mutex::default(),
        }
    }

    /// Whether answers are kept at all.
    pub(super) const fn is_on(&self) -> bool {
        !self.keep_for.is_zero()
    }

    pub(super) fn find(&self, key: &Key) -> Option<Grant> {
        let kept = lock(&self.kept);
        let (at, grant) = kept.get(key)?;
        let age = at.elapsed();
        if age >= self.keep_for {
            return None;
        }
        // The permission does not begin anew with each who finds it here, and ends here as well.
        let mut grant = grant.clone();
        if let Some(expires) = &mut grant.terms.expires {
            *expires = expires.checked_sub(age).filter(|left| !left.is_zero())?;
        }
        Some(grant)
    }

    pub(super) fn keep(&self, key: Key, grant: &Grant) {
        if !grant.initial.is_empty() {
            return;
        }
        let mut kept = lock(&self.kept);
        if kept.len() >= MOST {
            kept.retain(|_, (at, _)| at.elapsed() < self.keep_for);
        }
        if kept.len() < MOST {
            kept.insert(key, (Instant::now(), grant.clone()));
        }
    }
}
