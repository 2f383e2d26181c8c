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
use super::{AppendError, Settings};
use crate::domain::{ChannelName, Event, Frame, Position};

/// What one event costs beside its frame: tree node, entry, reference counts. An estimate on the safe side.
const EVENT_COST: usize = 256;
/// What it costs in each of its channels: a name, a place in the ring.
const PLACE_COST: usize = 48;
/// What one channel costs beside its name.
const CHANNEL_COST: usize = 256;
/// How long a trail is kept for streams that keep up.
const TRAIL_TIME: Duration = Duration::from_secs(10);
/// How many buckets keep what forgotten channels have dropped.
const BUCKETS: usize = 4096;

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) head: Position,
    /// Every event some channel still holds, by number.
    pub(super) events: BTreeMap<u64, Stored>,
    pub(super) channels: HashMap<ChannelName, Channel>,
    /// Channels that may be forgotten, the longest idle first; each at most once.
    idle: VecDeque<(Instant, ChannelName)>,
    bytes: usize,
    /// Channels with a trail, the longest waiting first; each at most once.
    trailing: VecDeque<(Instant, ChannelName)>,
    /// The newest event that some channel can no longer be resumed from.
    pub(super) dropped: Position,
    /// The newest event that some channel no longer holds at all.
    pub(super) freed: Position,
    hasher: RandomState,
    forgotten: Box<[Position]>,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: Arc<Entry>,
    pub(super) channels: Arc<[ChannelName]>,
    /// How many of `channels` still hold it.
    holders: usize,
    /// What it was counted as in `State::bytes`.
    cost: usize,
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
        let mut stored = Vec::with_capacity(events.len());
        let mut position = self.head;
        for event in events {
            position = position.next();
            let frame = encode(event, position);
            if cost(event, &frame) > memory {
                return Err(AppendError::TooLarge);
            }
            stored.push((position, frame));
        }
        // From here on all of them are taken.
        let mut places = Vec::with_capacity(events.len());
        for (event, (position, frame)) in events.iter().zip(stored) {
            self.head = position;
            self.store(event, frame, now);
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
        let cost = cost(event, &entry.frame);
        self.bytes += cost;
        // Each publisher brings names of its own; the table's are the ones to keep.
        let channels: Arc<[ChannelName]> =
            event.channels.iter().map(|name| self.known(name)).collect();
        let stored = Stored {
            entry: Arc::clone(&entry),
            holders: channels.len(),
            channels: Arc::clone(&channels),
            cost,
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
            } else {
                self.note_if_idle(&name, now);
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

    /// The name as the table has it.
    fn known(&mut self, name: &ChannelName) -> ChannelName {
        self.channel(name);
        self.channels
            .get_key_value(name)
            .map_or_else(|| name.clone(), |(known, _)| known.clone())
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
                self.bytes -= stored.cost;
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

    /// A channel that became idle is forgotten at once if it knows no more than its bucket (so that names nobody ever
    /// published to cost nothing), else after a while: a quiet channel whose client comes back in a moment must not report
    /// the gaps of others.
    fn note_if_idle(&mut self, name: &ChannelName, now: Instant) {
        let floor = self.floor(name);
        let Some(channel) = self
            .channels
            .get_mut(name)
            .filter(|channel| channel.is_idle())
        else {
            return;
        };
        if channel.dropped() == floor && channel.closed.is_none() && !channel.listed_idle {
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
    pub(super) fn floor(&self, name: &ChannelName) -> Position {
        self.forgotten
            .get(self.bucket(name))
            .copied()
            .unwrap_or(Position::START)
    }

    /// One more reader of `channels`.
    pub(super) fn hold(&mut self, channels: &[ChannelName]) {
        for name in channels {
            let channel = self.channel(name);
            channel.cursors += 1;
            if channel.cursors == 1 {
                // Channels that are read are bounded by the number of streams, and must not push events out.
                self.bytes -= channel_cost(name);
            }
        }
    }

    /// One reader less.
    pub(super) fn release(&mut self, channels: &[ChannelName], now: Instant) {
        for name in channels {
            let Some(channel) = self.channels.get_mut(name) else {
                continue;
            };
            channel.cursors -= 1;
            if channel.cursors == 0 {
                self.bytes += channel_cost(name);
            }
            self.bound_trail(name, now);
            self.note_if_idle(name, now);
        }
        self.trim(now);
    }
}

/// What an event counts as: its frame, its id, its place in the tree and in each channel.
fn cost(event: &Event, frame: &Frame) -> usize {
    let id = event.id.as_ref().map_or(0, |id| id.as_str().len());
    frame.len() + id + EVENT_COST + event.channels.len() * PLACE_COST
}

fn channel_cost(name: &ChannelName) -> usize {
    CHANNEL_COST + 2 * name.as_str().len()
}
