//! One channel's part of the log: what a client that comes back can be given, and, for a moment, what only those still
//! need who were there all the time.
//!
//! Of the events that are kept, the newest `events` are the *window*: they can be resumed from. What a burst pushes out of
//! the window trails behind it for the streams that are open, so that a listener which keeps up never misses an event
//! because history is short. Events of which nothing is kept only pass: they are there for the same moment. Of events of
//! which the last is kept, the newest of each name is a *state*, for whoever comes later; for open streams they pass.
//!
//! Invariants: each list is in the order of the log; `freed <= dropped`; all three places only grow.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{EventName, Frame, Position, PublisherId, StreamId};

/// An event as its channels hold it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) at: Instant,
    pub(super) frame: Frame,
    pub(super) id: Option<PublisherId>,
    pub(super) except: Option<StreamId>,
    pub(super) close: bool,
}

#[derive(Debug)]
pub(super) struct Channel {
    /// The trail, then the window.
    kept: VecDeque<Arc<Entry>>,
    /// What a channel has that was busy once, or is not of the common kind.
    aside: Option<Box<Aside>>,
    dropped: Position,
    freed: Position,
    /// When it last became idle.
    pub(super) idle_since: Option<Instant>,
    /// Readers; the channel is not forgotten while there are any.
    pub(super) cursors: u32,
    /// Whether its window is as long as it gets and outlives the age of history: a recording.
    pub(super) whole: bool,
    /// Whether the log has it on its list of idle channels.
    pub(super) listed_idle: bool,
}

#[derive(Debug)]
struct Aside {
    /// How many of the kept are the trail, and the bytes of their frames.
    trail: (usize, usize),
    passing: VecDeque<Arc<Entry>>,
    /// The bytes of their frames.
    passing_bytes: usize,
    states: VecDeque<(Option<EventName>, Arc<Entry>)>,
    faded: Position,
    stateless: Position,
    /// The closing event, if nothing was published after it, and when it was.
    closed: Option<(Position, Instant)>,
    /// Since when the log has it on its list of channels with something for open streams only.
    listed_trailing: Option<Instant>,
}

impl Default for Aside {
    fn default() -> Self {
        Self {
            trail: (0, 0),
            passing: VecDeque::new(),
            passing_bytes: 0,
            states: VecDeque::new(),
            faded: Position::START,
            stateless: Position::START,
            closed: None,
            listed_trailing: None,
        }
    }
}

impl Channel {
    /// An empty channel that may have dropped anything up to `floor`.
    pub(super) const fn new(floor: Position) -> Self {
        Self {
            kept: VecDeque::new(),
            aside: None,
            dropped: floor,
            freed: floor,
            idle_since: None,
            cursors: 0,
            whole: false,
            listed_idle: false,
        }
    }

    /// The newest event that nobody can resume from any more.
    pub(super) const fn dropped(&self) -> Position {
        self.dropped
    }

    /// The newest event that was kept in the window and is gone for everybody.
    pub(super) const fn freed(&self) -> Position {
        self.freed
    }

    /// The newest event that only passed and is gone.
    pub(super) fn faded(&self) -> Position {
        let aside = self.aside.as_deref();
        aside.map_or(Position::START, |aside| aside.faded)
    }

    /// The newest event that was a state and is none any more, though nothing took its place.
    pub(super) fn stateless(&self) -> Position {
        let aside = self.aside.as_deref();
        aside.map_or(Position::START, |aside| aside.stateless)
    }

    /// The closing event, if nothing was published after it, and when it was.
    pub(super) fn closed(&self) -> Option<(Position, Instant)> {
        self.aside.as_deref()?.closed
    }

    pub(super) fn set_closed(&mut self, closed: Option<(Position, Instant)>) {
        if closed.is_some() || self.aside.is_some() {
            self.aside_mut().closed = closed;
        }
    }

    /// Since when the log has it on its list of channels with something for open streams only.
    pub(super) fn listed_trailing(&self) -> Option<Instant> {
        self.aside.as_deref()?.listed_trailing
    }

