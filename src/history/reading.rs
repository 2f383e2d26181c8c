//! What readers ask of the log's structure: the next events of some channels, states, gaps, ends, ids, history.
//!
//! The third part of `State`. Nothing is changed but what has run out by `now`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::{Channel, Entry};
use super::state::State;
use super::{Depth, Found, Kept, Page, Progress, Reach, Told};
use crate::domain::{ChannelName, EventId, Frame, Position, PublisherId, StreamId};

/// The time over which a channel's rate is measured.
const RATE_TIME: Duration = Duration::from_secs(60);

/// Frames of so many bytes are the most of one read, but for the last of them: they stay in memory for as long as their
/// reader's client takes to read them, whatever the log drops meanwhile.
const MOST_BYTES: usize = 64 << 10;

/// A reader's place: after `position`, of a stream that began when the log ended at `opened` and may lag so many bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) position: Position,
    pub(super) opened: Position,
    pub(super) lag: usize,
}

/// What a read came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) progress: Progress,
    /// The place after it.
    pub(super) position: Position,
    /// Whether every other stream would be given the same.
    pub(super) for_all: bool,
}

impl Channel {
    /// Whether something that a reader at `at` is owed is gone for everybody.
    fn has_lost_for(&self, at: At) -> bool {
        // States are owed only from before the reader began.
        let replays = at.position < at.opened;
        self.freed() > at.position
            || self.faded() > at.position.max(at.opened)
            || (replays && self.stateless() > at.position)
            || self.lags_too_far(at)
    }

    /// Whether a reader at `at` has more before it of what is there for open streams only than it may have.
    fn lags_too_far(&self, at: At) -> bool {
        // Almost nobody: a channel with more than that is rare.
        if self.trailing().1 <= at.lag {
            return false;
        }
        let passing = self.passing_after(at.position.max(at.opened));
        let mut unread = self.trail_after(at.position).chain(passing);
        // Counted no further than that: the log is locked, and there may be many more.
        let mut left = at.lag;
        unread.any(|entry| match left.checked_sub(entry.frame.len()) {
            Some(less) => {
                left = less;
                false
            }
            None => true,
        })
    }

    /// Whether a reader of `reach` that comes back to `position` has missed something the log still has.
    fn is_beyond(&self, reach: &Reach, position: Position, now: Instant) -> bool {
        let mut after = self.kept_after(position);
        let is_old = |entry: &Arc<Entry>| now.saturating_duration_since(entry.at) >= reach.age;
        !self.whole && (after.len() > reach.events || after.next().is_some_and(is_old))
    }

    /// What a reader at `at` is given: what was kept; from before it began, states; from after, also what only passes.
    fn owed(&self, at: At) -> [Option<&Arc<Entry>>; 3] {
        let replays = at.position < at.opened;
        let state = replays.then(|| self.state_after(at.position)).flatten();
        [
            self.kept_after(at.position).next(),
            self.passing_after(at.position.max(at.opened)).next(),
            state.filter(|entry| entry.position <= at.opened),
        ]
    }
}

impl State {
    /// Reads up to `most` events of the channels under `keys` into `out`, fewer if they are large.
    pub(super) fn read(
        &mut self,
        keys: &[u32],
        from: At,
        stream: StreamId,
        most: usize,
        now: Instant,
        out: &mut VecDeque<Frame>,
    ) -> Read {
        self.trim(now);
        let known = || keys.iter().filter_map(|key| self.channels.at(*key));
        let mut read = Read {
            progress: Progress::More,
            position: from.position,
            for_all: true,
        };
        if known().any(|channel| channel.has_lost_for(from)) {
            read.progress = Progress::Gap;
            return read;
        }
        let names = keys.iter().filter_map(|key| self.channels.name(*key));
        let doubt = self.doubts.after(names, from.position);
        let (mut at, mut bytes) = (from, 0);
        for _ in 0..most {
            // An event of several channels is one event: it is the least of each of them, and sent once.
            let next = known().flat_map(|channel| channel.owed(at)).flatten();
            let next = next.min_by_key(|entry| entry.position);
            if let Some(doubt) = doubt
                && next.is_none_or(|entry| entry.position > doubt)
            {
                read.progress = Progress::Doubt;
                read.position = doubt;
                read.for_all = false;
                return read;
            }
            let Some(entry) = next else {
                read.progress = Progress::UpToDate;
                read.position = self.head;
                return read;
            };
            at.position = entry.position;
            read.position = entry.position;
            read.for_all &= entry.except.is_none();
            if entry.except != Some(stream) && !entry.frame.is_empty() {
                out.push_back(entry.frame.clone());
                bytes += entry.frame.len();
            }
            if entry.close {
                read.progress = Progress::Closed;
                break;
            }
            if bytes >= MOST_BYTES {
                break;
            }
        }
        read
    }

