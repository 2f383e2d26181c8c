//! The body of an internal answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::base::handler::Holdable;
use crate::console::Tap;

/// A text, or a tap.
#[derive(Debug)]
pub enum Body {
    /// A text; empty when it was taken.
    Text(Bytes),
    /// A tap.
    Tap(Box<Tap>),
}

impl Body {
    pub(super) fn head_only(self) -> Self {
        match self {
            Self::Tap(_) => Self::Text(Bytes::new()),
            text @ Self::Text(_) => text,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Tap(tap) => Pin::new(tap).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Tap(_) => SizeHint::default(),
        }
    }
}

/// A tap is a body as any other: there are few.
impl Holdable for Body {
    type Held = Infallible;

    fn is_held(&self) -> bool {
        false
    }

    fn into_held(self) -> Result<Infallible, Self> {
        Err(self)
    }
}
