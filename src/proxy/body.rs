//! The client's body on its way to Django: with the length it has, or gathered until it has one.

use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::Body as _;
use hyper::body::Incoming;

use super::respond::Refusal;
use super::{Proxy, Site};
use crate::domain::ByteSize;
use crate::limits::Slot;
use crate::upstream::{self, RequestBody, gather};

impl Proxy {
    /// Takes the body as Django can read it. One with a length is passed on as it comes, but one of at most `whole` bytes;
    /// that, and one without a length (chunked, HTTP/2), is gathered first. The slot is to be kept for as long as the body is.
    pub(super) async fn take_body(
        &self,
        site: &Site,
        headers: &HeaderMap,
        incoming: Incoming,
        limit: ByteSize,
        whole: u64,
        upstream: &upstream::Settings,
    ) -> Result<(RequestBody, Option<Slot>), Refusal> {
        let idle = site.settings.body_idle;
        if let Some(length) = headers.get(CONTENT_LENGTH) {
            let length = length
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or(Refusal::Length)?;
            match length {
                // Over HTTP/2 data may come all the same, and then the request is malformed.
                0 if incoming.is_end_stream() => return Ok((RequestBody::Empty, None)),
                _ if length > limit.get() => return Err(Refusal::TooLarge(limit)),
                _ if length > whole => {
                    return Ok((RequestBody::streamed(incoming, length, idle), None));
                }
                _ => {}
            }
        } else if incoming.is_end_stream() {
            return Ok((RequestBody::Empty, None));
        }
        let slot = self.gathered.take();
        let memory = if slot.is_some() {
            upstream.buffer_request.as_len()
        } else {
            0
        };
        let body = gather(incoming, limit.get(), memory, idle).await;
        Ok((
            body.map_err(|error| Refusal::gathering(error, limit))?,
            slot,
        ))
    }
}
