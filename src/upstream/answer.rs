//! The body of Django's answer, read as the client takes it, or before that by [`super::ahead`]. At its end the connection
//! goes back to the pool.
//!
//! Only if the answer was read to an end that it named itself, nothing came after it, the request was written whole and
//! both sides may go on (RFC 9112, section 9.3). Dropped before its end, a body takes its connection with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::ahead::Ahead;
use super::body::Upload;
use super::conn::Conn;
use super::error::AnswerError;
use super::exchange::{Answered, SendError, Sending};
use super::pool::Lease;
use super::switched::Switched;
use crate::limits::Slot;
use crate::wire::http1::{BadChunk, Chunks, Framing, Step};

/// What is read at once of a body that is long, or whose length is not known.
pub(super) const MOST_ROOM: usize = 128 << 10;
/// What is read at once of a body until it has once filled that.
const LEAST_ROOM: usize = 8 << 10;

/// An answer's body.
#[derive(Debug)]
pub struct AnswerBody {
    /// What is to be given before anything is read.
    ready: Bytes,
    /// What is to be given after that.
    next: Bytes,
    source: Source,
    /// What the client is still sending of its request though the answer is whole.
    upload: Option<Upload>,
}

/// Where the rest comes from; boxed, because most answers come whole.
#[derive(Debug)]
enum Source {
    /// There is no more.
    Over,
    /// The connection, until the body is over.
    Conn(Box<Rest>),
    /// Another task, which reads it ahead.
    Ahead(Box<Ahead>),
}

#[derive(Debug)]
struct Rest {
    lease: Lease,
    end: End,
    /// What of the request is still to be written.
    sending: Option<Box<Sending>>,
    /// What the client is still sending though nobody writes it any more.
    upload: Option<Upload>,
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
            upload,
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
            upload,
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
        if rest.is_over() {
            let mut whole = Self::new(ready, Source::Over);
            whole.upload = rest.finish(now);
            return whole;
        }
        Self::new(ready, Source::Conn(Box::new(rest)))
    }

    const fn new(ready: Bytes, source: Source) -> Self {
        Self {
            ready,
            next: Bytes::new(),
            source,
            upload: None,
        }
    }

    /// A body of which the rest is read by another task.
    pub(super) fn ahead(ready: Bytes, rest: Ahead) -> Self {
        Self::new(ready, Source::Ahead(Box::new(rest)))
    }

    /// Whether nothing is left to read.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.source, Source::Over)
    }

    /// Whether something of the request was still to be written when it was last read, or to be sent by the client.
    pub fn is_before_its_time(&self) -> bool {
        match &self.source {
            Source::Conn(rest) => rest.sending.is_some() || rest.upload.is_some(),
            Source::Over | Source::Ahead(_) => self.upload.is_some(),
        }
    }

    /// What the client is still sending of its request, once the answer was read to its end.
    pub fn take_upload(&mut self) -> Option<Upload> {
        self.upload.take()
    }

    /// What is there of it already.
    pub(super) fn take_ready(&mut self) -> Bytes {
        std::mem::take(&mut self.ready)
    }

    /// Reads once more what there is: a head often comes alone, and the whole body right behind it. Nobody is woken by what
    /// comes later.
    pub(super) fn look_again(mut self) -> Self {
        let Source::Conn(rest) = &mut self.source else {
            return self;
        };
        let is_short = match rest.end {
            End::Length(left) => left < MOST_ROOM as u64,
            End::Chunked(_) => self.ready.is_empty(),
            End::UntilClose | End::Switched => false,
        };
        if !is_short || rest.sending.is_some() {
            return self;
        }
        let mut cx = Context::from_waker(Waker::noop());
        match rest.poll_data(&mut cx) {
            Poll::Ready(Ok(Some(data))) => self.next = data,
            Poll::Ready(Err(error)) => rest.broken = Some(error),
            Poll::Ready(Ok(None)) | Poll::Pending => {}
        }
        if self.ready.is_empty() {
            self.ready = std::mem::take(&mut self.next);
        }
        if rest.is_over() {
            self.finish();
        }
        self
    }

    /// All of the body, if it came with the head.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.source {
            Source::Over if self.next.is_empty() => Ok(self.ready),
            Source::Over | Source::Conn(_) | Source::Ahead(_) => Err(self),
        }
    }

    /// The connection after a 101, with what was read of the new protocol. It counts as a request in flight.
    pub fn switched(self) -> Option<Switched> {
        match self.source {
            Source::Conn(rest) if matches!(rest.end, End::Switched) => {
                Some(Switched::new(rest.lease, rest.pause?))
            }
            Source::Over | Source::Conn(_) | Source::Ahead(_) => None,
        }
    }

    fn finish(&mut self) {
        if let Source::Conn(rest) = std::mem::replace(&mut self.source, Source::Over) {
            self.upload = rest.finish(Instant::now());
        }
    }
}

impl Rest {
    /// Whether nothing of the body is left but what tells its end, which is there.
    fn is_over(&mut self) -> bool {
        let read = &mut self.lease.conn.read;
        match &mut self.end {
            End::Chunked(chunks) => match chunks.clone().next(read) {
                Ok(Step::End { skip }) => {
                    read.advance(skip);
                    true
                }
                Ok(Step::More | Step::Data { .. }) | Err(_) => false,
            },
            End::Length(left) => *left == 0,
            End::UntilClose | End::Switched => false,
        }
    }

    /// Lets go of the connection; what the client is still sending of its request.
    fn finish(self, now: Instant) -> Option<Upload> {
        if self.can_be_kept && self.sending.is_none() {
            self.lease.give_back(now);
            return None;
        }
        let sending = self.sending.and_then(|sending| sending.into_upload());
        sending.or(self.upload)
    }

    /// Writes what is left of the request. A server that has answered need not read it.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), AnswerError> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        match sending.poll(&mut self.lease.conn, cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(SendError::Socket(_))) => {
                self.can_be_kept = false;
                let given_up = self.sending.take();
                self.upload = given_up.and_then(|sending| sending.into_upload());
            }
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
        if !self.next.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.next)))));
        }
        let rest = match &mut self.source {
            Source::Over => return Poll::Ready(None),
            Source::Ahead(ahead) => return ahead.poll(cx).map_ok(Frame::data),
            Source::Conn(rest) => rest,
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
                self.source = Source::Over;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_over = match &self.source {
            Source::Over => true,
            Source::Conn(rest) => rest.end.is_over(),
            Source::Ahead(ahead) => ahead.is_end(),
        };
        is_over && self.ready.is_empty() && self.next.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = (self.ready.len() + self.next.len()) as u64;
        let left = match &self.source {
            Source::Over => Some(0),
            Source::Ahead(ahead) => ahead.left(),
            Source::Conn(rest) => match rest.end {
                End::Switched => Some(0),
                End::Length(left) => Some(left),
                End::Chunked(_) | End::UntilClose => None,
            },
        };
        left.map_or_else(SizeHint::default, |left| {
            SizeHint::with_exact(left.saturating_add(ready))
        })
    }
}
