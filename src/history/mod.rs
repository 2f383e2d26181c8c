//! The log: one order over all channels, and what of it is still there.
//!
//! `publish` appends through the hub, each held stream reads through its own [`Cursor`]. Order is decided in exactly
//! one place, [`Log::append`]. Knows channels, positions and opaque frames; no HTTP, no event stream format.
//!
//! Invariants, tested in `model.rs` against a naive model:
//! - numbers grow by one per event over all channels, and a reader sees its channels' events in that order, each once;
//! - a reader whose place has been dropped is told so ([`Progress::Gap`]); nothing is ever skipped silently, but to those
//!   who were not there an event of which nothing is kept, and one that a newer state has taken the place of;
//! - events, age and memory are bounded, and so is the table of channels.

mod channel;
mod cursor;
mod doubts;
#[cfg(test)]
mod model;
mod reading;
mod retention;
mod settings;
mod state;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_kept;
#[cfg(test)]
mod tests_reach;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::base::metrics::Registry;
use crate::base::sync::lock;
use crate::domain::{
    ChannelName, ChannelPattern, Epoch, Event, EventId, Frame, Position, PublisherId, StreamId,
};

pub use cursor::{Cursor, Memo, Progress};
pub use settings::{Reach, Settings};
use state::State;

/// More than an event of one channel counts for beside its frame.
const BESIDE: usize = 4 << 10;

/// A log. Cheap to clone; all clones are the same log.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    /// One moment by both clocks, so that the time of an event is always told as the same.
    started: (Instant, SystemTime),
    /// The number of the newest event, known without the lock; set before anybody is told of the event.
    head: AtomicU64,
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    events: Gauge,
    bytes: Gauge,
    channels: Gauge,
}

/// The log took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The event alone is larger than the memory of all history.
    #[error("the event is larger than history_memory")]
    TooLarge,
}

/// Where a publisher's id was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In one place; used twice in one channel, the latest.
    At(Position),
    /// In different places of several channels: which one the client saw cannot be known.
    Ambiguous,
    /// Nowhere.
    Nowhere,
}

/// An event as the tap sees it: the channels it went to, and its frame.
pub type Told = (Arc<[ChannelName]>, Frame);

/// How much a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Events that can be read.
    pub events: usize,
    /// Memory, overhead included.
    pub bytes: usize,
    /// Channels it knows, also those of which it only remembers what was dropped.
    pub channels: usize,
}

/// What the log holds of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Depth {
    /// The channel.
    pub channel: ChannelName,
    /// Events that can still be read.
    pub events: usize,
    /// The id of the newest of them, as it is on the wire.
    pub last_id: Option<String>,
    /// Events a second over the last minute, as far as they are still there.
    pub per_second: f64,
}

/// An event that history holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id on the wire.
    pub id: String,
    /// Its place, whoever gave the id.
    pub place: EventId,
    /// What listeners get.
    pub frame: Frame,
    /// When it was published, by the clock of this machine.
    pub at: SystemTime,
}

/// Part of a channel's history: events in their order, and whether there are more after them.
#[derive(Debug, Default)]
struct Page<'a> {
    entries: Vec<&'a Arc<channel::Entry>>,
    more: bool,
}

impl Log {
    /// An empty log with a life of its own.
    pub fn new(settings: Settings, epoch: Epoch, registry: &Registry) -> Self {
        let metrics = Metrics {
            events: registry.gauge("history_events", "Events in the log"),
            bytes: registry.gauge(
                "history_memory_bytes",
                "Memory of the log, overhead included",
            ),
            channels: registry.gauge("history_channels", "Channels the log knows"),
        };
        Self(Arc::new(Inner {
            epoch,
            started: (Instant::now(), SystemTime::now()),
            head: AtomicU64::new(Position::START.seq()),
            state: Mutex::new(State::new(settings)),
            metrics,
        }))
    }

    /// Keeps what these settings say from now on. What a channel holds beyond a smaller number of events goes with the
    /// next event on it.
    pub fn configure(&self, settings: Settings) {
        let mut state = lock(&self.0.state);
        state.settings = settings;
        state.trim(Instant::now());
    }

    /// The place after the newest event.
    pub fn position(&self) -> Position {
        Position::after(self.0.head.load(Ordering::Acquire))
    }

    /// How a place is written on the wire.
    pub fn id(&self, position: Position) -> EventId {
        EventId {
            epoch: self.0.epoch,
            position,
        }
    }

    /// The place an id of this very log stands for; `None` for an id from another life or from the future.
    pub fn place(&self, id: EventId) -> Option<Position> {
        (id.epoch == self.0.epoch && id.position <= self.position()).then_some(id.position)
    }

    /// Notes that nobody knows what the channels that fit one of `patterns` have missed up to now: whoever reads them from
    /// before is told so, once. It takes a number of its own, as an event does.
    pub fn doubt(&self, patterns: &[ChannelPattern]) {
        let mut state = lock(&self.0.state);
        let at = state.doubt(patterns);
        self.0.head.store(at.seq(), Ordering::Release);
    }

    /// Whether it is in doubt what `channels` have missed since `position`.
    pub fn is_in_doubt(&self, channels: &[ChannelName], position: Position) -> bool {
        let state = lock(&self.0.state);
        state.doubts.after(channels.iter(), position).is_some()
    }

    /// Whether every event after `position` is within `reach`, whatever its channel, and none is in doubt. No, where only a
    /// look at each channel could tell.
    pub fn is_whole_since(&self, position: Position, reach: &Reach) -> bool {
        lock(&self.0.state).is_whole_since(position, reach, Instant::now())
    }

