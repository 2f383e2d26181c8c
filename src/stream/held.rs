//! One held stream: a cursor, a permission and a heartbeat.
//!
//! Polled by the connection that owns it. The order of a poll is its meaning: give what is ready; register for wakes;
//! then look whether the stream must end, whether the permission has changed, what the log has; then the heartbeat.
//! Because registering comes before looking, nothing that happens in between is missed.
//!
//! Nothing is queued for a stream that is not polled. `ready` holds at most what one read takes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use super::permission::{Asking, Permission, Renewal, log_verdict};
use super::place::{self, Hearing, Place, Reason};
use super::places::{Places, TooMany};
use super::{Settings, SlowClient, Streams};
use crate::ask::{Facts, Grant, Verdict};
use crate::base::random;
use crate::domain::{EventId, Frame, Position, RetryMs};
use crate::history::{Cursor, Log, Progress};
use crate::hub::{Ending, Membership, Seat};
use crate::wire::last_event_id::LastEventId;
use crate::wire::sse;

/// The most events of one read.
const READ: usize = 32;
/// The most events a stream is still given when the gateway drains.
const LAST_READS: usize = 1024;

/// Where a client comes from.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The end of the log before anybody was asked.
    pub(super) now: Position,
    /// Where the client says it was.
    pub(super) last: Option<LastEventId>,
}

/// A held stream, polled as a body.
#[derive(Debug)]
pub struct Held {
    pub(super) ready: VecDeque<Frame>,
    pub(super) seat: Seat,
    pub(super) reading: Reading,
    permission: Permission,
    heartbeat: Pin<Box<Sleep>>,
    last_write: Instant,
    pub(super) settings: Arc<Settings>,
    streams: Streams,
    places: Places,
}

/// What a stream reads.
#[derive(Debug)]
pub(super) enum Reading {
    /// Nothing yet: its channels are not known.
    Nothing(Arrival),
    /// Its channels, from its place.
    Channels(Cursor, Membership),
    /// Nothing any more; what is ready is still given.
    Over,
}

impl Held {
    pub(super) fn new(
        seat: Seat,
        places: Places,
        settings: Arc<Settings>,
        streams: Streams,
        arrival: Arrival,
        permission: Permission,
    ) -> Self {
        streams.0.metrics.opened.inc();
        Self {
            ready: VecDeque::new(),
            seat,
            reading: Reading::Nothing(arrival),
            permission,
            heartbeat: Box::pin(tokio::time::sleep(settings.heartbeat)),
            last_write: Instant::now(),
            settings,
            streams,
            places,
        }
    }

    pub(super) fn delivered(&self, position: Position, events: usize) {
        self.seat.note(position, events);
        self.streams.0.metrics.delivered.inc_by(events as u64);
    }

    /// Whether the permission was taken back. Looked at after each read: what was published after a kick must not have
    /// been read before it was noticed.
    pub(super) fn is_revoked(&self) -> bool {
        matches!(self.seat.ending(), Some(Ending::Kick | Ending::Logout))
    }

