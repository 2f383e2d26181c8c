//! One held stream: a cursor, a permission and a heartbeat.
//!
//! A state without a clock, a timer or a socket of its own: whoever writes it to its client asks for the next frames
//! ([`Held::poll_next`] one by one, [`Held::fill`] as many as fit one write), tells it the time, and comes again when the
//! bell has rung or at [`Held::due`]. The order of a look is its meaning: listen for wakes; then see whether the stream
//! must end, whether the permission has changed, what the log has; then the heartbeat. Because listening comes before
//! looking, nothing that happens in between is missed.
//!
//! Nothing is queued for a stream that is not asked. `ready` holds at most what one read takes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::grip::{Hold, Rendered};
use super::permission::{Asking, Permission, Renewal, log_verdict};
use super::place::{self, Hearing, Place, Reason};
use super::places::{Places, TooMany};
use super::{Settings, SlowClient, Streams};
use crate::ask::{Facts, Grant, Verdict};
use crate::base::bell::Inbox;
use crate::base::handler::Filled;
use crate::base::random;
use crate::domain::{EventId, Frame, Position, RetryMs};
use crate::history::{self, Cursor, Log, Progress};
use crate::hub::{Ending, Hub, Membership, Seat};
use crate::wire::last_event_id::LastEventId;
use crate::wire::sse;

/// The most events of one read.
pub(super) const READ: usize = 32;
/// How often more is looked for before what there is is written: once for what it has to say itself, once for events, and
/// once to see that there is no more.
const LOOKS: usize = 3;
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

/// A held stream.
#[derive(Debug)]
pub struct Held {
    pub(super) ready: VecDeque<Frame>,
    pub(super) seat: Seat,
    pub(super) reading: Reading,
    permission: Permission,
    last_write: Instant,
    /// There is nothing to look for until the bell rings or something is due.
    settled: bool,
    /// What only a stream has that Django opened by its answer.
    pub(super) hold: Option<Box<Hold>>,
    pub(super) settings: Arc<Settings>,
    streams: Streams,
    places: Places,
}

/// What one stream may spare the next one.
#[derive(Debug, Default)]
pub struct Memo {
    /// A read of the log.
    pub(super) log: history::Memo,
    /// Room for the items of one read.
    pub(super) items: VecDeque<Frame>,
    /// What was made of the last of them.
    pub(super) rendered: Rendered,
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
            last_write: Instant::now(),
            settled: false,
            hold: None,
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
    pub fn is_revoked(&self) -> bool {
        matches!(self.seat.ending(), Some(Ending::Kick | Ending::Logout))
    }

    pub(super) fn permit(&mut self, grant: &Grant, renewal: Renewal) {
        let expires = grant.terms.expires.or(self.settings.recheck);
        let at = |expires| Instant::now() + expires;
        self.permission = match (expires, renewal) {
            (None, _) | (_, Renewal::Never) => Permission::Lasting,
            (Some(expires), Renewal::Ask(asking)) => Permission::Until(at(expires), asking),
            (Some(expires), Renewal::Impossible) => Permission::Ends(at(expires)),
        };
    }

    /// Whatever wakes this stream puts `key` into `inbox`.
    pub fn attach(&self, inbox: &Inbox, key: u32) {
        self.seat.attach(inbox, key);
    }

    /// Whether somebody else's answer is waited for, so that the waker it is polled with will be woken.
    pub fn awaits(&self) -> bool {
        matches!(self.permission, Permission::Asked(_))
            || self.hold.as_ref().is_some_and(|hold| hold.awaits())
    }

    /// When it is to be asked again, whether or not the bell has rung.
    pub fn due(&self) -> Instant {
        if let Some(hold) = &self.hold {
            return hold.due(self.last_write);
        }
        let heartbeat = self.beat_at();
        let ends = self.permission.ends();
        ends.map_or(heartbeat, |ends| ends.min(heartbeat))
    }

    /// When the next heartbeat is due.
    fn beat_at(&self) -> Instant {
        match &self.hold {
            Some(hold) => hold.beat_at(self.last_write),
            None => self.last_write + self.settings.heartbeat,
        }
    }

    fn beat(&mut self, now: Instant) -> Frame {
        match &mut self.hold {
            Some(hold) => hold.beat(now),
            None => self.settings.beat.frame(),
        }
    }

