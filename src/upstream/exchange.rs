//! One request on one connection, up to the head of its answer.
//!
//! The request is written while the answer is waited for, by the one task that wants it: a server may answer before it
//! has read everything, and may stop reading then. What could not be written by the head of the answer goes on being
//! written while the body is read ([`Sending`]).
//!
//! Invariants: of a body exactly as many bytes are written as the head says; nothing that came before a byte of the
//! request was written is taken for its answer. Bounds: the head ([`http1::MOST_HEAD`]), [`MOST_INTERIM`], and
//! `response_timeout` since the request's body has moved.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::Body as _;
use std::pin::Pin;
use tokio::time::Instant;

use super::body::{RequestBody, Upload};
use super::conn::Conn;
use super::error::{RequestBodyError, UpstreamError};
use super::head::Head;
use super::pool::Lease;
use super::vouched::Vouched;
use crate::wire::http1::{self, Invalid};

/// Interim answers (1xx) before the one that counts.
const MOST_INTERIM: u32 = 16;

/// What is read at once while a head is awaited.
const ROOM: usize = 8 << 10;

/// A request whose answer is awaited. Dropped, it takes the connection with it.
#[derive(Debug)]
pub(super) struct Exchange {
    lease: Lease,
    /// `None` once the request was written.
    sending: Option<Sending>,
    /// Why writing was given up, while there may still be an answer.
    broken: Option<io::Error>,
    /// What the client was still sending then.
    upload: Option<Upload>,
    to_head: bool,
    /// How much of what was read is known to hold no end of a head.
    seen: usize,
    interim: u32,
    patience: Duration,
    deadline: Instant,
}

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) head: http1::Head,
    pub(super) lease: Lease,
    /// What of the request is still to be written.
    pub(super) sending: Option<Box<Sending>>,
    /// What the client is still sending though nobody writes it any more.
    pub(super) upload: Option<Upload>,
    /// Whether the request was, or can still be, written as it should.
    pub(super) is_whole: bool,
}

/// The rest of a request.
#[derive(Debug)]
pub(super) struct Sending {
    /// How much of the head is written.
    head: usize,
    /// What was taken of the body and is not written yet.
    piece: Bytes,
    body: RequestBody,
    /// How many bytes are still to be taken of the body.
    left: u64,
    /// Whether something was written or taken since it was last asked.
    moved: bool,
    /// Whether the server may have been given something.
    touched: bool,
}

/// Why the rest of a request cannot be written.
#[derive(Debug)]
pub(super) enum SendError {
    Body(RequestBodyError),
    Socket(io::Error),
}

impl Exchange {
    /// Ready to be polled; nothing is written yet. `patience` begins at `now`.
    pub(super) fn new(
        mut lease: Lease,
        head: &Head,
        vouched: Option<&Vouched>,
        body: RequestBody,
        now: Instant,
        patience: Duration,
    ) -> Self {
        head.write(&mut lease.conn.head, vouched, &body);
        Self {
            lease,
            sending: Some(Sending::new(body)),
            broken: None,
            upload: None,
            to_head: head.method == Method::HEAD,
            seen: 0,
            interim: 0,
            patience,
            deadline: now + patience,
        }
    }

