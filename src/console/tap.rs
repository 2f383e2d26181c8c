//! The tap: an event stream of what is published, over all channels, for an operator's eyes.
//!
//! It reads the log as any stream does, so a tap that does not read delays nobody; what it missed it is told by a reset.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use crate::domain::{ChannelName, ChannelPattern, Position, RetryMs};
use crate::history::Log;
use crate::hub::Seat;
use crate::limits::Slot;
use crate::tokens::Grant;
use crate::wire::{sse, tap};

/// The most events of one read.
const READ: usize = 64;
/// The longest silence.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back.
const RETRY: RetryMs = RetryMs(2000);

/// An open tap, polled as a body.
#[derive(Debug)]
pub struct Tap {
    log: Log,
    position: Position,
    seat: Seat,
    _slot: Slot,
    patterns: Vec<ChannelPattern>,
    grant: Option<Grant>,
    ready: VecDeque<Bytes>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Tap {
    pub(super) fn new(
        log: Log,
        seat: Seat,
        slot: Slot,
        patterns: Vec<ChannelPattern>,
        grant: Option<Grant>,
    ) -> Self {
        seat.tap();
        let position = log.position();
        let ready = VecDeque::from([sse::head(RETRY, None)]);
        let heartbeat = Box::pin(tokio::time::sleep(HEARTBEAT));
        Self {
            log,
            position,
            seat,
            _slot: slot,
            patterns,
            grant,
            ready,
            heartbeat,
        }
    }

    fn read(&mut self) {
        let Some((events, position)) = self.log.read_all(self.position, READ) else {
            self.position = self.log.position();
            self.ready
                .push_back(sse::reset("history", Some(self.log.id(self.position))));
            return;
        };
        self.position = position;
        for (channels, frame) in events {
            let shown: Vec<_> = channels
                .iter()
                .filter(|channel| self.shows(channel))
                .cloned()
                .collect();
            if !shown.is_empty() {
                self.ready.extend(tap::event(&shown, &frame));
            }
        }
    }

    fn shows(&self, channel: &ChannelName) -> bool {
        let wanted = self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| pattern.matches(channel));
        // What a view said to one person is not the operator's to read.
        wanted
            && !channel.is_recording()
            && self
                .grant
                .as_ref()
                .is_none_or(|grant| grant.allows(channel))
    }
}

impl Body for Tap {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            this.seat.register(cx.waker());
            if this.seat.ending().is_some() {
                return Poll::Ready(None);
            }
            let before = this.position;
            this.read();
            if this.ready.is_empty() && this.position == before {
                ready!(this.heartbeat.as_mut().poll(cx));
                this.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
                this.ready.push_back(Bytes::from_static(sse::HEARTBEAT));
            }
        }
    }
}
