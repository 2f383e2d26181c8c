//! The content of a file as a body: in pieces of [`PIECE`], one of them in memory at a time.
//!
//! A piece that the page cache has is read where it is asked for; for another a thread waits. A file that became shorter
//! while it was sent, and a disk that fails, end the body with an error: the answer is broken off where the client can
//! see it.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::{Files, TooSlow};
use crate::limits::Slot;

/// What is read at once.
pub(super) const PIECE: usize = 128 << 10;

/// The part of a file that is to be sent.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<OwnedFd>,
    files: Files,
    /// For the log: below the root, quoted.
    name: String,
    at: u64,
    end: u64,
    /// Read already, from `at` on.
    ready: Bytes,
    reading: Option<Reading>,
    /// Among the files that are open for their clients, once it is one of them.
    place: Option<Slot>,
}

/// Why a file broke off.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is shorter than it was.
    #[error("the file is shorter than it was")]
    Truncated,
    /// The disk did not answer.
    #[error("the disk did not answer in time")]
    TooSlow,
    /// The disk failed.
    #[error("the file cannot be read")]
    Disk(#[source] io::Error),
}

/// A piece that a thread waits for.
struct Reading(Pin<Box<dyn Future<Output = Result<Bytes, ReadError>> + Send>>);

impl std::fmt::Debug for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Reading")
    }
}

impl FileBody {
    pub(super) fn new(file: OwnedFd, files: Files, name: String, part: Range<u64>) -> Self {
        Self {
            file: Arc::new(file),
            files,
            name,
            at: part.start,
            end: part.end,
            ready: Bytes::new(),
            reading: None,
            place: None,
        }
    }

    /// Keeps a place for as long as there is something to read.
    pub(super) fn keep(&mut self, place: Slot) {
        self.place = Some(place);
    }

    /// Reads the first piece. If that is everything, it is returned, and nothing is left.
    pub(super) async fn begin(&mut self) -> Result<Option<Bytes>, ReadError> {
        let length = self.next_length();
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let piece = match cached(&self.file, self.at, length)? {
            Some(piece) => piece,
            None => waited(Arc::clone(&self.file), self.files.clone(), self.at, length).await?,
        };
        if piece.len() as u64 == self.end - self.at {
            self.at = self.end;
            return Ok(Some(piece));
        }
        self.ready = piece;
        Ok(None)
    }

    fn next_length(&self) -> usize {
        let left = self.end.saturating_sub(self.at);
        usize::try_from(left).unwrap_or(PIECE).min(PIECE)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReadError>> {
        let reading = if let Some(reading) = &mut self.reading {
            reading
        } else {
            let (at, length) = (self.at, self.next_length());
            if let Some(piece) = cached(&self.file, at, length)? {
                return Poll::Ready(Ok(piece));
            }
            let piece = waited(Arc::clone(&self.file), self.files.clone(), at, length);
            self.reading.insert(Reading(Box::pin(piece)))
        };
        let piece = ready!(reading.0.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(piece)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let body = self.get_mut();
        if body.at >= body.end {
            return Poll::Ready(None);
        }
        let piece = if body.ready.is_empty() {
            ready!(body.poll_piece(cx))
        } else {
            Ok(std::mem::take(&mut body.ready))
        };
        match piece {
            Ok(piece) => {
                body.at += piece.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                tracing::error!(
                    file = body.name,
                    error = &error as &dyn std::error::Error,
                    "File broke off"
                );
                body.end = body.at;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.at))
    }
}

/// What the page cache has of these bytes, at least one; `None` if a disk would have to be waited for, or if the file
/// system cannot say.
fn cached(file: &OwnedFd, at: u64, length: usize) -> Result<Option<Bytes>, ReadError> {
    let mut buffer = vec![0; length];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    match preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT) {
        Ok(0) => Err(ReadError::Truncated),
        Ok(read) => {
            buffer.truncate(read);
            Ok(Some(buffer.into()))
        }
        Err(Errno::WOULDBLOCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => {
            Ok(None)
        }
        Err(error) => Err(ReadError::Disk(error.into())),
    }
}

/// The same, waiting for the disk.
async fn waited(
    file: Arc<OwnedFd>,
    files: Files,
    at: u64,
    length: usize,
) -> Result<Bytes, ReadError> {
    let read = move || {
        let mut buffer = vec![0; length];
        loop {
            match pread(&file, &mut buffer, at) {
                Ok(0) => return Err(ReadError::Truncated),
                Ok(read) => {
                    buffer.truncate(read);
                    return Ok(Bytes::from(buffer));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(ReadError::Disk(error.into())),
            }
        }
    };
    let read = files.wait("read", read).await;
    read.unwrap_or_else(|TooSlow| Err(ReadError::TooSlow))
}