    /// Writes what can be written, and reads until the head of the answer is there.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<http1::Head, UpstreamError>> {
        self.send(cx)?;
        loop {
            if let Some(head) = self.head().map_err(UpstreamError::invalid)? {
                return Poll::Ready(Ok(head));
            }
            match self.lease.conn.poll_read(cx, ROOM) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(UpstreamError::Reset(error))),
                Poll::Pending => break,
            }
        }
        if let Some(sending) = &mut self.sending
            && std::mem::take(&mut sending.moved)
        {
            self.deadline = Instant::now() + self.patience;
        }
        ready!(self.lease.conn.poll_deadline(cx, self.deadline));
        Poll::Ready(Err(UpstreamError::ResponseTimeout))
    }

    /// Goes on writing. A server that does not read any more may have answered, unless it was given nothing.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        match sending.poll(&mut self.lease.conn, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                if sending.moved {
                    self.deadline = Instant::now() + self.patience;
                }
                self.sending = None;
            }
            Poll::Ready(Err(SendError::Body(error))) => {
                return Err(UpstreamError::RequestBody(error.fault()));
            }
            Poll::Ready(Err(SendError::Socket(error))) if sending.is_untouched() => {
                return Err(UpstreamError::Reset(error));
            }
            Poll::Ready(Err(SendError::Socket(error))) => {
                self.broken = Some(error);
                self.upload = self.sending.take().and_then(Sending::into_upload);
            }
        }
        Ok(())
    }

    /// The head of the answer, if it was read. Interim answers are not for anybody here; 101 is none, it is the last.
    fn head(&mut self) -> Result<Option<http1::Head>, Invalid> {
        let conn = &mut self.lease.conn;
        while let Some(length) = http1::end_of_head(&conn.read, self.seen)? {
            self.seen = 0;
            let bytes = conn.read.split_to(length).freeze();
            let head = http1::read(&bytes, self.to_head)?;
            let is_interim = head.status.is_informational();
            if !is_interim || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err(Invalid::Interim);
            }
        }
        self.seen = conn.read.len();
        Ok(None)
    }

    /// The connection has ended before the answer.
    fn ended(&mut self) -> UpstreamError {
        if let Some(invalid) = http1::is_no_answer(&self.lease.conn.read) {
            return UpstreamError::Invalid(invalid);
        }
        let error = self.broken.take();
        UpstreamError::Reset(error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
    }

    /// After the head of the answer.
    pub(super) fn answered(self, head: http1::Head) -> Answered {
        Answered {
            head,
            lease: self.lease,
            sending: self.sending.map(Box::new),
            upload: self.upload,
            is_whole: self.broken.is_none(),
        }
    }

    /// After a failure: the body, if no byte of the request was written.
    pub(super) fn unsent(self) -> Option<RequestBody> {
        self.sending?.unsent()
    }
}

impl Sending {
    fn new(body: RequestBody) -> Self {
        Self {
            head: 0,
            piece: Bytes::new(),
            left: body.length(),
            body,
            moved: false,
            touched: false,
        }
    }

    /// Writes until everything is written, or the body or the socket keeps it waiting.
    pub(super) fn poll(
        &mut self,
        conn: &mut Conn,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let mut waits = false;
            if self.piece.is_empty() && self.left > 0 {
                match self.take(cx) {
                    Poll::Ready(taken) => taken.map_err(SendError::Body)?,
                    Poll::Pending => waits = true,
                }
            }
            if self.head >= conn.head.len() && self.piece.is_empty() {
                let flushed = conn.poll_flush(cx).map_err(SendError::Socket)?;
                return if waits {
                    Poll::Pending
                } else {
                    flushed.map(Ok)
                };
            }
            self.touched |= conn.writes_blindly();
            let written = ready!(conn.poll_write(cx, self.head, &self.piece));
            let written = written.map_err(SendError::Socket)?;
            let of_head = written.min(conn.head.len().saturating_sub(self.head));
            self.head += of_head;
            self.touched = true;
            if written > of_head {
                drop(self.piece.split_to(written - of_head));
                self.moved = true;
            }
        }
    }

    /// Takes the next piece of the body.
    fn take(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestBodyError>> {
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()?;
            let piece = frame.map(|frame| frame.into_data().unwrap_or_default());
            let piece = piece.ok_or(RequestBodyError::Length)?;
            let left = self.left.checked_sub(piece.len() as u64);
            self.left = left.ok_or(RequestBodyError::Length)?;
            self.moved = true;
            if !piece.is_empty() {
                self.piece = piece;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// What the client is still sending, once nobody writes it any more.
    pub(super) fn into_upload(self) -> Option<Upload> {
        (self.left > 0).then(|| self.body.into_upload()).flatten()
    }

    const fn is_untouched(&self) -> bool {
        !self.touched
    }

    fn unsent(self) -> Option<RequestBody> {
        if !self.is_untouched() {
            return None;
        }
        self.body.put_back(self.piece)
    }
}
