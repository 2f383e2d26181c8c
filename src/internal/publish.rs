//! The two endpoints that publish: who sends, and in which format.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Response};
use hyper::body::Incoming;

use super::body::Body;
use super::endpoint::Endpoint;
use super::{Access, Internal, respond};
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

impl Access {
    /// What a request says of its signature; `None` if it is not to be known by one: it shows a token, there are no
    /// secrets to sign with. Only for a request that publishes.
    pub(super) fn signed(&self, parts: &Parts) -> Result<Option<Box<Signed>>, Problem> {
        let shows_token = parts.headers.contains_key(AUTHORIZATION);
        if shows_token || !self.tokens.has_webhooks() {
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
}

impl Internal {
    pub(super) async fn publish(
        &self,
        endpoint: &Endpoint,
        parts: &Parts,
        body: Incoming,
        sender: Sender<'_>,
    ) -> Result<Response<Body>, Problem> {
        let publisher = &self.publisher;
        is_uncoded(&parts.headers)?;
        if let Endpoint::ChannelEvents(channel) = endpoint {
            let published = publisher.channel_event(channel.clone(), parts, body, sender);
            return published.await.map(respond::published);
        }
        let media = media(&parts.headers)
            .ok_or_else(|| not_in("the body must be application/json or application/x-ndjson"))?;
        if media == Media::Json {
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

/// Refuses a body that is not said to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media(headers) {
        Some(Media::Json) => Ok(()),
        _ => Err(not_in("the body must be application/json")),
    }
}

/// Refuses a body in a content coding: nothing here decodes one, and data would be published as its coded bytes.
fn is_uncoded(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let detail = "the body is read as it is sent, without a Content-Encoding";
    Err(Problem::unsupported_media_type(detail.to_owned()))
}

fn not_in(detail: &str) -> Problem {
    let hint = "Content-Type: application/json".to_owned();
    Problem::unsupported_media_type(detail.to_owned()).with_hint(Some(hint))
}

/// `None` for a format that is not read here.
fn media(headers: &HeaderMap) -> Option<Media> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Some(Media::Json);
    };
    let given = given.to_str().unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match essence.strip_prefix("application/") {
        Some("x-ndjson" | "ndjson" | "jsonl") => Some(Media::Lines),
        Some(json) if json == "json" || json.ends_with("+json") => Some(Media::Json),
        _ => None,
    }
}
