//! What answers requests: the seam between `server`, which knows sockets, and the services, which know routes.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::domain::ConnInfo;

/// Header fields of one request; the crumbs of an HTTP/2 cookie count singly. `server` has HTTP/1 held to it, a public
/// service answers 431 itself: small fields are cheap to send and dear to keep.
pub const MOST_FIELDS: usize = 100;

/// A service for one role of listeners.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer. An error in it breaks the answer off where the client can see it.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers one request. Dropped when the client goes away.
    fn handle(
        &self,
        request: Request<Incoming>,
        conn: Arc<ConnInfo>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}
