//! Who is on which channel, and what of it Django is still to be told.
//!
//! `Seat::join` and the drop of a `Membership` change it under the hub's lock, if anybody watches; `notify` takes the
//! changes. It is a state and no queue: of each subject (a channel, or a user on a channel) it knows how many streams
//! there are and what was told last, so coming and going before anything was told leaves nothing to tell. Going is due
//! only after a while, and forgotten if somebody comes back before.
//!
//! What was taken counts as told: whoever takes changes tells them until they are heard, and in their order.
//!
//! Bound: the subjects that have streams, which those pay for; and [`MOST_GONE`] without. Beyond, everything is told
//! anew after a reset, which says of those that are gone what there is to say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Hub;
use crate::base::metrics::Registry;
use crate::base::sync::lock;
use crate::domain::{Change, ChannelName, UserId, What};

/// Subjects without streams of which that is still to be told.
const MOST_GONE: usize = 100_000;

/// A channel, or a user on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    channel: ChannelName,
    user: Option<UserId>,
}

/// What is known of a subject that has streams, or of which it is still to be told that it has none.
#[derive(Debug)]
struct State {
    streams: usize,
    /// Whether its having streams is what was told last.
    told: bool,
    /// When it got its first stream.
    since: Timestamp,
    /// Its place among what is to be told, if it is.
    due: Option<Due>,
}

/// When something is to be told; the number keeps the order of what happens at once.
type Due = (Instant, u64);

/// Something to be told.
#[derive(Debug)]
struct Pending {
    subject: Subject,
    at: Timestamp,
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    instant: Instant,
    timestamp: Timestamp,
}

impl Now {
    pub(super) fn read() -> Self {
        Self {
            instant: Instant::now(),
            timestamp: Timestamp::now(),
        }
    }
}

#[derive(Debug, Default)]
struct Metrics {
    pending: Gauge,
    resets: Counter,
}

/// The presence of all streams.
#[derive(Debug)]
pub(super) struct Presence {
    leave_after: Duration,
    subjects: HashMap<Subject, State>,
    /// What is to be told, in its order; at most one entry for a subject.
    due: BTreeMap<Due, Pending>,
    /// How many of the subjects have no stream.
    gone: usize,
    most_gone: usize,
    /// The number of the next entry of `due`.
    next: u64,
    /// A reset that is to be told before all else.
    reset: Option<Timestamp>,
    /// Set by the drain: what happens from then on is not noted.
    over: bool,
    wake: Arc<Notify>,
    metrics: Metrics,
}

impl Presence {
    /// Nobody is there, and that is the first thing to be told.
    fn new(leave_after: Duration, most_gone: usize, metrics: Metrics) -> Self {
        Self {
            leave_after,
            subjects: HashMap::new(),
            due: BTreeMap::new(),
            gone: 0,
            most_gone,
            next: 0,
            reset: Some(Timestamp::now()),
            over: false,
            wake: Arc::default(),
            metrics,
        }
    }

    /// From now on nothing is noted: the end of the gateway is not the leaving of its users.
    pub(super) const fn end(&mut self) {
        self.over = true;
    }

    /// A stream has come on `channels`.
    pub(super) fn join(&mut self, channels: &[ChannelName], user: Option<&UserId>, now: Now) {
        for channel in channels.iter().filter(|channel| channel.is_named()) {
            for subject in subjects(channel, user) {
                self.enter(subject, now);
            }
        }
        self.changed();
    }

