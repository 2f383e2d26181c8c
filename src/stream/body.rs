//! The body of any answer on a public listener: what a server polls.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::held::Held;
use crate::upstream::{AnswerBody, AnswerError};

/// A held stream, Django's answer, or a text of ours.
#[derive(Debug)]
pub enum Body {
    /// A stream; boxed, because it is much larger than the others.
    Held(Box<Held>),
    /// Django's.
    Answer(Box<AnswerBody>),
    /// Ours; empty when it was taken.
    Text(Bytes),
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self::Text(Bytes::new())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match self.get_mut() {
            Self::Held(held) => held
                .poll_next(cx)
                .map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Answer(answer) => Pin::new(answer).poll_frame(cx),
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(_) => false,
            Self::Answer(answer) => answer.is_end_stream(),
            Self::Text(text) => text.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(_) => SizeHint::default(),
            Self::Answer(answer) => answer.size_hint(),
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
        }
    }
}
