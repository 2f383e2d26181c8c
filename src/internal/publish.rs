//! The two endpoints that publish: who sends, and in which format.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Response};
use hyper::body::Incoming;

use super::body::Body;
use super::endpoint::Endpoint;
use super::{Internal, respond};
use crate::publish::Sender;
use crate::tokens::Grant;
use crate::wire::problem::Problem;
use crate::wire::webhook::{self, Signed};

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    /// A JSON value on each line.
    Lines,
}

impl Internal {
    /// What a request says of its signature; `None` if it is not to be known by one: it shows a token, there are no
    /// secrets to sign with, or it does not publish.
    pub(super) fn signed(
        &self,
        endpoint: &Endpoint,
        parts: &Parts,
    ) -> Result<Option<Box<Signed>>, Problem> {
        let publishes = matches!(endpoint, Endpoint::Events | Endpoint::ChannelEvents(_));
        let shows_token = parts.headers.contains_key(AUTHORIZATION);
        if !publishes || shows_token || !self.tokens.has_webhooks() {
            return Ok(None);
        }
        let read = webhook::read(&parts.headers);
        let signed = read.map_err(|error| Problem::unauthorized(error.to_string()))?;
        Ok(signed.map(Box::new))
    }

    pub(super) fn sender(&self, signed: Option<Box<Signed>>, grant: Option<Grant>) -> Sender<'_> {
        match signed {
            Some(signed) => Sender::Signed(signed, &self.tokens),
            None => Sender::Known(grant),
        }
    }

    pub(super) async fn publish(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        body: Incoming,
        sender: Sender<'_>,
    ) -> Result<Response<Body>, Problem> {
        let publisher = &self.publisher;
        if let Endpoint::ChannelEvents(channel) = endpoint {
            let published = publisher.channel_event(channel, parts, body, sender);
            return published.await.map(respond::published);
        }
        if media(&parts.headers)? == Media::Json {
            let published = publisher.events(parts, body, sender).await?;
            return Ok(respond::published(published));
        }
        let Sender::Known(grant) = sender else {
            let detail = "a stream of lines cannot be signed, it needs a bearer token";
            return Err(Problem::unauthorized(detail.to_owned()));
        };
        let answer = publisher.lines(parts, body, grant.as_ref()).await?;
        Ok(respond::json(answer))
    }
}

fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(Media::Json);
    };
    let given = given.to_str().unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match essence.strip_prefix("application/") {
        Some("x-ndjson" | "ndjson" | "jsonl") => Ok(Media::Lines),
        Some(json) if json == "json" || json.ends_with("+json") => Ok(Media::Json),
        _ => {
            let detail = "the body must be application/json or application/x-ndjson".to_owned();
            let hint = Some("Content-Type: application/json".to_owned());
            Err(Problem::unsupported_media_type(detail).with_hint(hint))
        }
    }
}
