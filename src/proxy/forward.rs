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
        let (body, memory) = self
            .take_body(&parts, incoming, route.body_limit, settings)
            .await?;
        let answer = self.effects.send(upstream, head, body, memory).await;
        pass_on(answer.map_err(|error| Refusal::upstream(upstream, error))?)
    }
}

/// Django's answer, whose effects here are done, for its client.
pub(super) fn pass_on(answer: Response<AnswerBody>) -> Result<Response<Body>, Refusal> {
    let (mut answer, body) = answer.into_parts();
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::BadUpgrade);
    }
    headers::strip_response(&mut answer.headers);
    // An HTTP/1.0 server behind us says nothing about how we speak to the client.
    answer.version = Version::HTTP_11;
    Ok(Response::from_parts(answer, Body::Answer(Box::new(body))))
}

/// Whether a request asks for a WebSocket on a route that lets WebSockets pass.
pub(super) fn is_upgrade(parts: &request::Parts, incoming: &Incoming, websocket: bool) -> bool {
    websocket
        && parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && incoming.is_end_stream()
        && headers::websocket_upgrade(&parts.headers)
}
