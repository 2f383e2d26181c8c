//! What the operator is told once in a while of requests that were served, or refused, in a way he may not have meant.

use std::time::Duration;

use http::Response;

use super::respond::Refusal;
use super::site::Site;
use crate::base::seldom::Seldom;
use crate::domain::{Peer, is_local};
use crate::stream::{Body, Limit, OpenError};
use crate::upstream::Upstream;
use crate::wire::headers;

/// The least time between two hints of a kind: anybody may cause them without end.
const PAUSE: Duration = Duration::from_secs(60);
/// The same for what a site may well mean.
const LONG_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Hints {
    proxy: Seldom,
    user: Seldom,
    streaming: Seldom,
}

impl Hints {
    pub(super) const fn new() -> Self {
        Self {
            proxy: Seldom::every(PAUSE),
            user: Seldom::every(PAUSE),
            streaming: Seldom::every(LONG_PAUSE),
        }
    }

    /// A limit that one client reached may be that of all clients of a proxy, if it is not known as one. Reads the peer's
    /// address, for that is the client where nobody is trusted. That of a user is his own, and pages that open a stream for
    /// each tab come there.
    pub(super) fn limited(&self, site: &Site, refusal: &Refusal, peer: Peer) {
        let error = refusal as &dyn std::error::Error;
        if matches!(refusal, Refusal::Stream(OpenError::Limited(Limit::PerUser))) {
            if self.user.now() {
                let hint = "sse.per_user is how many streams he may have";
                tracing::warn!(error, hint, "Limit of one user reached");
            }
        } else if refusal.is_limit_of_client()
            && is_local(peer.ip())
            && !site.settings.trust.trusts(peer)
            && self.proxy.now()
        {
            tracing::warn!(
                client.addr = %peer.ip(),
                error,
                hint = "behind a proxy? name it in trust.proxies",
                "Limit of one client reached"
            );
        }
    }

    /// An answer that passes through is perhaps a stream that should not hold a worker. One that was there as a whole held
    /// none.
    pub(super) fn passed(&self, upstream: &Upstream, path: &str, answer: &Response<Body>) {
        let is_stream =
            matches!(answer.body(), Body::Answer(_)) && headers::is_event_stream(answer.headers());
        if !is_stream || !self.streaming.now() {
            return;
        }
        let settings = upstream.settings();
        let hint = if settings.grip.is_some() {
            "for Django to have it held: GripMiddleware, and in GRIP_URL the key of grip.key, or none in both"
        } else {
            "a route with `sse`, with `record`, or `grip = true` spares the worker"
        };
        tracing::info!(
            upstream = settings.name.as_str(),
            path,
            hint,
            "Django streams by itself"
        );
    }
}
