//! The client's body on its way to Django: with the length it has, or gathered until it has one.

use http::header::CONTENT_LENGTH;
use http::request;
use http_body::Body as _;
use hyper::body::Incoming;
use std::time::Duration;

use super::respond::Refusal;
use crate::domain::ByteSize;
use crate::upstream::{self, RequestBody, gather};

/// Takes the body as Django can read it. One with a length is passed on as it comes; one without (chunked, HTTP/2) is
/// gathered first.
pub(super) async fn take(
    parts: &request::Parts,
    incoming: Incoming,
    limit: ByteSize,
    idle: Duration,
    upstream: &upstream::Settings,
) -> Result<RequestBody, Refusal> {
    if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
        let length = length.to_str().ok().and_then(|text| text.parse::<u64>().ok()).ok_or(Refusal::Length)?;
        return match length {
            0 => Ok(RequestBody::Empty),
            _ if length > limit.get() => Err(Refusal::TooLarge(limit)),
            _ => Ok(RequestBody::streamed(incoming, length, idle)),
        };
    }
    if incoming.is_end_stream() {
        return Ok(RequestBody::Empty);
    }
    let memory = upstream.buffer_request.as_len();
    gather(incoming, limit.get(), memory, idle).await.map_err(|error| Refusal::gathering(error, limit))
}
