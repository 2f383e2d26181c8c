//! The log's structure, unsynchronised and without a clock of its own: `Log` locks it and tells it the time.
//!
//! Events stand once in a tree ordered by number; each channel keeps a ring of shared references to its own. Events
//! leave by their channel's count, by age, or, oldest first, when memory runs out; what the count pushes out stays for a
//! moment for the streams that are open, at most `lag` bytes for each channel. A channel without events and readers is kept for a while, because it knows what it has dropped; forgotten channels leave that knowledge in a
//! fixed number of buckets, so that a name that comes back may report a gap that was none, but never hides one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::{Channel, Entry};
use super::{AppendError, Depth, Found, Progress, Settings, Told};
use crate::domain::{ChannelName, Event, EventId, Frame, Position, PublisherId, StreamId};

/// What one event costs beside its frame: tree node, entry, reference counts. An estimate on the safe side.
const EVENT_COST: usize = 256;
/// What one channel costs beside its name.
const CHANNEL_COST: usize = 256;
/// How long a trail is kept for streams that keep up.
const TRAIL_TIME: Duration = Duration::from_secs(10);
/// How many buckets keep what forgotten channels have dropped.
const BUCKETS: usize = 4096;

#[derive(Debug)]
pub(super) struct State {
    settings: Settings,
    head: Position,
    /// Every event some channel still holds, by number.
    events: BTreeMap<u64, Stored>,
    channels: HashMap<ChannelName, Channel>,
    /// Channels that may be forgotten, the longest idle first; each at most once.
    idle: VecDeque<(Instant, ChannelName)>,
    bytes: usize,
    /// Channels with a trail, the longest waiting first; each at most once.
    trailing: VecDeque<(Instant, ChannelName)>,
    /// The newest event that some channel can no longer be resumed from.
    dropped: Position,
    /// The newest event that some channel no longer holds at all.
    freed: Position,
    hasher: RandomState,
    forgotten: Box<[Position]>,
}