    /// A stream has left `channels`, on which it came with the same user.
    pub(super) fn leave<'a>(
        &mut self,
        channels: impl Iterator<Item = &'a ChannelName>,
        user: Option<&UserId>,
        now: Now,
    ) {
        for channel in channels.filter(|channel| channel.is_named()) {
            // Those on a channel leave it before it is empty.
            for subject in subjects(channel, user).rev() {
                self.exit(&subject, now);
            }
        }
        if self.gone > self.most_gone {
            self.tell_anew(now);
        }
        self.changed();
    }

    fn enter(&mut self, subject: Subject, now: Now) {
        if self.over {
            return;
        }
        if let Some(state) = self.subjects.get_mut(&subject) {
            state.streams += 1;
            // That it was gone is not told any more.
            if state.streams == 1 {
                self.gone -= 1;
                state.due.take().and_then(|due| self.due.remove(&due));
            }
            return;
        }
        let due = (now.instant, self.next);
        let state = State {
            streams: 1,
            told: false,
            since: now.timestamp,
            due: Some(due),
        };
        self.subjects.insert(subject.clone(), state);
        self.plan(due, subject, now.timestamp);
    }

    fn exit(&mut self, subject: &Subject, now: Now) {
        if self.over {
            return;
        }
        let Some(state) = self.subjects.get_mut(subject) else {
            return;
        };
        state.streams -= 1;
        if state.streams > 0 {
            return;
        }
        if state.told {
            let due = (now.instant + self.leave_after, self.next);
            state.due = Some(due);
            self.gone += 1;
            self.plan(due, subject.clone(), now.timestamp);
        } else if let Some(State { due: Some(due), .. }) = self.subjects.remove(subject) {
            self.due.remove(&due);
        }
    }

    fn plan(&mut self, due: Due, subject: Subject, at: Timestamp) {
        self.next += 1;
        self.due.insert(due, Pending { subject, at });
    }

    /// Too many are gone: forgets them, and has everybody who is there told again after a reset.
    fn tell_anew(&mut self, now: Now) {
        self.metrics.resets.inc();
        self.reset = Some(now.timestamp);
        self.due.clear();
        self.subjects.retain(|_, state| state.streams > 0);
        self.gone = 0;
        let mut subjects: Vec<_> = self.subjects.iter_mut().collect();
        // A channel is in use before anybody is said to be on it.
        subjects.sort_unstable_by_key(|(subject, state)| (subject.user.is_some(), state.since));
        for (subject, state) in subjects {
            let due = (now.instant, self.next);
            self.next += 1;
            (state.told, state.due) = (false, Some(due));
            let (subject, at) = (subject.clone(), state.since);
            self.due.insert(due, Pending { subject, at });
        }
    }

    fn changed(&self) {
        self.count();
        self.wake.notify_one();
    }

    fn count(&self) {
        let pending = i64::try_from(self.due.len()).unwrap_or(i64::MAX);
        self.metrics.pending.set(pending);
    }

    /// When the next change is to be told; one that is past, if it is now.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let reset = self.reset.map(|_| now);
        reset.or_else(|| self.due.first_key_value().map(|((at, _), _)| *at))
    }

    /// What is to be told by now, at most so many, in its order. It counts as told.
    fn take(&mut self, most: usize, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(self.reset.take().map(|at| Change {
            what: What::Reset,
            at,
        }));
        while changes.len() < most
            && let Some(first) = self.due.first_entry()
            && first.key().0 <= now
        {
            let Pending { subject, at } = first.remove();
            let what = self.tell(subject);
            changes.extend(what.map(|what| Change { what, at }));
        }
        self.count();
        changes
    }

    fn tell(&mut self, subject: Subject) -> Option<What> {
        let state = self.subjects.get_mut(&subject)?;
        let here = state.streams > 0;
        if here {
            (state.told, state.due) = (true, None);
        } else {
            self.gone -= 1;
            self.subjects.remove(&subject);
        }
        let Subject { channel, user } = subject;
        Some(match (user, here) {
            (None, true) => What::InUse(channel),
            (None, false) => What::Empty(channel),
            (Some(user), true) => What::Joined(channel, user),
            (Some(user), false) => What::Left(channel, user),
        })
    }
}

/// What a stream on a channel counts for: the channel, then its user there.
fn subjects(
    channel: &ChannelName,
    user: Option<&UserId>,
) -> impl DoubleEndedIterator<Item = Subject> {
    let of = |user| Subject {
        channel: channel.clone(),
        user,
    };
    let user = user.cloned().map(|user| of(Some(user)));
    std::iter::once(of(None)).chain(user)
}

/// Takes the changes of presence. There is one.
#[derive(Debug)]
pub struct Changes {
    hub: Hub,
    wake: Arc<Notify>,
}

impl Hub {
    /// From now on notes who is on which channel, to be told; that somebody left only after `leave_after`. Called before
    /// there are streams, and once.
    pub fn watch(&self, leave_after: Duration, registry: &Registry) -> Changes {
        let metrics = Metrics {
            pending: registry.gauge(
                "notify_pending",
                "Changes of presence to be told, those included that wait for `leave_after`",
            ),
            resets: registry.counter(
                "notify_resets",
                "Times everybody was told anew, because too many had left untold",
            ),
        };
        let presence = Presence::new(leave_after, MOST_GONE, metrics);
        let wake = Arc::clone(&presence.wake);
        lock(&self.0.table).presence = Some(presence);
        Changes {
            hub: self.clone(),
            wake,
        }
    }
}

impl Changes {
    /// Waits until there is something to be told now.
    pub async fn due(&self) {
        loop {
            let now = Instant::now();
            match self.with(|presence| presence.next_due(now)).flatten() {
                Some(at) if at <= now => return,
                // Woken or not, it looks again.
                Some(at) => drop(timeout_at(at, self.wake.notified()).await),
                None => self.wake.notified().await,
            }
        }
    }

    /// What is to be told now, at most so many changes, in their order. They count as told.
    pub fn take(&self, most: usize) -> Vec<Change> {
        let taken = self.with(|presence| presence.take(most, Instant::now()));
        taken.unwrap_or_default()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Presence) -> T) -> Option<T> {
        lock(&self.hub.0.table).presence.as_mut().map(look)
    }
}

#[cfg(test)]
mod tests;
