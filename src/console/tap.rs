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

use crate::domain::{ChannelName, ChannelPattern, Frame as EventFrame, Position, RetryMs};
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

/// What a tap is to show.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Only events of channels that fit one of these; all if there are none.
    pub channels: Vec<ChannelPattern>,
    /// Only events of one of these names; all if there are none.
    pub events: Vec<String>,
}

/// An open tap, polled as a body.
#[derive(Debug)]
pub struct Tap {
    log: Log,
    position: Position,
    seat: Seat,
    _slot: Slot,
    wanted: Wanted,
    grant: Option<Grant>,
    ready: VecDeque<Bytes>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Tap {
    pub(super) fn new(
        log: Log,
        seat: Seat,
        slot: Slot,
        wanted: Wanted,
        grant: Option<Grant>,
    ) -> Self {
        seat.tap();
        let position = log.position();
        let ready = VecDeque::from([sse::head(RETRY, None).to_bytes()]);
        let heartbeat = Box::pin(tokio::time::sleep(HEARTBEAT));
        Self {
            log,
            position,
            seat,
            _slot: slot,
            wanted,
            grant,
            ready,
            heartbeat,
        }
    }

    fn read(&mut self) {
        let Some((events, position)) = self.log.read_all(self.position, READ) else {
            self.position = self.log.position();
            let reset = sse::reset("history", Some(self.log.id(self.position)));
            self.ready.push_back(reset.to_bytes());
            return;
        };
        self.position = position;
        for (channels, frame) in events {
            self.ready.extend(self.told(&channels, &frame));
        }
    }

    /// The event as the tap shows it; `None` if it is not to.
    fn told(&self, channels: &[ChannelName], frame: &EventFrame) -> Option<Bytes> {
        let wanted = &self.wanted;
        let allowed = |channel: &&ChannelName| {
            let grant = self.grant.as_ref();
            grant.is_none_or(|grant| grant.allows(channel))
        };
        let fits = |channel: &&ChannelName| {
            let fits = |pattern: &ChannelPattern| pattern.matches(channel);
            wanted.channels.is_empty() || wanted.channels.iter().any(fits)
        };
        // What a view said to one person is not the operator's to read.
        let named = channels.iter().filter(|channel| channel.is_named());
        let shown: Vec<_> = named.filter(allowed).filter(fits).collect();
        let user = channels.iter().filter(allowed).find_map(ChannelName::user);
        // What went to a user alone fits no pattern.
        if shown.is_empty() && (user.is_none() || !wanted.channels.is_empty()) {
            return None;
        }
        let event = tap::read(frame)?;
        let is_wanted = wanted.events.is_empty() || wanted.events.contains(&event.event);
        is_wanted.then(|| tap::event(&shown, user, &event))?
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
            this.seat.listen(cx.waker());
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
