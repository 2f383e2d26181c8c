//! Who is listening: the open streams, the channels they are on, and the one way to publish.
//!
//! A wake carries nothing. Publishing appends to the log and then wakes every stream on the event's channels; a woken
//! stream reads what it has not yet sent. Because the append comes first and a stream registers its waker before it
//! reads, no order of the two can lose an event.
//!
//! The table of streams is bounded by the slots that `stream` gives out, the table of channels by the streams on it.

mod seat;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use slab::Slab;

use crate::base::metrics::{Counted, Registry};
use crate::base::sync::lock;
use crate::domain::{ChannelName, Event, EventId, Frame, StreamId};
use crate::history::{AppendError, Log};

use seat::Listener;
pub use seat::{Ending, Membership, Seat};

/// The streams of this gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: Log,
    table: Mutex<Table>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Table {
    /// Every open stream, also one that is on no channel yet because its permission is still being asked for.
    streams: HashMap<StreamId, Arc<Listener>>,
    channels: HashMap<ChannelName, Slab<Arc<Listener>>>,
    /// Streams that hear every publish.
    taps: HashMap<StreamId, Arc<Listener>>,
    /// Once set, new streams are told to end at once.
    draining: bool,
}

#[derive(Debug)]
struct Metrics {
    published: Counter,
    open: Gauge,
}

/// What a publish came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The ids of the events, in their order.
    pub ids: Vec<EventId>,
    /// Open streams that are on any of the channels.
    pub streams: usize,
}

/// The streams on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The channel.
    pub channel: ChannelName,
    /// How many streams are on it.
    pub streams: usize,
}

impl Hub {
    /// A hub without streams, on `log`.
    pub fn new(log: Log, registry: &Registry) -> Self {
        let metrics = Metrics {
            published: registry.counter("events_published", "Events taken from publishers"),
            open: registry.gauge("streams_open", "Open streams"),
        };
        Self(Arc::new(Inner {
            log,
            table: Mutex::default(),
            metrics,
        }))
    }

    /// The log that events are appended to.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Appends `events`, all or none, and wakes the streams on their channels. Never waits for a stream.
    pub fn publish(
        &self,
        events: &[Event],
        encode: impl Fn(&Event, EventId) -> Frame,
    ) -> Result<Receipt, AppendError> {
        let ids = self.0.log.append(events, encode)?;
        self.0.metrics.published.inc_by(events.len() as u64);
        Ok(Receipt {
            ids,
            streams: self.wake(events),
        })
    }

    fn wake(&self, events: &[Event]) -> usize {
        let table = lock(&self.0.table);
        table.taps.values().for_each(|tap| tap.wake());
        let mut names: Vec<_> = events.iter().flat_map(|event| &event.channels).collect();
        names.sort_unstable();
        names.dedup();
        let mut woken = names
            .into_iter()
            .filter_map(|name| table.channels.get(name));
        let Some(first) = woken.next() else { return 0 };
        first.iter().for_each(|(_, listener)| listener.wake());
        let Some(second) = woken.next() else {
            return first.len();
        };
        // A stream on several of the channels counts once.
        let mut seen: HashSet<_> = first.iter().map(|(_, listener)| listener.id()).collect();
        for (_, listener) in std::iter::once(second).chain(woken).flatten() {
            listener.wake();
            seen.insert(listener.id());
        }
        seen.len()
    }

    /// Registers an open stream; it leaves when the seat is dropped.
    pub fn seat(&self, id: StreamId) -> Seat {
        let listener = Arc::new(Listener::new(id));
        let mut table = lock(&self.0.table);
        if table.draining {
            listener.end(Ending::Drain);
        }
        table.streams.insert(id, Arc::clone(&listener));
        drop(table);
        Seat::new(self.clone(), listener, Counted::new(&self.0.metrics.open))
    }

    /// How many open streams are on any of `channels`.
    pub fn audience(&self, channels: &[ChannelName]) -> usize {
        let table = lock(&self.0.table);
        let on = channels.iter().filter_map(|name| table.channels.get(name));
        let streams: HashSet<_> = on.flatten().map(|(_, listener)| listener.id()).collect();
        streams.len()
    }

    /// The number of open streams.
    pub fn stream_count(&self) -> usize {
        lock(&self.0.table).streams.len()
    }

    /// The channels that have streams, in the order of their names.
    pub fn audiences(&self) -> Vec<Audience> {
        let table = lock(&self.0.table);
        let audience = |(name, on): (&ChannelName, &Slab<_>)| Audience {
            channel: name.clone(),
            streams: on.len(),
        };
        let mut audiences: Vec<_> = table.channels.iter().map(audience).collect();
        drop(table);
        audiences.sort_unstable_by(|a, b| a.channel.cmp(&b.channel));
        audiences
    }

    /// From now on new streams end at once; returns those that are open, for the caller to end in its own time.
    pub fn start_drain(&self) -> Vec<StreamId> {
        let mut table = lock(&self.0.table);
        table.draining = true;
        table.streams.keys().copied().collect()
    }

    /// Ends one stream; `false` if it is gone already.
    pub fn end(&self, id: StreamId, ending: Ending) -> bool {
        let listener = lock(&self.0.table).streams.get(&id).cloned();
        listener.is_some_and(|listener| {
            listener.end(ending);
            true
        })
    }
}