#[derive(Debug)]
struct Stored {
    entry: Arc<Entry>,
    channels: Arc<[ChannelName]>,
    /// How many of `channels` still hold it.
    holders: usize,
    at: Instant,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            head: Position::START,
            events: BTreeMap::new(),
            channels: HashMap::new(),
            idle: VecDeque::new(),
            bytes: 0,
            trailing: VecDeque::new(),
            dropped: Position::START,
            freed: Position::START,
            hasher: RandomState::new(),
            forgotten: vec![Position::START; BUCKETS].into_boxed_slice(),
        }
    }

    pub(super) const fn head(&self) -> Position {
        self.head
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }

    pub(super) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn is_whole_since(&mut self, position: Position, now: Instant) -> bool {
        self.trim(now);
        self.dropped <= position
    }

    pub(super) fn append(
        &mut self,
        events: &[Event],
        now: Instant,
        encode: impl Fn(&Event, Position) -> Frame,
    ) -> Result<Vec<Position>, AppendError> {
        let memory = self.settings.memory.as_len();
        // An encoded event is longer than its data, by a few bytes for each line; the trim below sees the exact size.
        if events.iter().any(|event| {
            event
                .data
                .as_ref()
                .is_some_and(|data| data.len() + EVENT_COST > memory)
        }) {
            return Err(AppendError::TooLarge);
        }
        let mut places = Vec::with_capacity(events.len());
        for event in events {
            let position = self.head.next();
            self.head = position;
            self.store(event, encode(event, position), now);
            places.push(position);
        }
        self.trim(now);
        Ok(places)
    }

    fn store(&mut self, event: &Event, frame: Frame, now: Instant) {
        let position = self.head;
        let entry = Arc::new(Entry {
            position,
            frame,
            id: event.id.clone(),
            except: event.except,
            close: event.close,
        });
        self.bytes += entry.frame.len() + EVENT_COST;
        let channels: Arc<[ChannelName]> = event.channels.as_slice().into();
        let stored = Stored {
            entry: Arc::clone(&entry),
            holders: channels.len(),
            channels: Arc::clone(&channels),
            at: now,
        };
        self.events.insert(position.seq(), stored);
        for name in channels.iter() {
            let window = self.settings.events;
            let channel = self.channel(name);
            channel.closed = entry.close.then_some((position, now));
            if let Some(dropped) = channel.push(Arc::clone(&entry), window) {
                self.dropped = self.dropped.max(dropped);
                self.bound_trail(name, now);
            }
        }
    }

    /// Keeps what trails behind a window for the streams that are open, as far as the bound allows.
    fn bound_trail(&mut self, name: &ChannelName, now: Instant) {
        let lag = self.settings.lag.as_len();
        let over = |channel: &Channel| {
            channel.trail().0 > 0 && (channel.cursors == 0 || channel.trail().1 > lag)
        };
        while self.channels.get(name).is_some_and(over) {
            self.drop_oldest(name);
        }
        if let Some(channel) = self.channels.get_mut(name)
            && channel.trail().0 > 0
            && !channel.listed_trailing
        {
            channel.listed_trailing = true;
            self.trailing.push_back((now, name.clone()));
        }
    }

    /// Lets go of the trails that every stream which keeps up has read by now.
    fn cut_trails(&mut self, now: Instant) {
        while let Some((since, _)) = self.trailing.front() {
            if now.saturating_duration_since(*since) < TRAIL_TIME {
                return;
            }
            let Some((_, name)) = self.trailing.pop_front() else {
                return;
            };
            while self.trail_is_old(&name, now) {
                self.drop_oldest(&name);
            }
            let Some(channel) = self.channels.get_mut(&name) else {
                continue;
            };
            channel.listed_trailing = channel.trail().0 > 0;
            if channel.listed_trailing {
                self.trailing.push_back((now, name));
            }
        }
    }

    fn trail_is_old(&self, name: &ChannelName, now: Instant) -> bool {
        let channel = self
            .channels
            .get(name)
            .filter(|channel| channel.trail().0 > 0);
        let oldest = channel
            .and_then(Channel::oldest)
            .and_then(|entry| self.events.get(&entry.position.seq()));
        oldest.is_some_and(|stored| now.saturating_duration_since(stored.at) >= TRAIL_TIME)
    }

    /// The channel, made if the log does not know it.
    fn channel(&mut self, name: &ChannelName) -> &mut Channel {
        if !self.channels.contains_key(name) {
            self.bytes += channel_cost(name);
        }
        let floor = self.floor(name);
        self.channels
            .entry(name.clone())
            .or_insert_with(|| Channel::new(floor))
    }

    fn bucket(&self, name: &ChannelName) -> usize {
        usize::try_from(self.hasher.hash_one(name) % BUCKETS as u64).unwrap_or(0)
    }

    /// Drops the oldest event of one channel, for everybody.
    fn drop_oldest(&mut self, name: &ChannelName) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        let Some(entry) = channel.pop() else { return };
        self.freed = self.freed.max(channel.freed());
        self.dropped = self.dropped.max(channel.dropped());
        let seq = entry.position.seq();
        if let Some(stored) = self.events.get_mut(&seq) {
            stored.holders -= 1;
            if stored.holders == 0 {
                self.bytes -= stored.entry.frame.len() + EVENT_COST;
                self.events.remove(&seq);
            }
        }
    }

    /// Drops what is too old; then, while memory is short, forgets idle channels before it drops events.
    pub(super) fn trim(&mut self, now: Instant) {
        let age = self.settings.age;
        let memory = self.settings.memory.as_len();
        while self
            .events
            .first_key_value()
            .is_some_and(|(_, e)| now.saturating_duration_since(e.at) >= age)
        {
            self.drop_first(now);
        }
        self.cut_trails(now);
        // Until then neither a dropped event nor a closing one is of use to anybody who comes back.
        let remembered = age.max(self.settings.closed_for);
        while let Some((since, _)) = self.idle.front() {
            if self.bytes <= memory && now.saturating_duration_since(*since) < remembered {
                break;
            }
            if let Some((since, name)) = self.idle.pop_front() {
                self.forget_unless_used(name, since);
            }
        }
        while self.bytes > memory && !self.events.is_empty() {
            self.drop_first(now);
        }
    }

    /// Drops the oldest event of all.
    fn drop_first(&mut self, now: Instant) {
        let Some((_, oldest)) = self.events.first_key_value() else {
            return;
        };
        let position = oldest.entry.position;
        for name in Arc::clone(&oldest.channels).iter() {
            // It is also the oldest of each channel that still holds it.
            let holds = |channel: &Channel| {
                channel
                    .oldest()
                    .is_some_and(|entry| entry.position == position)
            };
            if self.channels.get(name).is_some_and(holds) {
                self.drop_oldest(name);
                self.note_if_idle(name, now);
            }
        }
    }

    /// A channel that became idle is forgotten at once if it has nothing to remember (so that names nobody ever
    /// published to cost nothing), else after a while.
    fn note_if_idle(&mut self, name: &ChannelName, now: Instant) {
        let floor = self.floor(name);
        let Some(channel) = self
            .channels
            .get_mut(name)
            .filter(|channel| channel.is_idle())
        else {
            return;
        };
        if channel.dropped() <= floor && channel.closed.is_none() && !channel.listed_idle {
            self.channels.remove(name);
            self.bytes -= channel_cost(name);
            return;
        }
        channel.idle_since = Some(now);
        if !channel.listed_idle {
            channel.listed_idle = true;
            self.idle.push_back((now, name.clone()));
        }
    }

    fn forget_unless_used(&mut self, name: ChannelName, since: Instant) {
        let bucket = self.bucket(&name);
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        match channel.idle_since {
            Some(again) if channel.is_idle() && again > since => self.idle.push_back((again, name)),
            Some(_) if channel.is_idle() => {
                let dropped = channel.dropped();
                self.channels.remove(&name);
                self.bytes -= channel_cost(&name);
                if let Some(floor) = self.forgotten.get_mut(bucket) {
                    *floor = dropped.max(*floor);
                }
            }
            _ => channel.listed_idle = false,
        }
    }

    /// The newest event that any forgotten channel of this name's bucket has dropped.
    fn floor(&self, name: &ChannelName) -> Position {
        self.forgotten
            .get(self.bucket(name))
            .copied()
            .unwrap_or(Position::START)
    }

    /// One more reader of `channels`.
    pub(super) fn hold(&mut self, channels: &[ChannelName]) {
        for name in channels {
            self.channel(name).cursors += 1;
        }
    }

    /// One reader less.
    pub(super) fn release(&mut self, channels: &[ChannelName], now: Instant) {
        for name in channels {
            if let Some(channel) = self.channels.get_mut(name) {
                channel.cursors -= 1;
            }
            self.bound_trail(name, now);
            self.note_if_idle(name, now);
        }
        self.trim(now);
    }

    pub(super) fn read(
        &mut self,
        channels: &[ChannelName],
        from: Position,
        stream: StreamId,
        most: usize,
        now: Instant,
        out: &mut VecDeque<Frame>,
    ) -> (Progress, Position) {
        self.trim(now);
        let mut rings = Vec::with_capacity(channels.len());
        for channel in channels.iter().filter_map(|name| self.channels.get(name)) {
            if channel.freed() > from {
                return (Progress::Gap, from);
            }
            rings.push(channel.after(from).peekable());
        }
        let mut position = from;
        for _ in 0..most {
            let Some(next) = rings
                .iter_mut()
                .filter_map(|ring| ring.peek().map(|e| e.position))
                .min()
            else {
                return (Progress::UpToDate, self.head);
            };
            position = next;
            // An event of several channels is one event: every ring moves past it, it is sent once.
            let mut found = None;
            for ring in &mut rings {
                found = ring.next_if(|entry| entry.position == next).or(found);
            }
            let Some(entry) = found else { continue };
            if entry.except != Some(stream) && !entry.frame.is_empty() {
                out.push_back(entry.frame.clone());
            }
            if entry.close {
                return (Progress::Closed, position);
            }
        }
        (Progress::More, position)
    }

    /// Whether an event of any of `channels` after `position` has been dropped.
    pub(super) fn has_gap(
        &mut self,
        channels: &[ChannelName],
        position: Position,
        now: Instant,
    ) -> bool {
        self.trim(now);
        let dropped = |name| {
            self.channels
                .get(name)
                .map_or_else(|| self.floor(name), Channel::dropped)
        };
        channels.iter().any(|name| dropped(name) > position)
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

    pub(super) fn has_seen_the_end(
        &self,
        channels: &[ChannelName],
        position: Position,
        now: Instant,
    ) -> bool {
        let seen = |name| {
            let closed = self
                .channels
                .get(name)
                .and_then(|channel: &Channel| channel.closed);
            closed.is_some_and(|(end, at)| {
                end <= position && now.saturating_duration_since(at) < self.settings.closed_for
            })
        };
        !channels.is_empty() && channels.iter().all(seen)
    }

    pub(super) fn depths(&self, id: impl Fn(Position) -> EventId) -> Vec<Depth> {
        let depth = |(name, channel): (&ChannelName, &Channel)| Depth {
            channel: name.clone(),
            events: channel.window(),
            last_id: channel.newest().map(|entry| match &entry.id {
                Some(own) => own.as_str().to_owned(),
                None => id(entry.position).to_string(),
            }),
        };
        let there = |(_, channel): &(&ChannelName, &Channel)| !channel.is_idle();
        self.channels.iter().filter(there).map(depth).collect()
    }
}

fn channel_cost(name: &ChannelName) -> usize {
    CHANNEL_COST + 2 * name.as_str().len()
}
