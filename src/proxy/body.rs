//! The client's body on its way to Django: gathered first, so that a slow one holds no worker, or as it comes.

use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::Body as _;
use hyper::body::Incoming;

use super::respond::Refusal;
use super::{Proxy, Site};
use crate::domain::ByteSize;
use crate::upstream::{RequestBody, Upstream};

impl Proxy {
    /// Takes the body as Django can read it. It is gathered first, unless its upstream buffers none: then one with a length
    /// is passed on as it comes, but one of at most `whole` bytes.
    pub(super) async fn take_body(
        site: &Site,
        headers: &HeaderMap,
        incoming: Incoming,
        limit: ByteSize,
        whole: u64,
        upstream: &Upstream,
    ) -> Result<RequestBody, Refusal> {
        let idle = site.settings.body_idle;
        let length = match headers.get(CONTENT_LENGTH) {
            Some(length) => Some(
                length
                    .to_str()
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok())
                    .ok_or(Refusal::Length)?,
            ),
            None if incoming.is_end_stream() => Some(0),
            None => None,
        };
        match length {
            // Over HTTP/2 data may come all the same, and then the request is malformed.
            Some(0) if incoming.is_end_stream() => return Ok(RequestBody::Empty),
            Some(length) if length > limit.get() => return Err(Refusal::TooLarge(limit)),
            Some(length) if length > whole && upstream.settings().buffer_request.is_none() => {
                return Ok(RequestBody::streamed(incoming, length, idle));
            }
            _ => {}
        }
        let body = upstream.gather(incoming, length, limit.get(), idle).await;
        body.map_err(|error| Refusal::gathering(error, limit))
    }
}
