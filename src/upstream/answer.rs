//! The body of Django's answer, read as the client takes it. At its end the connection goes back to the pool.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::error::AnswerError;
use super::pool::Lease;
use crate::limits::Slot;

/// An answer's body. Dropped before its end, it takes its connection with it.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Incoming,
    lease: Option<Lease>,
    turn: Option<Slot>,
    switched: bool,
    pause: Option<Pause>,
}

/// The limit on pauses within the body.
#[derive(Debug)]
struct Pause {
    longest: Duration,
    timer: Pin<Box<Sleep>>,
}

impl AnswerBody {
    /// `pause` is the longest silence within the body; `None` for an event stream, which may be silent for long.
    pub(super) fn new(
        status: StatusCode,
        incoming: Incoming,
        lease: Lease,
        pause: Option<Duration>,
    ) -> Self {
        // After 101 the connection belongs to whoever takes it over.
        let switched = status == StatusCode::SWITCHING_PROTOCOLS;
        let pause = pause.map(|longest| Pause {
            longest,
            timer: Box::pin(tokio::time::sleep(longest)),
        });
        let mut body = Self {
            incoming,
            lease: Some(lease),
            turn: None,
            switched,
            pause,
        };
        if body.incoming.is_end_stream() && !switched {
            body.finish();
        }
        body
    }

    /// Keeps the request's turn until the answer's end; a connection that was handed over keeps none.
    pub(super) fn with_turn(mut self, turn: Option<Slot>) -> Self {
        self.turn = turn.filter(|_| self.lease.is_some() && !self.switched);
        self
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.turn = None;
        self.pause = None;
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(pause) = &mut self.pause {
                        let next = Instant::now() + pause.longest;
                        pause.timer.as_mut().reset(next);
                    }
                    if self.incoming.is_end_stream() {
                        self.finish();
                    }
                    // Trailers are dropped: what a client may do with them depends on too much in between.
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(AnswerError::Broken(error))));
                }
                Poll::Ready(None) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let Some(pause) = &mut self.pause else {
                        return Poll::Pending;
                    };
                    ready!(pause.timer.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(AnswerError::Idle)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