    pub(super) fn list_trailing(&mut self, since: Option<Instant>) {
        self.aside_mut().listed_trailing = since;
    }

    fn aside_mut(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// How many of the kept are the trail.
    fn trail(&self) -> usize {
        self.aside.as_deref().map_or(0, |aside| aside.trail.0)
    }

    /// Whether it holds nothing, nobody reads it and nothing is to be done about it.
    pub(super) fn is_idle(&self) -> bool {
        let aside = |aside: &Aside| aside.passing.is_empty() && aside.states.is_empty();
        self.kept.is_empty()
            && self.aside.as_deref().is_none_or(aside)
            && self.cursors == 0
            && !self.whole
    }

    /// How many events can be resumed from.
    pub(super) fn window(&self) -> usize {
        self.kept.len() - self.trail() + self.states().count()
    }

    /// Whether something trails behind the window.
    pub(super) fn has_trail(&self) -> bool {
        self.trail() > 0
    }

    /// How many entries are there for open streams only, and their bytes.
    pub(super) fn trailing(&self) -> (usize, usize) {
        self.aside.as_deref().map_or((0, 0), |aside| {
            let (count, bytes) = aside.trail;
            (count + aside.passing.len(), bytes + aside.passing_bytes)
        })
    }

    /// The oldest entry that is there for open streams only.
    pub(super) fn oldest_trailing(&self) -> Option<&Arc<Entry>> {
        let trail = self.kept.front().filter(|_| self.has_trail());
        let passing = self.passing_front();
        match (trail, passing) {
            (Some(one), Some(other)) if other.position < one.position => Some(other),
            (Some(one), _) => Some(one),
            (None, other) => other,
        }
    }

    /// Adds the newest entry; what no longer fits into a window of `most` begins to trail, and its place is returned.
    pub(super) fn keep(&mut self, entry: Arc<Entry>, most: usize) -> Option<Position> {
        self.kept.push_back(entry);
        let mut dropped = None;
        // More than one only where the window has become smaller.
        while !self.whole && self.kept.len() - self.trail() > most {
            let oldest = self.kept.get(self.trail())?;
            let (bytes, position) = (oldest.frame.len(), oldest.position);
            let trail = &mut self.aside_mut().trail;
            *trail = (trail.0 + 1, trail.1 + bytes);
            self.dropped = self.dropped.max(position);
            dropped = Some(self.dropped);
        }
        dropped
    }

    /// Adds the newest entry for the streams that are open.
    pub(super) fn pass(&mut self, entry: Arc<Entry>) {
        let aside = self.aside_mut();
        aside.passing_bytes += entry.frame.len();
        aside.passing.push_back(entry);
    }

    /// Makes the newest entry the state of its name, and returns the one it takes the place of.
    pub(super) fn set_state(
        &mut self,
        name: Option<EventName>,
        entry: Arc<Entry>,
    ) -> Option<Arc<Entry>> {
        let states = &mut self.aside_mut().states;
        let before = states.iter().position(|(known, _)| *known == name);
        let before = before.and_then(|index| states.remove(index));
        states.push_back((name, entry));
        before.map(|(_, entry)| entry)
    }

    /// Takes the oldest of the kept out, for everybody.
    pub(super) fn drop_kept(&mut self) -> Option<Arc<Entry>> {
        let entry = self.kept.pop_front()?;
        if let Some(Aside { trail, .. }) = self.aside.as_deref_mut()
            && trail.0 > 0
        {
            *trail = (trail.0 - 1, trail.1 - entry.frame.len());
        }
        self.lose(entry.position);
        Some(entry)
    }

    /// Takes the oldest state out. Those who were there when it was published have it among what passes.
    pub(super) fn drop_state(&mut self) -> Option<Arc<Entry>> {
        let aside = self.aside.as_deref_mut()?;
        let (_, entry) = aside.states.pop_front()?;
        aside.stateless = aside.stateless.max(entry.position);
        self.dropped = self.dropped.max(entry.position);
        Some(entry)
    }

    /// Takes the oldest of the passing out.
    pub(super) fn drop_passing(&mut self) -> Option<Arc<Entry>> {
        let aside = self.aside.as_deref_mut()?;
        let entry = aside.passing.pop_front()?;
        aside.passing_bytes -= entry.frame.len();
        aside.faded = aside.faded.max(entry.position);
        Some(entry)
    }

    /// From now on everything up to `position` is gone for everybody.
    pub(super) fn lose(&mut self, position: Position) {
        self.freed = self.freed.max(position);
        self.dropped = self.dropped.max(self.freed);
    }

    pub(super) fn kept_front(&self) -> Option<&Arc<Entry>> {
        self.kept.front()
    }

    pub(super) fn passing_front(&self) -> Option<&Arc<Entry>> {
        self.aside.as_deref()?.passing.front()
    }

    pub(super) fn state_front(&self) -> Option<&Arc<Entry>> {
        Some(&self.aside.as_deref()?.states.front()?.1)
    }

    /// The states, in the order of the log.
    pub(super) fn states(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> + Clone {
        let states = self.aside.as_deref().map(|aside| aside.states.iter());
        states.into_iter().flatten().map(|(_, entry)| entry)
    }

    /// The first state after `position`.
    pub(super) fn state_after(&self, position: Position) -> Option<&Arc<Entry>> {
        let states = &self.aside.as_deref()?.states;
        let seen = states.partition_point(|(_, entry)| entry.position <= position);
        Some(&states.get(seen)?.1)
    }

    /// The kept entries after `position`, those of the trail included.
    pub(super) fn kept_after(&self, position: Position) -> Iter<'_, Arc<Entry>> {
        self.kept.range(first_after(&self.kept, position)..)
    }

    /// The kept entries after `position` that trail behind the window.
    pub(super) fn trail_after(&self, position: Position) -> Iter<'_, Arc<Entry>> {
        let first = first_after(&self.kept, position);
        self.kept.range(first.min(self.trail())..self.trail())
    }

