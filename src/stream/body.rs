//! The body of any answer on a public listener: what a server polls.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::compressed::Compressed;
use super::held::Held;
use crate::files::{FileBody, ReadError};
use crate::upstream::{AnswerBody, AnswerError};

/// A held stream, Django's answer, a file, a text of ours, or one of these compressed.
#[derive(Debug)]
pub enum Body {
    /// A stream; boxed, because it is much larger than the others.
    Held(Box<Held>, Timer),
    /// Django's.
    Answer(Box<AnswerBody>),
    /// A file.
    File(Box<FileBody>),
    /// Ours; empty when it was taken.
    Text(Bytes),
    /// Another, in a coding that its client takes.
    Compressed(Box<Compressed>),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Django's did.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A file did.
    #[error(transparent)]
    File(#[from] ReadError),
    /// It could not be compressed.
    #[error("the body cannot be compressed")]
    Coding(#[source] std::io::Error),
}

/// Wakes a stream that is polled as a body when something of it is due; made at its first silence.
#[derive(Debug, Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self::Text(Bytes::new())
    }
}

impl From<Held> for Body {
    fn from(held: Held) -> Self {
        Self::Held(Box::new(held), Timer::default())
    }
}

impl Timer {
    /// Waits until `due`. The timer is not moved at each write, only when it fires too early or would fire too late.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Held(held, timer) => loop {
                match held.poll_next(cx, Instant::now()) {
                    Poll::Ready(next) => {
                        let data = next.map(|frame| Ok(Frame::data(frame.to_bytes())));
                        return Poll::Ready(data);
                    }
                    Poll::Pending => ready!(timer.poll(cx, held.due())),
                }
            },
            Self::Answer(answer) => Pin::new(answer).poll_frame(cx).map_err(BodyError::from),
            Self::File(file) => Pin::new(file).poll_frame(cx).map_err(BodyError::from),
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Compressed(compressed) => compressed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(..) => false,
            Self::Answer(answer) => answer.is_end_stream(),
            Self::File(file) => file.is_end_stream(),
            Self::Text(text) => text.is_empty(),
            Self::Compressed(compressed) => compressed.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(..) => SizeHint::default(),
            Self::Answer(answer) => answer.size_hint(),
            Self::File(file) => file.size_hint(),
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Compressed(compressed) => compressed.size_hint(),
        }
    }
}