    pub(super) fn permit(&mut self, grant: &Grant, renewal: Renewal) {
        let expires = grant.terms.expires.or(self.settings.recheck);
        let timer = |expires| Box::pin(tokio::time::sleep(expires));
        self.permission = match (expires, renewal) {
            (None, _) | (_, Renewal::Never) => Permission::Lasting,
            (Some(expires), Renewal::Ask(asking)) => Permission::Until(timer(expires), asking),
            (Some(expires), Renewal::Impossible) => Permission::Ends(timer(expires)),
        };
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.last_write = Instant::now();
                return Poll::Ready(Some(frame.into_bytes()));
            }
            if matches!(self.reading, Reading::Over) {
                return Poll::Ready(None);
            }
            self.seat.register(cx.waker());
            if let Some(ending) = self.seat.ending() {
                self.leave(ending);
            } else if !self.poll_permission(cx) && !self.advance() {
                ready!(self.poll_heartbeat(cx));
                self.say(self.settings.beat.bytes());
            }
        }
    }

    /// Whether something changed.
    fn poll_permission(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.permission {
            Permission::Lasting => false,
            Permission::Until(timer, asking) => {
                let expired = timer.as_mut().poll(cx).is_ready();
                if expired {
                    let asking = asking.clone();
                    self.permission = Permission::Asked(asking.until_clear(
                        self.streams.0.hub.clone(),
                        self.facts(),
                        false,
                    ));
                }
                expired
            }
            Permission::Ends(timer) => {
                let expired = timer.as_mut().poll(cx).is_ready();
                if expired {
                    self.end("expired");
                }
                expired
            }
            Permission::Asked(answering) => match answering.poll(cx) {
                Poll::Ready((verdict, asking)) => {
                    self.settle(verdict, asking);
                    true
                }
                Poll::Pending => false,
            },
        }
    }

    /// What Django is told when it is asked again: the client has everything up to the cursor.
    pub(super) fn facts(&self) -> Facts {
        let last = match &self.reading {
            Reading::Channels(cursor, _) => Some(cursor.position()),
            Reading::Nothing(_) | Reading::Over => None,
        };
        Facts {
            stream: self.seat.id(),
            last: last.map(|position| LastEventId::Own(self.log().id(position))),
            whole: false,
            era: 0,
        }
    }

    fn settle(&mut self, verdict: Verdict, asking: Box<Asking>) {
        log_verdict(&asking.asker, asking.head.target.path(), &verdict, false);
        let Verdict::Granted(grant) = verdict else {
            // The client is told by the status of its reconnect.
            return self.end("refused");
        };
        // The old share goes first: the same user keeps its place.
        self.places.user = None;
        match self.streams.0.user_share(&self.settings, &grant.terms) {
            Ok(share) => self.places.user = share,
            Err(TooMany) => return self.end("limited"),
        }
        if let Some(retry) = grant.terms.retry {
            self.say(sse::retry(retry));
        }
        if let Reading::Nothing(arrival) = &self.reading {
            let place = place::find(
                self.log(),
                &Hearing::of(&grant.terms),
                arrival.last.as_ref(),
                arrival.now,
            );
            let told = matches!(place, Place::At(position) if position == arrival.now && arrival.last.is_none())
                && grant.initial.is_empty();
            self.start(&grant, place, told);
        } else {
            self.move_to(&grant);
        }
        if !matches!(self.reading, Reading::Over) {
            self.permit(&grant, Renewal::Ask(asking));
        }
    }

    /// Takes what the log has for this stream; whether anything changed.
    fn advance(&mut self) -> bool {
        if !self.permission.allows() {
            return false;
        }
        match (self.read(), self.settings.slow_client) {
            (None | Some(Progress::UpToDate), _) => !self.ready.is_empty(),
            (Some(Progress::Gap), SlowClient::Close) => {
                self.end("slow");
                true
            }
            (Some(Progress::Gap), SlowClient::Skip) => {
                self.skip();
                true
            }
            (Some(Progress::More | Progress::Closed), _) => true,
        }
    }

    pub(super) fn read(&mut self) -> Option<Progress> {
        let Reading::Channels(cursor, _) = &mut self.reading else {
            return None;
        };
        let before = self.ready.len();
        let progress = cursor.read(self.seat.id(), READ, &mut self.ready);
        let position = cursor.position();
        if self.is_revoked() {
            self.ready.truncate(before);
            return None;
        }
        self.delivered(position, self.ready.len() - before);
        if progress == Progress::Closed {
            self.end("closed");
        }
        Some(progress)
    }

    /// Goes on with the newest, and says so.
    pub(super) fn skip(&mut self) {
        if let Reading::Channels(cursor, _) = &mut self.reading {
            let closed = cursor.skip();
            let (position, channels) = (cursor.position(), cursor.channels().to_vec());
            let states = self.states(&channels, &[], position);
            self.say_beginning(
                Some(Reason::History),
                &Bytes::new(),
                states,
                position,
                false,
            );
            if closed {
                self.end("closed");
            }
        }
    }

    pub(super) fn reset(&mut self, reason: Reason, id: Option<EventId>) {
        self.streams
            .0
            .metrics
            .resets
            .get_or_create(&[("reason", reason.as_str())])
            .inc();
        self.say(sse::reset(reason.as_str(), id));
    }

    fn leave(&mut self, ending: Ending) {
        match ending {
            Ending::Drain => {
                // What was published so far is still the client's; a reader far behind gets the rest when it is back.
                let may_read = self.permission.allows();
                while may_read
                    && self.ready.len() < LAST_READS
                    && self.read() == Some(Progress::More)
                {}
                if !matches!(self.reading, Reading::Over) {
                    self.say(sse::retry(drawn(&self.settings.retry)));
                }
                self.end("drain");
            }
            Ending::Kick => self.end("kick"),
            Ending::Logout => self.end("logout"),
        }
    }

    /// Ends the stream after what is ready. Leaves its channels now.
    pub(super) fn end(&mut self, reason: &'static str) {
        if !matches!(self.reading, Reading::Over) {
            self.reading = Reading::Over;
            self.permission = Permission::Lasting;
            self.streams
                .0
                .metrics
                .ended
                .get_or_create(&[("reason", reason)])
                .inc();
        }
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The timer is not moved at each write: when it fires too early, it is set to when it is due.
        loop {
            ready!(self.heartbeat.as_mut().poll(cx));
            let due = self.last_write + self.settings.heartbeat;
            let now = Instant::now();
            self.heartbeat.as_mut().reset(if due > now {
                due
            } else {
                now + self.settings.heartbeat
            });
            if due <= now {
                return Poll::Ready(());
            }
        }
    }

    pub(super) fn say(&mut self, bytes: Bytes) {
        self.ready.push_back(Frame::new(bytes));
    }

    pub(super) fn log(&self) -> &Log {
        self.streams.0.hub.log()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever is still reading when the connection is gone has left by itself.
        self.end("client");
    }
}

/// A `retry:` drawn for one client.
pub(super) fn drawn(range: &RangeInclusive<Duration>) -> RetryMs {
    RetryMs(u32::try_from(random::duration(range).as_millis()).unwrap_or(u32::MAX))
}