    /// Gives `events` their places, all or none, and keeps them. `encode` makes the frame of one event, whose own id
    /// is known only here. Returns the ids in the order of the events.
    pub fn append(
        &self,
        events: &[Event],
        encode: impl Fn(&Event, EventId) -> Frame,
    ) -> Result<Vec<EventId>, AppendError> {
        let epoch = self.0.epoch;
        let mut state = lock(&self.0.state);
        let before = state.append(events, Instant::now(), |event, position| {
            encode(event, EventId { epoch, position })
        })?;
        self.0.head.store(state.head().seq(), Ordering::Release);
        drop(state);
        let next = |place: &Position| Some(place.next());
        let places = std::iter::successors(Some(before.next()), next);
        Ok(places
            .take(events.len())
            .map(|place| self.id(place))
            .collect())
    }

    /// A reader of `channels` that begins after `position`.
    pub fn cursor(&self, channels: impl Into<Arc<[ChannelName]>>, position: Position) -> Cursor {
        Cursor::new(self.clone(), channels.into(), position)
    }

    /// Looks a publisher's id up in `channels`.
    pub fn find(&self, channels: &[ChannelName], id: &PublisherId) -> Found {
        lock(&self.0.state).find(channels, id, Instant::now())
    }

    /// The longest frame that is surely taken, whatever else an event has.
    pub fn longest_frame(&self) -> usize {
        let memory = lock(&self.0.state).settings.memory;
        memory.as_len().saturating_sub(BESIDE)
    }

    /// The newest event that history holds of `channel`: its place, and the publisher's id, if it has one.
    pub fn newest(&self, channel: &ChannelName) -> Option<(Position, Option<PublisherId>)> {
        lock(&self.0.state).newest(channel, Instant::now())
    }

    /// Whether events of `channels` after `position` are not within `reach`, or it is in doubt whether there were more.
    pub fn has_gap(&self, channels: &[ChannelName], position: Position, reach: &Reach) -> bool {
        lock(&self.0.state).has_gap(channels, position, reach, Instant::now())
    }

    /// Whether every one of `channels` was closed within `closed_for`, and a reader at `position` has seen each closing event.
    pub fn has_seen_the_end(
        &self,
        channels: &[ChannelName],
        position: Position,
        closed_for: Duration,
    ) -> bool {
        lock(&self.0.state).has_seen_the_end(channels, position, closed_for, Instant::now())
    }

    /// The newest events of `channels` up to `position` of which the last of each name is kept, for a stream that begins
    /// there: in order, each once. Those that are on one of `heard` as well the stream knows.
    pub fn states(
        &self,
        channels: &[ChannelName],
        heard: &[ChannelName],
        position: Position,
        stream: StreamId,
    ) -> Vec<Frame> {
        lock(&self.0.state).states(channels, heard, position, stream, Instant::now())
    }

    /// Whether the event at `place` is on `channel`, and still held.
    pub fn holds(&self, channel: &ChannelName, place: Position) -> bool {
        lock(&self.0.state).holds(channel, place)
    }

    /// Up to `most` events that history holds of `channel`, after a place or from the first, and whether there are more;
    /// `None` if events after that place have been dropped, or are in doubt.
    pub fn history(
        &self,
        channel: &ChannelName,
        after: Option<Position>,
        most: usize,
    ) -> Option<(Vec<Kept>, bool)> {
        let (started, wall) = self.0.started;
        let at = |instant: Instant| wall + instant.saturating_duration_since(started);
        let mut state = lock(&self.0.state);
        let page = state.page(channel, after, most, Instant::now())?;
        Some((page.kept(|position| self.id(position), at), page.more))
    }

    /// How many events of `channels` come after `position`.
    pub fn lag(&self, channels: &[ChannelName], position: Position) -> usize {
        lock(&self.0.state).count_after(channels, position)
    }

    /// Drops all that is held of `channel`: whoever was before now has missed something.
    pub fn forget(&self, channel: &ChannelName) {
        lock(&self.0.state).clear(channel, Instant::now());
    }

    /// Keeps all events of `channel`, however many and old, as far as memory allows, until it is forgotten.
    pub fn keep_whole(&self, channel: &ChannelName) {
        lock(&self.0.state).channel(channel).whole = true;
    }

    /// Up to `most` events after `position` over all channels, in order, and the place after them; `None` if events
    /// in between have been dropped.
    pub fn read_all(&self, position: Position, most: usize) -> Option<(Vec<Told>, Position)> {
        lock(&self.0.state).read_all(position, most)
    }

    /// How much the log holds now.
    pub fn size(&self) -> Size {
        let mut state = lock(&self.0.state);
        state.trim(Instant::now());
        Size {
            events: state.event_count(),
            bytes: state.bytes(),
            channels: state.channel_count(),
        }
    }

    /// Brings the gauges up to date; called before metrics are printed, for the log itself has better things to do.
    pub fn observe(&self) {
        let as_gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let Size {
            events,
            bytes,
            channels,
        } = self.size();
        self.0.metrics.events.set(as_gauge(events));
        self.0.metrics.bytes.set(as_gauge(bytes));
        self.0.metrics.channels.set(as_gauge(channels));
    }

    /// What is there of each channel that holds events or is being read, in the order of the names.
    pub fn depths(&self) -> Vec<Depth> {
        let now = Instant::now();
        let mut depths = lock(&self.0.state).depths(now, |position| self.id(position));
        depths.sort_unstable_by(|a, b| a.channel.cmp(&b.channel));
        depths
    }
}
