//! What answers requests: the seam between `server`, which knows sockets, and the services, which know routes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::bell::Inbox;
use crate::domain::{ConnInfo, Frame, Peer};

/// Header fields of one request; the crumbs of an HTTP/2 cookie count singly. Over HTTP/1 it is hyper's own limit, and to
/// name it would cost more than to parse a head; a public service answers 431 itself: small fields are cheap to send and
/// dear to keep.
pub const MOST_FIELDS: usize = 100;

/// A service for one role of listeners.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer. An error in it breaks the answer off where the client can see it.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Holdable
        + Send
        + Unpin
        + 'static;

    /// Whether `peer` is a proxy that may say whose a connection is.
    fn trusts(&self, _peer: Peer) -> bool {
        false
    }

    /// How many connections one client may have, who is no such proxy. Unset: any number.
    fn connections_of_client(&self) -> Option<NonZeroUsize> {
        None
    }

    /// Answers one request. Dropped when the client goes away.
    fn handle(
        &self,
        request: Request<Incoming>,
        conn: Arc<ConnInfo>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A body that may be a held stream.
pub trait Holdable: Sized {
    /// What a held stream is when it is no body any more.
    type Held: HeldStream;

    /// Whether it is one.
    fn is_held(&self) -> bool;

    /// The stream, or else the body as it was.
    fn into_held(self) -> Result<Self::Held, Self>;
}

/// A stream whose frames the server writes to the socket itself. Dropped when the client is gone.
pub trait HeldStream: Send + 'static {
    /// What one stream read may spare the next one the reading.
    type Memo: Default + Send;

    /// From now on, whatever wakes the stream puts `key` into `inbox`.
    fn attach(&self, inbox: &Inbox, key: u32);

    /// Moves what can be written now into `out`, which is empty. The waker of `cx` matters only while it `awaits`.
    fn fill(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut VecDeque<Frame>,
        memo: &mut Self::Memo,
    ) -> Filled;

    /// Whether it waits for something that wakes the waker it was polled with, beside its inbox.
    fn awaits(&self) -> bool;

    /// Whether what was given and not written yet should not reach the client any more.
    fn is_revoked(&self) -> bool;

    /// When it is to be polled next, whether or not it is woken.
    fn due(&self) -> Instant;
}

/// What comes after the frames that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Nothing, until it is woken or due.
    Idle,
    /// More, once these are written.
    More,
    /// The end.
    Over,
}

/// No stream at all: for services that hold none.
impl HeldStream for Infallible {
    type Memo = ();

    fn attach(&self, _: &Inbox, _: u32) {
        match *self {}
    }

    fn fill(
        &mut self,
        _: &mut Context<'_>,
        _: Instant,
        _: &mut VecDeque<Frame>,
        (): &mut (),
    ) -> Filled {
        match *self {}
    }

    fn awaits(&self) -> bool {
        match *self {}
    }

    fn is_revoked(&self) -> bool {
        match *self {}
    }

    fn due(&self) -> Instant {
        match *self {}
    }
}
