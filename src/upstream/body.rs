//! The body of a request on its way to Django: empty, in memory, in an unlinked temp file, or as the client sends it.
//!
//! Every kind knows its length, because Django reads a request without `Content-Length` as empty. All but a streamed
//! one can be sent again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use super::buffers::TempFile;
use super::error::{RequestBodyError, RequestBodyFault};

/// How much of a temp file is read at once.
pub(super) const READ: usize = 64 << 10;

/// A request body of known length.
#[derive(Debug)]
pub enum RequestBody {
    /// The client sent none; one of length zero is `Memory`.
    Empty,
    /// All of it in memory; taken when sent.
    Memory(Bytes),
    /// In a temp file that has no name any more.
    File(Stored),
    /// As the client sends it; boxed, because it is larger than the others.
    Streamed(Box<Streamed>),
}

/// A body in a file.
#[derive(Debug)]
pub struct Stored {
    file: Arc<TempFile>,
    at: u64,
    length: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

/// A body that the client is still sending, with a limit on its pauses.
#[derive(Debug)]
pub struct Streamed {
    incoming: Coming,
    length: u64,
    idle: Duration,
    /// Taken before, but not sent: given again first.
    back: Bytes,
    /// Made at the first pause.
    pause: Option<Pin<Box<Sleep>>>,
    pausing: bool,
}

/// What a client is still sending of a body that its server does not read any more.
#[derive(Debug)]
pub struct Upload(Box<Streamed>);

impl Upload {
    /// Reads it to its end, for nobody. Bounds: the length that the request said it has, and pauses of `body_idle`.
    pub async fn throw_away(self) -> Result<(), RequestBodyFault> {
        let mut body = RequestBody::Streamed(self.0);
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| error.fault())?;
        }
        Ok(())
    }
}

/// Sees to what is left of a body that nobody reads any more.
pub type SeeTo = Box<dyn FnOnce(Incoming) + Send + Sync>;

/// What a client sends, a guard: dropped before its end, it is left to whoever sees to that.
struct Coming {
    /// `None` once it is dropped.
    body: Option<Incoming>,
    see_to: Option<SeeTo>,
}

impl RequestBody {
    /// The client's body of `length` bytes (its `Content-Length`; hyper holds it to that), cut off when it pauses for
    /// longer than `idle`. What is not read of it is given to `see_to`; unset, it is dropped.
    pub fn streamed(
        incoming: Incoming,
        length: u64,
        idle: Duration,
        see_to: Option<SeeTo>,
    ) -> Self {
        let incoming = Coming {
            body: Some(incoming),
            see_to,
        };
        Self::Streamed(Box::new(Streamed {
            incoming,
            length,
            idle,
            back: Bytes::new(),
            pause: None,
            pausing: false,
        }))
    }

    pub(super) const fn stored(file: Arc<TempFile>, length: u64) -> Self {
        Self::File(Stored {
            file,
            at: 0,
            length,
            reading: None,
        })
    }

    /// The number of bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(stored) => stored.length,
            Self::Streamed(streamed) => streamed.length,
        }
    }

    /// The same body from its start, if it can be had again.
    pub fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Memory(bytes) => Some(Self::Memory(bytes.clone())),
            Self::File(Stored { file, length, .. }) => Some(Self::File(Stored {
                file: Arc::clone(file),
                at: 0,
                length: *length,
                reading: None,
            })),
            Self::Streamed(_) => None,
        }
    }

    /// What the client is still sending of it.
    pub(super) fn into_upload(self) -> Option<Upload> {
        match self {
            Self::Streamed(streamed) => Some(Upload(streamed)),
            Self::Empty | Self::Memory(_) | Self::File(_) => None,
        }
    }

    /// The body as it was before `piece`, the first of it, was taken; empty if nothing was.
    pub(super) fn put_back(self, piece: Bytes) -> Option<Self> {
        match self {
            Self::Empty | Self::Memory(_) if !piece.is_empty() => Some(Self::Memory(piece)),
            Self::Streamed(mut streamed) => {
                streamed.back = piece;
                Some(Self::Streamed(streamed))
            }
            Self::File(_) => self.again(),
            Self::Empty | Self::Memory(_) => Some(self),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Memory(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Memory(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(stored) => stored.poll_frame(cx),
            Self::Streamed(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Memory(bytes) => bytes.is_empty(),
            Self::File(stored) => stored.at >= stored.length,
            Self::Streamed(streamed) => {
                streamed.back.is_empty() && streamed.incoming.is_at_its_end()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::File(stored) => SizeHint::with_exact(stored.length.saturating_sub(stored.at)),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
            Self::Empty | Self::Memory(_) => SizeHint::with_exact(self.length()),
        }
    }
}

impl Coming {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_at_its_end(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(Incoming::size_hint)
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for Coming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Coming").field(&self.body).finish()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let (Some(body), Some(see_to)) = (self.body.take(), self.see_to.take())
            && !body.is_end_stream()
        {
            see_to(body);
        }
    }
}

impl Stored {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.at >= self.length {
            return Poll::Ready(None);
        }
        let (at, left) = (self.at, self.length - self.at);
        let reading = self.reading.get_or_insert_with(|| {
            let file = Arc::clone(&self.file);
            let length = READ.min(usize::try_from(left).unwrap_or(READ));
            tokio::task::spawn_blocking(move || file.read(at, length))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes: Bytes = read
            .map_err(io::Error::other)
            .and_then(|read| read)
            .map_err(RequestBodyError::Disk)?;
        self.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Streamed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if !self.back.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.back)))));
        }
        loop {
            match self.incoming.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.pausing = false;
                    // Trailers of a request are dropped: WSGI has no place for them.
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(RequestBodyError::Client(error))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(self.poll_pause(cx));
                    return Poll::Ready(Some(Err(RequestBodyError::Idle)));
                }
            }
        }
    }

    /// Ready when the client has paused for too long; the pause begins when this is first asked.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause.get_or_insert_with(|| {
            self.pausing = true;
            Box::pin(tokio::time::sleep(self.idle))
        });
        if !self.pausing {
            self.pausing = true;
            pause.as_mut().reset(Instant::now() + self.idle);
        }
        pause.as_mut().poll(cx)
    }
}
