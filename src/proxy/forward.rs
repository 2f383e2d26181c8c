//! A proxied request: down to Django once, and back once.

use http::{Method, Response, StatusCode, Version, request};
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
        self.pass_on(&parts, upstream, answer)
    }

    /// Django's answer to a request with this head, for its client.
    pub(super) fn pass_on(
        &self,
        asked: &request::Parts,
        upstream: &Upstream,
        answer: Response<AnswerBody>,
    ) -> Result<Response<Body>, Refusal> {
        let (mut answer, body) = answer.into_parts();
        self.end_session(&asked.headers, &answer.headers);
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::BadUpgrade);
        }
        self.publish_said(answer.status, &answer.headers, upstream, asked.uri.path());
        headers::strip_response(&mut answer.headers);
        // An HTTP/1.0 server behind us says nothing about how we speak to the client.
        answer.version = Version::HTTP_11;
        Ok(Response::from_parts(answer, Body::Answer(Box::new(body))))
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
