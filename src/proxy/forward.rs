//! A proxied request: down to Django once, and back once.

use http::{Method, Response, StatusCode, Version, request};

use super::grip::MOST_AGAIN;
use super::respond::Refusal;
use super::{Exchange, Kind, Proxy};
use crate::stream::Body;
use crate::upstream::{AnswerBody, Rebuilt, RequestBody, Upstream};
use crate::wire::headers;

impl Proxy {
    pub(super) async fn forward(
        &self,
        mut exchange: Exchange<'_>,
        upstream: &Upstream,
    ) -> Result<Response<Body>, Refusal> {
        exchange.ask_by_get();
        let limit = exchange.route.body_limit;
        let headers = &exchange.rebuilt.head.headers;
        let holding = exchange.route.kind.holding();
        let whole = holding.map_or(0, |_| MOST_AGAIN);
        let unread = exchange.unread;
        let body = self.take_body(exchange.site, headers, unread, limit, whole, upstream);
        let body = body.await?;
        let request = exchange.rebuilt;
        let Some(holding) = holding else {
            let answer = self.send(upstream, request, body).await?;
            let answer = pass_on(upstream, answer)?;
            self.hints
                .passed(upstream, exchange.parts.uri.path(), &answer);
            return Ok(answer);
        };
        let (request, noted) = self.note(
            holding,
            exchange.client,
            upstream,
            request.into_head(),
            &body,
        );
        let answer = self.send(upstream, request, body).await?;
        Box::pin(self.hold(upstream, noted, answer)).await
    }

    /// Sends a client's request. What its answer does here is done when this returns, or without the client, if it leaves
    /// before.
    pub(super) async fn send(
        &self,
        upstream: &Upstream,
        request: Rebuilt,
        body: RequestBody,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let answer = if self.effects.can_matter(upstream, &request) {
            self.effects.send(upstream, request, body).await
        } else {
            upstream.send_rebuilt(&request, body, None).await
        };
        answer.map_err(|error| Refusal::upstream(upstream, error))
    }
}

/// Django's answer, whose effects here are done, for its client.
pub(super) fn pass_on(
    upstream: &Upstream,
    answer: Response<AnswerBody>,
) -> Result<Response<Body>, Refusal> {
    let (mut answer, body) = upstream.read_ahead(answer).into_parts();
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::BadUpgrade);
    }
    headers::strip_response(&mut answer.headers);
    // An HTTP/1.0 server behind us says nothing about how we speak to the client.
    answer.version = Version::HTTP_11;
    let body = match body.into_whole() {
        Ok(whole) => Body::Text(whole),
        Err(body) => Body::Answer(Box::new(body)),
    };
    Ok(Response::from_parts(answer, body))
}

impl Kind {
    /// Whether a request asks for a WebSocket, and the route lets it pass. `at_its_end`: whether it has no body.
    pub(super) fn lets_pass(&self, parts: &request::Parts, at_its_end: bool) -> bool {
        matches!(
            self,
            Self::Forward {
                websocket: true,
                ..
            }
        ) && parts.version == Version::HTTP_11
            && parts.method == Method::GET
            && at_its_end
            && headers::websocket_upgrade(&parts.headers)
    }
}
