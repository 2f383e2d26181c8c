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
use crate::domain::{ChannelName, EventId, Frame, Position, RetryMs};
use crate::history::{Cursor, Log, Progress};
use crate::hub::{Ending, Era, Identity, Membership, Seat};
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
    ready: VecDeque<Frame>,
    seat: Seat,
    reading: Reading,
    permission: Permission,
    heartbeat: Pin<Box<Sleep>>,
    last_write: Instant,
    settings: Arc<Settings>,
    streams: Streams,
    places: Places,
}

/// What a stream reads.
#[derive(Debug)]
enum Reading {
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

    /// The first bytes of a stream that is not granted yet. A client that came with an id keeps it: a place it has not
    /// reached must not take its stead.
    pub(super) fn wait_for_permission(&mut self) {
        let id = match &self.reading {
            Reading::Nothing(Arrival { now, last: None }) => Some(self.log().id(*now).to_string()),
            _ => None,
        };
        self.say_head(drawn(&self.settings.retry), id.as_deref());
    }

    /// The first bytes of a granted stream. The id comes after an initial state, and after the states of its channels: a
    /// client cut off within them must not come back as one who has them.
    pub(super) fn begin(&mut self, grant: &Grant, place: Place, renewal: Renewal) {
        let retry = grant
            .terms
            .retry
            .unwrap_or_else(|| drawn(&self.settings.retry));
        let known = match place {
            Place::At(position)
                if grant.initial.is_empty() && !self.has_states(grant, position) =>
            {
                Some(self.log().id(position).to_string())
            }
            _ => None,
        };
        self.say_head(retry, known.as_deref());
        self.start(grant, place, known.is_some());
        self.permit(grant, renewal);
    }

    fn say_head(&mut self, retry: RetryMs, id: Option<&str>) {
        self.say(sse::head(retry, id));
        if let Some(name) = &self.settings.open_event {
            let data = format!(r#"{{"stream":"{}"}}"#, self.seat.id());
            self.say(sse::named(&name.clone(), &data));
        }
    }

    /// Goes on its channels, with the initial state and, unless `told`, the place it begins at.
    fn start(&mut self, grant: &Grant, place: Place, told: bool) {
        let Reading::Nothing(Arrival { now, last }) = &self.reading else {
            return;
        };
        let (now, fresh) = (*now, last.is_none());
        let hearing = Hearing::of(&grant.terms);
        let (position, reset) = match place {
            Place::At(position) => (position, None),
            Place::Unknown(reason) => (now, Some(reason)),
            Place::Over => return self.end("closed"),
        };
        // A stream that was held for long may have lost even the place it came with.
        let (position, reset) = if self.log().has_gap(hearing.all(), position) {
            (self.log().position(), Some(Reason::History))
        } else {
            (position, reset)
        };
        let membership = self.join(grant, &hearing);
        let cursor = self.log().cursor(hearing.all().to_vec(), position);
        self.seat.note(position, 0);
        self.reading = Reading::Channels(cursor, membership);
        // Who was kicked since the permission was asked for gets nothing of what it would have allowed.
        if matches!(self.seat.ending(), Some(Ending::Kick | Ending::Logout)) {
            return;
        }
        // A reset comes before the state that answers it, and the place after both.
        let id = self.log().id(position);
        if let Some(reason) = reset {
            self.reset(reason, grant.initial.is_empty().then_some(id));
        }
        if !grant.initial.is_empty() {
            self.say(grant.initial.clone());
        }
        let mut told = told || (reset.is_some() && grant.initial.is_empty());
        if fresh || reset.is_some() {
            told &= !self.say_states(hearing.all(), position);
        }
        if !told {
            self.say(sse::place(id));
        }
        // Who missed the closing event is told that something is missing, and then nothing more comes.
        if reset.is_some() && self.log().has_seen_the_end(hearing.named(), position) {
            return self.end("closed");
        }
        // What was dropped since a moment ago is a reset as well, not a slow client.
        if self.read() == Some(Progress::Gap) {
            self.skip();
        }
    }

    /// Whether a stream that begins at `position` is given states.
    fn has_states(&self, grant: &Grant, position: Position) -> bool {
        let channels = Hearing::of(&grant.terms);
        let fresh = matches!(&self.reading, Reading::Nothing(Arrival { last: None, .. }));
        fresh
            && !self
                .log()
                .states(channels.all(), position, self.seat.id())
                .is_empty()
    }

    /// Gives what `channels` keep for whoever comes later; whether there was anything. These events bring ids from before
    /// the stream's place along, so the place must be told after them.
    fn say_states(&mut self, channels: &[ChannelName], position: Position) -> bool {
        let states = self.log().states(channels, position, self.seat.id());
        let any = !states.is_empty();
        self.seat.note(position, states.len());
        self.ready.extend(states);
        any
    }

    fn join(&self, grant: &Grant, hearing: &Hearing) -> Membership {
        let identity = Identity {
            user: grant.terms.user.as_ref(),
            channels: hearing.all(),
        };
        self.seat.join(identity, Era(grant.era))
    }

    fn permit(&mut self, grant: &Grant, renewal: Renewal) {
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

    /// Goes on with the channels of a new grant, from the same place.
    pub(super) fn move_to(&mut self, grant: &Grant) {
        let hearing = Hearing::of(&grant.terms);
        // Also if nothing seems to change: a kick since the ask ends the stream.
        let joined = self.join(grant, &hearing);
        let Reading::Channels(cursor, membership) = &mut self.reading else {
            return;
        };
        *membership = joined;
        let before = cursor.channels();
        let is_new = |channel: &&ChannelName| !before.contains(channel);
        let added: Vec<_> = hearing.all().iter().filter(is_new).cloned().collect();
        if added.is_empty() && before.len() == hearing.all().len() {
            return;
        }
        let position = cursor.position();
        *cursor = cursor.moved_to(hearing.all().to_vec());
        // The state of channels that were not there before.
        let initial = !grant.initial.is_empty();
        if initial {
            self.say(grant.initial.clone());
        }
        if self.say_states(&added, position) || initial {
            self.say(sse::place(self.log().id(position)));
        }
        // What only passed the new channels meanwhile is a reset, not a slow client.
        if self.read() == Some(Progress::Gap) {
            self.skip();
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

    fn read(&mut self) -> Option<Progress> {
        let Reading::Channels(cursor, _) = &mut self.reading else {
            return None;
        };
        let before = self.ready.len();
        let progress = cursor.read(self.seat.id(), READ, &mut self.ready);
        let given = self.ready.len() - before;
        self.seat.note(cursor.position(), given);
        self.streams.0.metrics.delivered.inc_by(given as u64);
        if progress == Progress::Closed {
            self.end("closed");
        }
        Some(progress)
    }

    /// Goes on with the newest, and says so.
    fn skip(&mut self) {
        if let Reading::Channels(cursor, _) = &mut self.reading {
            let closed = cursor.skip();
            let position = cursor.position();
            self.reset(Reason::History, Some(self.log().id(position)));
            if closed {
                self.end("closed");
            }
        }
    }

    fn reset(&mut self, reason: Reason, id: Option<EventId>) {
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
    fn end(&mut self, reason: &'static str) {
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

    fn say(&mut self, bytes: Bytes) {
        self.ready.push_back(Frame::new(bytes));
    }

    fn log(&self) -> &Log {
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