    /// The states of `channels` up to `position` that are on none of `heard`, in the order of the log, each once.
    pub(super) fn states(
        &mut self,
        channels: &[ChannelName],
        heard: &[ChannelName],
        position: Position,
        stream: StreamId,
        now: Instant,
    ) -> Vec<Frame> {
        self.trim(now);
        let known = channels.iter().filter_map(|name| self.channels.get(name));
        let mut states: Vec<_> = known.flat_map(Channel::states).collect();
        let is_heard = |position: Position| {
            let seq = position.seq();
            let stored = self.events.get(&seq).or_else(|| self.standing.get(&seq));
            stored.is_some_and(|stored| stored.channels.iter().any(|name| heard.contains(name)))
        };
        states.retain(|entry| {
            entry.position <= position
                && entry.except != Some(stream)
                && (heard.is_empty() || !is_heard(entry.position))
        });
        states.sort_unstable_by_key(|entry| entry.position);
        states.dedup_by_key(|entry| entry.position);
        let frames = states.into_iter().map(|entry| entry.frame.clone());
        frames.collect()
    }

    /// Whether the event at `position` is on the channel, and not dropped.
    pub(super) fn holds(&self, name: &ChannelName, position: Position) -> bool {
        let channel = self.channels.get(name);
        let before = position.seq().checked_sub(1).map(Position::after);
        let newest = channel
            .zip(before)
            .and_then(|(channel, before)| channel.window_after(before).next());
        newest.is_some_and(|entry| entry.position == position)
    }

