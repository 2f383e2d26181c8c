//! The body of a request on its way to Django: empty, in memory, in an unlinked temp file, or as the client sends it.
//!
//! Every kind knows its length, because Django reads a request without `Content-Length` as empty. All but a streamed
//! one can be sent again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use super::error::RequestBodyError;

/// How much of a temp file is read at once.
const READ: usize = 64 << 10;

/// A request body of known length.
#[derive(Debug)]
pub enum RequestBody {
    /// The client sent none; one of length zero is `Memory`.
    Empty,
    /// All of it in memory; taken when sent.
    Memory(Bytes),
    /// In a temp file that has no name any more.
    File(Stored),
    /// As the client sends it.
    Streamed(Streamed),
}

/// A body in a file.
#[derive(Debug)]
pub struct Stored {
    file: Arc<File>,
    at: u64,
    length: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

/// A body that the client is still sending, with a limit on its pauses.
#[derive(Debug)]
pub struct Streamed {
    incoming: Incoming,
    length: u64,
    idle: Duration,
    pause: Pin<Box<Sleep>>,
    progress: Progress,
}

/// When the client's body last moved, so that the wait for an answer begins after it.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    since: Instant,
    millis: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            millis: Arc::default(),
        }
    }

    fn moved(&self) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

impl RequestBody {
    /// The client's body of `length` bytes (its `Content-Length`; hyper holds it to that), cut off when it pauses for
    /// longer than `idle`.
    pub fn streamed(incoming: Incoming, length: u64, idle: Duration) -> Self {
        let pause = Box::pin(tokio::time::sleep(idle));
        Self::Streamed(Streamed {
            incoming,
            length,
            idle,
            pause,
            progress: Progress::new(),
        })
    }

    pub(super) fn stored(file: File, length: u64) -> Self {
        Self::File(Stored {
            file: Arc::new(file),
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

    pub(super) fn progress(&self) -> Progress {
        match self {
            Self::Streamed(streamed) => streamed.progress.clone(),
            Self::Empty | Self::Memory(_) | Self::File(_) => Progress::new(),
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
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
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
            tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; READ.min(usize::try_from(left).unwrap_or(READ))];
                file.read_exact_at(&mut buffer, at)?;
                Ok(buffer.into())
            })
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
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.progress.moved();
                    self.pause.as_mut().reset(Instant::now() + self.idle);
                    // Trailers of a request are dropped: WSGI has no place for them.
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(RequestBodyError::Client(error))));
                }
                Poll::Ready(None) => {
                    self.progress.moved();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    ready!(self.pause.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(RequestBodyError::Idle)));
                }
            }
        }
    }
}
