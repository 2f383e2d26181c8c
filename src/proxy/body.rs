//! The client's body on its way to Django: gathered first, so that a slow one holds no worker, or as it comes; and what of it
//! nobody wants.
//!
//! Over HTTP/2 an answer that comes before the end of the request is followed by a reset (RFC 9113, section 8.1), and clients
//! built on nghttp2 throw the answer away with it, if both come at once. So what still comes is thrown away for a moment,
//! as it is over HTTP/1.1, where the connection lingers. Bounds: [`MOST_LEFT`] such bodies, [`LONGEST_LEFT`] bytes of each,
//! for [`LINGER`]; then the reset.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Request, Version, request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::respond::Refusal;
use super::{Proxy, Site};
use crate::domain::ByteSize;
use crate::limits::Slots;
use crate::upstream::{RequestBody, SeeTo, Upstream};

/// Bodies that nobody wants and that are read all the same.
const MOST_LEFT: usize = 1024;
/// How much of one, in bytes: twice the window of the HTTP library, which a client may have under way before it reads the
/// answer. One that is told of no end goes on for ever.
const LONGEST_LEFT: usize = 2 << 20;
/// For how long.
const LINGER: Duration = Duration::from_secs(2);

/// The body of a request, until somebody takes it.
#[derive(Debug)]
pub(super) struct Unread {
    body: Option<Incoming>,
    version: Version,
}

impl Unread {
    pub(super) fn of(request: Request<Incoming>) -> (request::Parts, Self) {
        let (parts, body) = request.into_parts();
        let version = parts.version;
        let body = Some(body);
        (parts, Self { body, version })
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_at_its_end(&self) -> bool {
        let body = self.body.as_ref();
        body.is_none_or(Incoming::is_end_stream)
    }
}

/// Reads what nobody wants. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Leftovers {
    slots: Slots,
    reading: TaskTracker,
}

impl Leftovers {
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(MOST_LEFT),
            reading: TaskTracker::new(),
        }
    }

    /// Sees to what is left of a request that has its answer.
    pub(super) fn see_to(&self, unread: Unread) {
        if unread.version != Version::HTTP_2 || unread.is_at_its_end() {
            return;
        }
        if let Some(body) = unread.body {
            self.read(body);
        }
    }

    /// The same of a body that is passed on as it comes, whenever that ends.
    fn later(&self, version: Version) -> Option<SeeTo> {
        (version == Version::HTTP_2).then(|| {
            let leftovers = self.clone();
            let see_to: SeeTo = Box::new(move |body| leftovers.read(body));
            see_to
        })
    }

    fn read(&self, body: Incoming) {
        // At the very end of the program there is no runtime any more.
        let (Some(slot), Ok(runtime)) = (self.slots.take(), Handle::try_current()) else {
            return;
        };
        let reading = async move {
            let _slot = slot;
            // However it ends, there is nobody to tell.
            drop(timeout(LINGER, throw_away(body)).await);
        };
        drop(self.reading.spawn_on(reading, &runtime));
    }

    /// Waits for the last, at most [`LINGER`].
    pub(super) async fn close(&self) {
        self.reading.close();
        self.reading.wait().await;
    }
}

async fn throw_away(mut body: Incoming) {
    let mut left = LONGEST_LEFT;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// The length that a request says its body has, if that is not too much.
pub(super) fn length_of(headers: &HeaderMap, limit: ByteSize) -> Result<Option<u64>, Refusal> {
    let Some(length) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    match length.ok_or(Refusal::Length)? {
        length if length > limit.get() => Err(Refusal::TooLarge(limit)),
        length => Ok(Some(length)),
    }
}

impl Proxy {
    /// Takes the body as Django can read it. It is gathered first, unless its upstream buffers none: then one with a length
    /// is passed on as it comes, but one of at most `whole` bytes.
    pub(super) async fn take_body(
        &self,
        site: &Site,
        headers: &HeaderMap,
        unread: &mut Unread,
        limit: ByteSize,
        whole: u64,
        upstream: &Upstream,
    ) -> Result<RequestBody, Refusal> {
        let idle = site.settings.body_idle;
        let told = length_of(headers, limit)?;
        let length = told.or_else(|| unread.is_at_its_end().then_some(0));
        // Over HTTP/2 data may come all the same, and then the request is malformed.
        if length == Some(0) && unread.is_at_its_end() {
            return Ok(RequestBody::Empty);
        }
        if let Some(length) = length.filter(|length| *length > whole)
            && upstream.settings().buffer_request.is_none()
            && let Some(incoming) = unread.body.take()
        {
            let see_to = self.leftovers.later(unread.version);
            return Ok(RequestBody::streamed(incoming, length, idle, see_to));
        }
        let Some(incoming) = &mut unread.body else {
            return Ok(RequestBody::Empty);
        };
        let body = upstream.gather(incoming, length, limit.get(), idle).await;
        body.map_err(|error| Refusal::gathering(error, limit))
    }
}
