//! A proxied request: down to Django once, and back once.

use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;

use super::respond::Refusal;
use super::{Exchange, Proxy};
use crate::stream::Body;
use crate::upstream::Upstream;
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
        let upgrade = websocket
            && parts.version == Version::HTTP_11
            && parts.method == Method::GET
            && incoming.is_end_stream()
            && headers::websocket_upgrade(&parts.headers);
        if upgrade {
            return self.tunnel(&mut parts, head, upstream).await;
        }
        let settings = upstream.settings();
        let (body, _memory) = self
            .take_body(&parts, incoming, route.body_limit, settings)
            .await?;
        let answer = upstream.send(&head, body, settings.retry_for).await;
        let (mut answer, body) = answer
            .map_err(|error| Refusal::upstream(upstream, error))?
            .into_parts();
        self.end_session(&parts.headers, &answer.headers);
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::BadUpgrade);
        }
        self.publish_said(&answer, upstream, parts.uri.path());
        headers::strip_response(&mut answer.headers);
        // An HTTP/1.0 server behind us says nothing about how we speak to the client.
        answer.version = Version::HTTP_11;
        Ok(Response::from_parts(answer, Body::Answer(Box::new(body))))
    }
}