    /// The next frame; `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Option<Frame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.last_write = now;
                return Poll::Ready(Some(frame));
            }
            // Its room is given back while it waits.
            self.ready = VecDeque::new();
            if self.is_over() {
                return Poll::Ready(None);
            }
            if !self.look(cx, now, None) {
                return Poll::Pending;
            }
        }
    }

    /// Moves the frames that can be written now into `out`, which is empty: what one read gives, or little more.
    pub fn fill(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut VecDeque<Frame>,
        memo: &mut Memo,
    ) -> Filled {
        // What is read is put where there is room already: this way an event costs no allocation.
        let lent = self.ready.is_empty();
        if lent {
            std::mem::swap(&mut self.ready, out);
        }
        let mut idle = false;
        let mut looks = 0;
        while looks < LOOKS && self.ready.len() < READ && !self.is_over() && !idle {
            idle = !self.look(cx, now, Some(memo));
            looks += 1;
        }
        std::mem::swap(&mut self.ready, out);
        if !lent {
            self.ready = VecDeque::new();
        }
        if !out.is_empty() {
            self.last_write = now;
        }
        match (self.is_over(), idle) {
            (true, _) => Filled::Over,
            (false, true) => Filled::Idle,
            (false, false) => Filled::More,
        }
    }

    const fn is_over(&self) -> bool {
        matches!(self.reading, Reading::Over)
    }

    /// Looks for something to say; whether anything changed.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant, memo: Option<&mut Memo>) -> bool {
        let woken = self.seat.listen(cx.waker());
        if self.settled && !woken && now < self.due() {
            return false;
        }
        self.settled = false;
        if let Some(ending) = self.seat.ending() {
            self.leave(ending, now);
            return true;
        }
        let changed = match &self.hold {
            Some(_) => self.look_at_hold(cx, now, memo),
            None => self.poll_permission(cx, now) || self.advance(now, memo),
        };
        if !changed {
            // What is ready breaks the silence as well.
            if now < self.beat_at() || !self.ready.is_empty() {
                self.settled = !self.awaits();
                return false;
            }
            let beat = self.beat(now);
            self.say(beat);
            // In case nobody takes it at once.
            self.last_write = now;
        }
        true
    }

    /// Whether something changed.
    fn poll_permission(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match &mut self.permission {
            Permission::Lasting => false,
            Permission::Until(until, asking) => {
                let expired = *until <= now;
                if expired {
                    let asking = asking.clone();
                    self.permission = Permission::Asked(asking.until_clear(
                        self.streams.0.hub.clone(),
                        self.settings.reach,
                        self.facts(),
                        false,
                    ));
                }
                expired
            }
            Permission::Ends(at) => {
                let expired = *at <= now;
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
        let (streams, settings) = (&self.streams.0, &self.settings);
        if let Err(TooMany) = self.places.take_users(streams, settings, &grant.terms) {
            return self.end("limited");
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
                &self.settings.reach,
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
    fn advance(&mut self, now: Instant, memo: Option<&mut Memo>) -> bool {
        if !self.permission.allows(now) {
            return false;
        }
        let before = self.ready.len();
        match (self.read_through(memo), self.settings.slow_client) {
            (None, _) => false,
            (Some(Progress::UpToDate), _) => {
                // Whatever was published since this look began has rung the bell.
                self.settled = true;
                self.ready.len() > before
            }
            (Some(Progress::Gap), SlowClient::Close) => {
                self.end("slow");
                true
            }
            (Some(Progress::Gap), SlowClient::Skip) => {
                self.skip();
                true
            }
            (Some(Progress::More | Progress::Doubt | Progress::Closed), _) => true,
        }
    }

    pub(super) fn read(&mut self) -> Option<Progress> {
        self.read_through(None)
    }

    fn read_through(&mut self, memo: Option<&mut Memo>) -> Option<Progress> {
        let Reading::Channels(cursor, _) = &mut self.reading else {
            return None;
        };
        let before = self.ready.len();
        let (stream, ready) = (self.seat.id(), &mut self.ready);
        let progress = match memo {
            Some(memo) => cursor.read_alike(stream, READ, ready, &mut memo.log),
            None => cursor.read(stream, READ, ready),
        };
        let position = cursor.position();
        if self.is_revoked() {
            self.ready.truncate(before);
            return None;
        }
        self.delivered(position, self.ready.len() - before);
        match progress {
            Progress::Closed => self.end("closed"),
            Progress::Doubt => self.reset(Reason::Redis, Some(self.log().id(position))),
            Progress::UpToDate | Progress::More | Progress::Gap => {}
        }
        Some(progress)
    }

    /// Goes on with the newest, and says so.
    pub(super) fn skip(&mut self) {
        if let Reading::Channels(cursor, _) = &mut self.reading {
            let closed = cursor.skip();
            let (position, channels) = (cursor.position(), Arc::clone(cursor.channels()));
            let states = self.states(&channels, &[], position);
            self.say_beginning(Some(Reason::History), &[], states, position, false);
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

    fn leave(&mut self, ending: Ending, now: Instant) {
        match ending {
            Ending::Drain if self.hold.is_some() => {
                self.read_last_items(now, LAST_READS);
                self.end("drain");
            }
            Ending::Drain => {
                // What was published so far is still the client's; a reader far behind gets the rest when it is back.
                let may_read = self.permission.allows(now);
                while may_read
                    && self.ready.len() < LAST_READS
                    && matches!(self.read(), Some(Progress::More | Progress::Doubt))
                {
                }
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

    pub(super) fn say(&mut self, frame: Frame) {
        self.ready.push_back(frame);
    }

    /// There is nothing to look for until the bell rings or something is due.
    pub(super) const fn settle_down(&mut self) {
        self.settled = true;
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.streams.0.hub
    }

    pub(super) fn log(&self) -> &Log {
        self.hub().log()
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
