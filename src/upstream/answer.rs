//! The body of Django's answer, read as the client takes it. At its end the connection goes back to the pool.
//!
//! Only if the answer was read to an end that it named itself, nothing came after it, the request was written whole and
//! both sides may go on (RFC 9112, section 9.3). Dropped before its end, a body takes its connection with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::conn::Conn;
use super::error::AnswerError;
use super::exchange::{Answered, SendError, Sending};
use super::pool::Lease;
use super::switched::Switched;
use crate::limits::Slot;
use crate::wire::http1::{BadChunk, Chunks, Framing, Step};

/// What is read at once of a body that is long, or whose length is not known.
const MOST_ROOM: usize = 128 << 10;
/// What is read at once of a body until it has once filled that.
const LEAST_ROOM: usize = 8 << 10;

/// An answer's body.
#[derive(Debug)]
pub struct AnswerBody {
    /// What is to be given before anything is read.
    ready: Bytes,
    /// The connection, until the body is over; boxed, because most answers come whole.
    rest: Option<Box<Rest>>,
}

#[derive(Debug)]
struct Rest {
    lease: Lease,
    end: End,
    /// What of the request is still to be written.
    sending: Option<Box<Sending>>,
    can_be_kept: bool,
    room: usize,
    _turn: Option<Slot>,
    /// The longest silence within the body; `None` for an event stream, which may be silent for long.
    pause: Option<Duration>,
    /// When the present silence has been too long; set when it begins.
    deadline: Option<Instant>,
    /// Whether whoever reads has been told to wait since the head, or data, was given.
    has_waited: bool,
    /// Why it broke off, while whoever reads is told to wait.
    broken: Option<AnswerError>,
}

/// How the end is known.
#[derive(Debug)]
enum End {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    /// The connection belongs to whoever takes it over.
    Switched,
}

/// A run of data, or that there is none now.
enum Found {
    Data(Bytes),
    Nothing,
    End,
}

impl AnswerBody {
    /// The answer to a request, its body with what is there of it. `turn` is kept until its end.
    pub(super) fn response(
        answered: Answered,
        pause: Option<Duration>,
        turn: Option<Slot>,
        now: Instant,
    ) -> Response<Self> {
        let Answered {
            head,
            lease,
            sending,
            is_whole,
        } = answered;
        let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let end = match head.framing {
            _ if switched => End::Switched,
            Framing::Length(length) => End::Length(length),
            Framing::Chunked => End::Chunked(Chunks::default()),
            Framing::UntilClose => End::UntilClose,
        };
        let rest = Rest {
            can_be_kept: head.keep_alive && is_whole && !switched,
            lease,
            end,
            sending,
            room: LEAST_ROOM,
            // A connection that was handed over keeps no turn.
            _turn: turn.filter(|_| !switched),
            pause,
            deadline: None,
            has_waited: false,
            broken: None,
        };
        let mut response = Response::new(Self::of(rest, now));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }

    /// A body of which some, or everything, may be there already.
    fn of(mut rest: Rest, now: Instant) -> Self {
        let conn = &mut rest.lease.conn;
        let mut ready = Bytes::new();
        // What is malformed is found again when it is polled.
        if let Ok(Found::Data(data)) = rest.end.find(conn) {
            ready = data;
        }
        let is_over = match &mut rest.end {
            End::Chunked(chunks) => match chunks.clone().next(&conn.read) {
                Ok(Step::End { skip }) => {
                    conn.read.advance(skip);
                    true
                }
                Ok(Step::More | Step::Data { .. }) | Err(_) => false,
            },
            End::Length(left) => *left == 0,
            End::UntilClose | End::Switched => false,
        };
        if is_over {
            rest.finish(now);
            return Self { ready, rest: None };
        }
        Self {
            ready,
            rest: Some(Box::new(rest)),
        }
    }

    /// All of the body, if it came with the head.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.rest {
            None => Ok(self.ready),
            Some(_) => Err(self),
        }
    }

    /// The connection after a 101, with what was read of the new protocol. It counts as a request in flight.
    pub fn switched(self) -> Option<Switched> {
        let rest = self.rest?;
        matches!(rest.end, End::Switched).then_some(Switched(rest.lease))
    }

    fn finish(&mut self) {
        if let Some(rest) = self.rest.take() {
            rest.finish(Instant::now());
        }
    }
}

