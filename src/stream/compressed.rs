//! Another body in a content coding, compressed while it is read. `proxy::compress` puts it in the place of an answer's.
//!
//! What has been taken is flushed when the body below has nothing more for now, so a page that Django streams arrives
//! as promptly as without. A body that breaks off is never finished: the client can see that something is missing.
//! Limits: a poll compresses at most [`STEP`] and lets other tasks go first then; one piece of the body below and
//! the encoder are in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;

use super::body::{Body, BodyError};
use crate::limits::Slot;
use crate::wire::encoder::Encoder;

/// What is compressed before others have their turn: about a millisecond's work.
const STEP: usize = 32 << 10;
/// As soon as so much is written, it is handed on.
const ENOUGH: usize = 16 << 10;

/// A body in a coding.
#[derive(Debug)]
pub struct Compressed {
    below: Body,
    /// `None`: it has ended or broken off.
    encoder: Option<Encoder>,
    /// Taken from below, and not compressed.
    piece: Bytes,
    /// Written, and not handed on.
    out: BytesMut,
    /// Whether the encoder has taken something since it was flushed.
    holds: bool,
    counters: Counters,
    _slot: Slot,
}

/// What is counted of it.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Bytes that were compressed.
    pub read: Counter,
    /// Bytes that they became.
    pub written: Counter,
}

impl Compressed {
    /// `below` by `encoder`, for as long as it has the slot.
    pub fn new(below: Body, encoder: Encoder, counters: Counters, slot: Slot) -> Self {
        Self {
            below,
            encoder: Some(encoder),
            piece: Bytes::new(),
            out: BytesMut::new(),
            holds: false,
            counters,
            _slot: slot,
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = self.poll_next(cx);
        if let Poll::Ready(Some(Err(_))) = &next {
            self.encoder = None;
        }
        next
    }

    pub(super) const fn is_over(&self) -> bool {
        self.encoder.is_none()
    }

    /// Its length is known when it has ended.
    pub(super) fn size_hint(&self) -> SizeHint {
        if self.is_over() {
            return SizeHint::with_exact(0);
        }
        SizeHint::default()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut left = STEP;
        loop {
            let Some(encoder) = &mut self.encoder else {
                return Poll::Ready(None);
            };
            if self.piece.is_empty() {
                match Pin::new(&mut self.below).poll_frame(cx)? {
                    // Trailers would be about the body as it was.
                    Poll::Ready(Some(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                    Poll::Ready(None) => {
                        encoder.finish(&mut self.out).map_err(failed)?;
                        self.encoder = None;
                        return Poll::Ready(Some(Ok(self.hand_on())));
                    }
                    Poll::Pending if self.holds => {
                        encoder.flush(&mut self.out).map_err(failed)?;
                        self.holds = false;
                        return Poll::Ready(Some(Ok(self.hand_on())));
                    }
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let part = self.piece.split_to(self.piece.len().min(left));
            left -= part.len();
            self.holds = true;
            self.counters.read.inc_by(part.len() as u64);
            encoder.encode(&part, &mut self.out).map_err(failed)?;
            if self.out.len() >= ENOUGH {
                return Poll::Ready(Some(Ok(self.hand_on())));
            }
        }
    }

    fn hand_on(&mut self) -> Frame<Bytes> {
        let bytes = self.out.split().freeze();
        self.counters.written.inc_by(bytes.len() as u64);
        Frame::data(bytes)
    }
}

const fn failed(error: io::Error) -> BodyError {
    BodyError::Coding(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Slots;
    use crate::wire::accept_encoding::Coding;
    use crate::wire::encoder::tests::{CODINGS, decoded, text};

    fn compressed(coding: Coding, text: Vec<u8>) -> Compressed {
        let counters = Counters {
            read: Counter::default(),
            written: Counter::default(),
        };
        let slot = Slots::new(1).take().unwrap();
        let encoder = Encoder::new(coding, None);
        Compressed::new(Body::Text(text.into()), encoder, counters, slot)
    }

    #[test]
    fn a_long_body_is_compressed_in_steps() {
        for coding in CODINGS {
            let text = text(10 * STEP);
            let mut body = compressed(coding, text.clone());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let (mut out, mut pauses) = (Vec::new(), 0);
            loop {
                match body.poll_frame(&mut cx) {
                    Poll::Ready(Some(frame)) => {
                        out.extend_from_slice(&frame.unwrap().into_data().unwrap());
                    }
                    Poll::Ready(None) => break,
                    Poll::Pending => pauses += 1,
                }
            }
            assert!(body.is_over());
            // It begins anew where something was handed on.
            let handed_on = out.len() / ENOUGH;
            assert!(
                (9 - handed_on..10).contains(&pauses),
                "{pauses}, {}",
                out.len()
            );
            let (read, written) = (body.counters.read.get(), body.counters.written.get());
            assert_eq!((read, written), (text.len() as u64, out.len() as u64));
            assert_eq!(decoded(coding, &out), (text, true));
        }
    }
}
