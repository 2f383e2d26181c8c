//! A proxied request: down to Django once, and back once.

use http::{HeaderMap, Method, Response, StatusCode, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;

use super::respond::Refusal;
use super::{Exchange, Proxy};
use crate::stream::Body;
use crate::upstream::{AnswerBody, Upstream};
use crate::wire::headers;

impl Proxy {
    pub(super) async fn forward(
        &self,
        exchange: Exchange<'_>,
        upstream: &Upstream,
        websocket: bool,
    ) -> Result<Response<Body>, Refusal> {
        let Exchange {
            mut parts,
            incoming,
            route,
            head,
            ..
        } = exchange;
        if is_upgrade(&parts, &incoming, websocket) {
            return self.tunnel(&mut parts, head, upstream).await;
        }
        let settings = upstream.settings();
        let (body, _memory) = self
            .take_body(&parts, incoming, route.body_limit, settings)
            .await?;
        let answer = upstream.send(&head, body, settings.retry_for).await;
        let answer = answer.map_err(|error| Refusal::upstream(upstream, error))?;
        self.pass_on(&parts.headers, answer)
    }

    /// Django's answer to a request with these headers, for its client.
    pub(super) fn pass_on(
        &self,
        asked: &HeaderMap,
        answer: Response<AnswerBody>,
    ) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = answer.into_parts();
        self.end_session(asked, &parts.headers);
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::BadUpgrade);
        }
        headers::strip_response(&mut parts.headers);
        // An HTTP/1.0 server behind us says nothing about how we speak to the client.
        parts.version = Version::HTTP_11;
        Ok(Response::from_parts(parts, Body::Answer(Box::new(body))))
    }
}

/// Whether a request asks for a WebSocket on a route that lets WebSockets pass.
pub(super) fn is_upgrade(parts: &request::Parts, incoming: &Incoming, websocket: bool) -> bool {
    websocket
        && parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && incoming.is_end_stream()
        && headers::websocket_upgrade(&parts.headers)
}