impl Rest {
    fn finish(self, now: Instant) {
        if self.can_be_kept && self.sending.is_none() {
            self.lease.give_back(now);
        }
    }

    /// Writes what is left of the request. A server that has answered need not read it.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), AnswerError> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        match sending.poll(&mut self.lease.conn, cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(SendError::Socket(_))) => self.can_be_kept = false,
            Poll::Ready(Err(SendError::Body(error))) => return Err(AnswerError::Request(error)),
        }
        self.sending = None;
        Ok(())
    }

    /// The next data. An error is told only after a wait: a server throws away what it has not written yet when it is told
    /// of one, and the client should see what there was of the answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, AnswerError>> {
        let data = match self.broken.take() {
            Some(broken) => Poll::Ready(Err(broken)),
            None => self.poll_data(cx),
        };
        match data {
            Poll::Ready(Err(error)) if !self.has_waited => {
                self.broken = Some(error);
                self.has_waited = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            data => {
                self.has_waited = data.is_pending();
                data
            }
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, AnswerError>> {
        self.send(cx)?;
        loop {
            let conn = &mut self.lease.conn;
            match self.end.find(conn).map_err(AnswerError::Chunks)? {
                Found::Data(data) => {
                    self.deadline = None;
                    return Poll::Ready(Ok(Some(data)));
                }
                Found::End => return Poll::Ready(Ok(None)),
                Found::Nothing => {}
            }
            let room = self.end.room(self.room);
            match conn.poll_read(cx, room) {
                Poll::Ready(Ok(0)) if matches!(self.end, End::UntilClose) => {
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Ok(0)) => {
                    let ended = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(AnswerError::Broken(ended)));
                }
                Poll::Ready(Ok(read)) if read >= self.room => self.room = MOST_ROOM,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(AnswerError::Broken(error))),
                Poll::Pending => break,
            }
        }
        let Some(pause) = self.pause else {
            return Poll::Pending;
        };
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + pause);
        ready!(self.lease.conn.poll_deadline(cx, deadline));
        Poll::Ready(Err(AnswerError::Idle))
    }
}

impl End {
    /// Takes what is there.
    fn find(&mut self, conn: &mut Conn) -> Result<Found, BadChunk> {
        let read = &mut conn.read;
        let length = match self {
            Self::Switched | Self::Length(0) => return Ok(Found::End),
            Self::Length(left) => {
                let length = usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
                *left -= length as u64;
                length
            }
            Self::Chunked(chunks) => match chunks.next(read)? {
                Step::Data { skip, length } => {
                    read.advance(skip);
                    length
                }
                Step::More => {
                    read.clear();
                    0
                }
                Step::End { skip } => {
                    read.advance(skip);
                    return Ok(Found::End);
                }
            },
            Self::UntilClose => read.len(),
        };
        Ok(if length == 0 {
            Found::Nothing
        } else {
            Found::Data(read.split_to(length).freeze())
        })
    }

    /// How much to read at once. One byte more than is to come: what fills the room makes the runtime ask the kernel
    /// again before it believes that there is no more.
    fn room(&self, usual: usize) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left)
                .unwrap_or(MOST_ROOM)
                .saturating_add(1)
                .min(MOST_ROOM),
            Self::Chunked(_) | Self::UntilClose | Self::Switched => usual,
        }
    }

    const fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_over(),
            Self::Switched => true,
            Self::UntilClose => false,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if !self.ready.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.ready)))));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let data = ready!(rest.poll(cx));
        let is_over = rest.end.is_over();
        match data {
            Ok(Some(data)) => {
                if is_over {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Err(error) => {
                self.rest = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_over = self.rest.as_ref().is_none_or(|rest| rest.end.is_over());
        is_over && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self.ready.len() as u64;
        match self.rest.as_ref().map(|rest| &rest.end) {
            None | Some(End::Switched) => SizeHint::with_exact(ready),
            Some(End::Length(left)) => SizeHint::with_exact(left.saturating_add(ready)),
            Some(End::Chunked(_) | End::UntilClose) => SizeHint::default(),
        }
    }
}
