//! The log's structure, unsynchronised and without a clock of its own: `Log` locks it and tells it the time.
//!
//! Events stand once in a tree ordered by number; each channel holds shared references to its own. This file puts events
//! in; `retention` takes them out, `reading` looks at them. Invariant: an event is in a tree exactly as long as some
//! channel refers to it (`holders`), and `bytes` is the sum of what the trees and the table of channels cost.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::time::Instant;

use super::channel::{Channel, Entry};
use super::doubts::Doubts;
use super::{AppendError, Settings};
use crate::base::keys::Keys;
use crate::base::named::Named;
use crate::domain::{ChannelName, ChannelPattern, Event, Frame, Keep, Position};

/// What one event costs beside its frame: tree node, entry, reference counts. An estimate on the safe side.
const EVENT_COST: usize = 256;
/// What it costs in each of its channels: a name, a place in the ring.
const PLACE_COST: usize = 48;
/// What one channel costs beside its name.
const CHANNEL_COST: usize = 288;
/// How many buckets keep what forgotten channels have dropped.
const BUCKETS: usize = 4096;
/// The most names of one channel whose newest event is kept, if history keeps as many events at all.
const MOST_STATES: usize = 1024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) head: Position,
    /// Every event some channel still holds, by number, but those in `standing`.
    pub(super) events: BTreeMap<u64, Stored>,
    /// Events that outlived the age of history: states and recordings.
    pub(super) standing: BTreeMap<u64, Stored>,
    /// The log does not forget a channel that is being read: a reader finds it by its key, however often it reads.
    pub(super) channels: Named<ChannelName, Channel>,
    /// Channels that may be forgotten, the longest idle first; each at most once.
    pub(super) idle: VecDeque<(Instant, ChannelName)>,
    pub(super) bytes: usize,
    /// Channels with something for open streams only, the longest waiting first; each at most once.
    pub(super) trailing: VecDeque<(Instant, ChannelName)>,
    /// The newest event that some channel can no longer be resumed from.
    pub(super) dropped: Position,
    /// The newest event that some channel no longer holds at all.
    pub(super) freed: Position,
    pub(super) doubts: Doubts,
    hasher: RandomState,
    pub(super) forgotten: Box<[Position]>,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: Arc<Entry>,
    pub(super) channels: Arc<[ChannelName]>,
    /// In how many places `channels` still hold it.
    pub(super) holders: usize,
    /// What it was counted as in `State::bytes`.
    pub(super) cost: usize,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            head: Position::START,
            events: BTreeMap::new(),
            standing: BTreeMap::new(),
            channels: Named::default(),
            idle: VecDeque::new(),
            bytes: 0,
            trailing: VecDeque::new(),
            dropped: Position::START,
            freed: Position::START,
            doubts: Doubts::default(),
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
        self.events.len() + self.standing.len()
    }

    pub(super) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Takes all events or none; the place before the first of them, which follow one another.
    pub(super) fn append(
        &mut self,
        events: &[Event],
        now: Instant,
        encode: impl Fn(&Event, Position) -> Frame,
    ) -> Result<Position, AppendError> {
        let memory = self.settings.memory.as_len();
        let mut stored = Vec::with_capacity(events.len());
        let before = self.head;
        let mut position = before;
        for event in events {
            position = position.next();
            let frame = encode(event, position);
            if cost(event, &frame) > memory {
                return Err(AppendError::TooLarge);
            }
            stored.push((position, frame));
        }
        // From here on all of them are taken.
        for (event, (position, frame)) in events.iter().zip(stored) {
            self.head = position;
            self.store(event, frame, now);
        }
        self.trim(now);
        Ok(before)
    }

    /// Takes a number without an event, up to which it is in doubt what the channels of `patterns` have missed.
    pub(super) fn doubt(&mut self, patterns: &[ChannelPattern]) -> Position {
        self.head = self.head.next();
        self.doubts.note(patterns, self.head);
        self.head
    }

    fn store(&mut self, event: &Event, frame: Frame, now: Instant) {
        let position = self.head;
        let entry = Arc::new(Entry {
            position,
            at: now,
            frame,
            id: event.id.clone(),
            except: event.except,
            close: event.close,
        });
        let cost = cost(event, &entry.frame);
        self.bytes += cost;
        let keys: Keys = event.channels.iter().map(|name| self.key(name)).collect();
        // Each publisher brings names of its own; the table's are the ones to keep.
        let known = event.channels.iter().zip(keys.as_slice());
        let known = known.map(|(name, key)| self.channels.name(*key).unwrap_or(name).clone());
        let channels: Arc<[ChannelName]> = known.collect();
        // A state is held twice: by its name, and for those who are there.
        let places = if event.keep == Keep::Last { 2 } else { 1 };
        let stored = Stored {
            entry: Arc::clone(&entry),
            holders: channels.len() * places,
            channels,
            cost,
        };
        self.events.insert(position.seq(), stored);
        for key in keys.as_slice().iter().copied() {
            let window = self.settings.events;
            let Some(channel) = self.channels.at_mut(key) else {
                continue;
            };
            channel.set_closed(entry.close.then_some((position, now)));
            // A closing event is what ends the streams of those who come back for it.
            let keep = match event.keep {
                Keep::None if event.close => Keep::All,
                keep => keep,
            };
            match keep {
                Keep::All => {
                    let Some(dropped) = channel.keep(Arc::clone(&entry), window) else {
                        continue;
                    };
                    self.dropped = self.dropped.max(dropped);
                }
                Keep::None => channel.pass(Arc::clone(&entry)),
                Keep::Last => {
                    channel.pass(Arc::clone(&entry));
                    let superseded = channel.set_state(event.name.clone(), Arc::clone(&entry));
                    let too_many = channel.states().count() > window.min(MOST_STATES);
                    if let Some(old) = superseded {
                        self.let_go(old.position);
                    } else if too_many {
                        self.drop_state(key);
                    }
                }
            }
            self.bound_trailing(key, now);
            self.note_if_idle(key, now);
        }
    }

    /// One place less that holds the event.
    pub(super) fn let_go(&mut self, position: Position) {
        let seq = position.seq();
        for tree in [&mut self.events, &mut self.standing] {
            let Some(stored) = tree.get_mut(&seq) else {
                continue;
            };
            stored.holders -= 1;
            if stored.holders == 0 {
                self.bytes -= stored.cost;
                tree.remove(&seq);
            }
            return;
        }
    }

    /// The channel, made if the log does not know it.
    pub(super) fn channel(&mut self, name: &ChannelName) -> &mut Channel {
        let key = self.key(name);
        self.channels
            .at_mut(key)
            .expect("it is there, or was just made")
    }

    /// The key of the channel, made if the log does not know it.
    fn key(&mut self, name: &ChannelName) -> u32 {
        self.channels.key(name).unwrap_or_else(|| {
            self.bytes += channel_cost(name);
            let floor = self.floor(name);
            self.channels.insert(name.clone(), Channel::new(floor))
        })
    }

    pub(super) fn bucket(&self, name: &ChannelName) -> usize {
        usize::try_from(self.hasher.hash_one(name) % BUCKETS as u64).unwrap_or(0)
    }

    /// The newest event that any forgotten channel of this name's bucket has dropped.
    pub(super) fn floor(&self, name: &ChannelName) -> Position {
        self.forgotten
            .get(self.bucket(name))
            .copied()
            .unwrap_or(Position::START)
    }

    /// One more reader of `channels`; their keys.
    pub(super) fn hold(&mut self, channels: &[ChannelName]) -> Keys {
        let mut hold = |name: &ChannelName| {
            let key = self.key(name);
            if let Some(channel) = self.channels.at_mut(key) {
                channel.cursors += 1;
                if channel.cursors == 1 {
                    // Channels that are read are bounded by the number of streams, and must not push events out.
                    self.bytes -= channel_cost(name);
                }
            }
            key
        };
        channels.iter().map(&mut hold).collect()
    }

    /// One reader less.
    pub(super) fn release(&mut self, keys: &[u32], now: Instant) {
        for key in keys.iter().copied() {
            let cost = self.channels.name(key).map_or(0, channel_cost);
            let Some(channel) = self.channels.at_mut(key) else {
                continue;
            };
            channel.cursors -= 1;
            if channel.cursors == 0 {
                self.bytes += cost;
            }
            self.bound_trailing(key, now);
            self.note_if_idle(key, now);
        }
        self.trim(now);
    }
}

/// What an event counts as: its frame, its id, its place in the tree and in each channel.
fn cost(event: &Event, frame: &Frame) -> usize {
    let id = event.id.as_ref().map_or(0, |id| id.as_str().len());
    let name = match (&event.name, event.keep) {
        (Some(name), Keep::Last) => 2 * PLACE_COST + name.as_str().len(),
        (None, Keep::Last) => 2 * PLACE_COST,
        (_, Keep::All | Keep::None) => PLACE_COST,
    };
    frame.len() + id + EVENT_COST + event.channels.len() * name
}

pub(super) fn channel_cost(name: &ChannelName) -> usize {
    CHANNEL_COST + 2 * name.as_str().len()
}