    /// The kept entries after `position` that can be resumed from.
    pub(super) fn window_after(&self, position: Position) -> Iter<'_, Arc<Entry>> {
        let first = first_after(&self.kept, position);
        self.kept.range(first.max(self.trail())..)
    }

    /// The passing entries after `position`.
    pub(super) fn passing_after(&self, position: Position) -> Iter<'_, Arc<Entry>> {
        static NONE: VecDeque<Arc<Entry>> = VecDeque::new();
        let passing = self.aside.as_deref().map_or(&NONE, |aside| &aside.passing);
        passing.range(first_after(passing, position)..)
    }

    /// The newest entry that can be resumed from.
    pub(super) fn newest(&self) -> Option<&Arc<Entry>> {
        let kept = self.kept.back();
        let state = self.states().next_back();
        kept.into_iter()
            .chain(state)
            .max_by_key(|entry| entry.position)
    }

    /// The place where a publisher's id was used last.
    pub(super) fn find(&self, id: &PublisherId) -> Option<Position> {
        let is_it = |entry: &&Arc<Entry>| entry.id.as_ref() == Some(id);
        let found = [
            self.kept.iter().rev().find(is_it),
            self.passing_after(Position::START).rev().find(is_it),
            self.states().rev().find(is_it),
        ];
        found
            .into_iter()
            .flatten()
            .map(|entry| entry.position)
            .max()
    }
}

/// The index of the first entry after `position`. Searched from the end, where nearly every reader is.
fn first_after(entries: &VecDeque<Arc<Entry>>, position: Position) -> usize {
    let is_seen = |index: usize| {
        let entry = entries.get(index);
        entry.is_none_or(|entry| entry.position <= position)
    };
    // All before `low` are seen, none from `high` on.
    let (mut low, mut high) = (0, entries.len());
    let mut step = 1;
    while low < high {
        let probe = high.saturating_sub(step).max(low);
        if is_seen(probe) {
            low = probe + 1;
            break;
        }
        high = probe;
        step *= 2;
    }
    while low < high {
        let probe = usize::midpoint(low, high);
        if is_seen(probe) {
            low = probe + 1;
        } else {
            high = probe;
        }
    }
    low
}