    /// Up to `most` events of one channel after `position` that can be resumed from; `None` if events in between are
    /// dropped.
    pub(super) fn page(
        &mut self,
        name: &ChannelName,
        after: Option<Position>,
        most: usize,
        now: Instant,
    ) -> Option<Page<'_>> {
        self.trim(now);
        let in_doubt = |after| self.doubts.after(std::iter::once(name), after).is_some();
        if after.is_some_and(in_doubt) {
            return None;
        }
        let floor = self.floor(name);
        let Some(channel) = self.channels.get(name) else {
            let whole = after.is_none_or(|after| floor <= after);
            return whole.then(Page::default);
        };
        if after.is_some_and(|after| channel.dropped() > after) {
            return None;
        }
        let after = after.unwrap_or(Position::START);
        let states = channel.states().filter(|entry| entry.position > after);
        let mut entries: Vec<_> = channel.window_after(after).chain(states).collect();
        entries.sort_unstable_by_key(|entry| entry.position);
        let more = entries.len() > most;
        entries.truncate(most);
        Some(Page { entries, more })
    }

    /// How many events of `channels` come after `position`.
    pub(super) fn count_after(&self, channels: &[ChannelName], position: Position) -> usize {
        let known = channels.iter().filter_map(|name| self.channels.get(name));
        let after = known.flat_map(|channel| {
            let passing = channel.passing_after(position);
            channel.kept_after(position).chain(passing)
        });
        match channels {
            [_] => after.count(),
            _ => after
                .map(|entry| entry.position)
                .collect::<BTreeSet<_>>()
                .len(),
        }
    }

    /// Whether an event of any of `channels` after `position` is not within `reach`, or may never have come.
    pub(super) fn has_gap(
        &mut self,
        channels: &[ChannelName],
        position: Position,
        reach: &Reach,
        now: Instant,
    ) -> bool {
        self.trim(now);
        let lacks = |name| match self.channels.get(name) {
            None => self.floor(name) > position,
            Some(channel) => {
                channel.dropped() > position || channel.is_beyond(reach, position, now)
            }
        };
        channels.iter().any(lacks) || self.doubts.after(channels.iter(), position).is_some()
    }

    /// Whether every event after `position` is within `reach`, whatever its channel; no, if that is not easily told.
    pub(super) fn is_whole_since(
        &mut self,
        position: Position,
        reach: &Reach,
        now: Instant,
    ) -> bool {
        self.trim(now);
        if self.dropped > position || self.doubts.any_after(position) {
            return false;
        }
        let mut after = self.events.range(position.next().seq()..);
        let oldest = after.clone().next().map(|(_, stored)| stored.entry.at);
        let old = reach.age < self.settings.age
            && oldest.is_some_and(|at| now.saturating_duration_since(at) >= reach.age);
        // Of all channels together, which is more than any of them has.
        let many = reach.events < self.settings.events && after.nth(reach.events).is_some();
        !old && !many
    }

    pub(super) fn read_all(&self, from: Position, most: usize) -> Option<(Vec<Told>, Position)> {
        if self.freed > from {
            return None;
        }
        let after = self.events.range(from.next().seq()..).take(most);
        let events: Vec<_> = after
            .map(|(_, s)| (Arc::clone(&s.channels), s.entry.frame.clone()))
            .collect();
        let last = self.events.range(from.next().seq()..).take(most).last();
        let place = if events.len() < most {
            self.head
        } else {
            last.map_or(self.head, |(_, s)| s.entry.position)
        };
        Some((events, place))
    }

    pub(super) fn find(
        &mut self,
        channels: &[ChannelName],
        id: &PublisherId,
        now: Instant,
    ) -> Found {
        self.trim(now);
        let mut found = Found::Nowhere;
        for channel in channels.iter().filter_map(|name| self.channels.get(name)) {
            found = match (found, channel.find(id)) {
                (so_far, None) => so_far,
                (Found::Nowhere, Some(position)) => Found::At(position),
                (Found::At(before), Some(position)) if before == position => Found::At(position),
                (Found::At(_) | Found::Ambiguous, Some(_)) => return Found::Ambiguous,
            };
        }
        found
    }

    pub(super) fn newest(
        &mut self,
        name: &ChannelName,
        now: Instant,
    ) -> Option<(Position, Option<PublisherId>)> {
        self.trim(now);
        let newest = self.channels.get(name)?.newest()?;
        Some((newest.position, newest.id.clone()))
    }

    /// Whether any of `channels` was closed after `position`.
    pub(super) fn was_closed_since(&self, channels: &[ChannelName], position: Position) -> bool {
        let end = |name| self.channels.get(name).and_then(Channel::closed);
        channels
            .iter()
            .filter_map(end)
            .any(|(end, _)| end > position)
    }

    pub(super) fn has_seen_the_end(
        &self,
        channels: &[ChannelName],
        position: Position,
        closed_for: Duration,
        now: Instant,
    ) -> bool {
        let seen = |name| {
            let closed = self.channels.get(name).and_then(Channel::closed);
            closed.is_some_and(|(end, at)| {
                end <= position && now.saturating_duration_since(at) < closed_for
            })
        };
        !channels.is_empty() && channels.iter().all(seen)
    }

    pub(super) fn depths(&self, now: Instant, id: impl Fn(Position) -> EventId) -> Vec<Depth> {
        let depth = |(name, channel): (&ChannelName, &Channel)| Depth {
            channel: name.clone(),
            events: channel.window(),
            last_id: channel.newest().map(|entry| wire_id(entry, &id)),
            per_second: recent(channel, now),
        };
        let there =
            |(name, channel): &(&ChannelName, &Channel)| name.is_named() && !channel.is_idle();
        self.channels.iter().filter(there).map(depth).collect()
    }
}

/// The id of an event as it is on the wire.
pub(super) fn wire_id(entry: &Entry, own: impl Fn(Position) -> EventId) -> String {
    match &entry.id {
        Some(id) => id.as_str().to_owned(),
        None => own(entry.position).to_string(),
    }
}

/// Events a second over the last minute, as far as they are still there.
fn recent(channel: &Channel, now: Instant) -> f64 {
    let is_recent = |entry: &&Arc<Entry>| now.saturating_duration_since(entry.at) < RATE_TIME;
    let kept = channel
        .kept_after(Position::START)
        .rev()
        .take_while(is_recent);
    let passing = channel.passing_after(Position::START);
    let count = kept.chain(passing.rev().take_while(is_recent)).count();
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / RATE_TIME.as_secs_f64()
}

impl<'a> Page<'a> {
    /// Each event of the page with what is told of it.
    pub(super) fn kept(
        &self,
        id: impl Fn(Position) -> EventId,
        at: impl Fn(Instant) -> std::time::SystemTime,
    ) -> Vec<Kept> {
        let kept = |entry: &&'a Arc<Entry>| Kept {
            id: wire_id(entry, &id),
            place: id(entry.position),
            frame: entry.frame.clone(),
            at: at(entry.at),
        };
        self.entries.iter().map(kept).collect()
    }
}
