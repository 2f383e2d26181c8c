//! The order of items: none twice, but those that end streams, and each after the one it names as the one before it.
//!
//! The newest item of a channel is the newest in the log. One that names another as the one before it waits until that one
//! comes, for [`PATIENCE`] at most, and only if anybody would see the difference. Invariant: what is appended goes through
//! one lock, so two publishers cannot overtake each other between the look at the log and the append.
//!
//! Bounds: [`MOST_OF_CHANNEL`] items of a channel, [`MOST_WAITING`] of all and [`MOST_BYTES`] wait, what is beyond goes on at
//! once, in the wrong order; [`MOST_SEEN`] items are remembered for [`SEEN_FOR`], the oldest are forgotten.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::metrics::{CounterBy, Registry};
use crate::base::sync::lock;
use crate::domain::{ChannelName, Event, Keep, Position, PublisherId};
use crate::history::AppendError;
use crate::hub::Hub;
use crate::tokens::keys::Scope;
use crate::wire::grip::Item;

/// How long an item waits for the one before it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an item is known, so that a publisher that was not answered can send it again.
const SEEN_FOR: Duration = Duration::from_secs(10);
const MOST_OF_CHANNEL: usize = 100;
const MOST_WAITING: usize = 10_000;
/// The content of all that wait.
const MOST_BYTES: usize = 16 << 20;
const MOST_SEEN: usize = 100_000;
/// Keys whose channels' order was forgotten; a reload may make others of them, and the oldest go.
const MOST_SCOPES: usize = 64;

/// Takes items in order. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::publish) struct Sequencer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    state: Mutex<State>,
    /// The one who looks for items that have waited long enough, while there are any.
    tasks: TaskTracker,
    stop: CancellationToken,
    outcomes: CounterBy,
    waiting: Gauge,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    waiting: HashMap<ChannelName, Vec<Waiting>>,
    /// By when they have waited long enough.
    due: BTreeMap<Due, ChannelName>,
    next: u64,
    /// The content of all that wait.
    bytes: usize,
    /// Whether somebody looks at `due`.
    is_watched: bool,
    /// Items up to here do not count as the one before.
    forgotten: Position,
    /// The same, of the channels that a key reaches.
    forgotten_of: VecDeque<(Scope, Position)>,
}

/// A moment, and a number that tells those of one moment apart.
type Due = (Instant, u64);

#[derive(Debug)]
struct Waiting {
    due: Due,
    item: Item,
}

/// The items of a little while.
#[derive(Debug, Default)]
struct Seen {
    hashers: (RandomState, RandomState),
    known: HashSet<(u64, u64)>,
    order: VecDeque<(Instant, (u64, u64))>,
}

/// The items that go on, in their order, and the newest of each channel by then.
#[derive(Debug, Default)]
struct Batch {
    items: Vec<Item>,
    newest: HashMap<ChannelName, Option<Box<str>>>,
}

impl Sequencer {
    pub(in crate::publish) fn new(hub: Hub, registry: &Registry) -> Self {
        Self(Arc::new(Inner {
            hub,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            outcomes: registry.counter_by("items", "Items of GRIP publishers, by outcome"),
            waiting: registry.gauge("items_waiting", "Items that wait for the one before them"),
        }))
    }

    /// Takes a batch.
    pub(in crate::publish) fn take(&self, items: Vec<Item>) -> Result<(), AppendError> {
        let longest = self.0.hub.log().longest_frame();
        if items.iter().any(|item| item.frame(0).len() > longest) {
            return Err(AppendError::TooLarge);
        }
        let now = Instant::now();
        let mut state = lock(&self.0.state);
        let (mut batch, mut marks) = (Batch::default(), Vec::new());
        for item in items {
            match state.seen.mark(&item, now) {
                Some(mark) => marks.push(mark),
                None if item.id.is_none() => {}
                // Whom the first one has ended is gone; this one is for those who came since, and so it does not wait.
                None if item.closes() && !state.waits(&item) => {
                    state.go_on(&mut batch, item);
                    continue;
                }
                None => {
                    self.count("duplicate", 1);
                    continue;
                }
            }
            if let Some(item) = self.put_aside(&mut state, &batch, item, now) {
                state.go_on(&mut batch, item);
            }
        }
        let appended = self.append(&batch.items);
        if appended.is_err() {
            // It was not published, so it may come again.
            state.seen.forget(&marks);
        }
        self.watch(&mut state);
        appended
    }

    /// The item, unless it now waits, or was there already.
    fn put_aside(
        &self,
        state: &mut State,
        batch: &Batch,
        item: Item,
        now: Instant,
    ) -> Option<Item> {
        let channel = ChannelName::of_foreign(&item.channel);
        let newest = match batch.newest.get(&channel) {
            Some(newest) => newest.clone(),
            None => state.newest(&self.0.hub, &channel),
        };
        let in_order = match (&item.prev_id, newest) {
            (Some(prev_id), Some(newest)) => *prev_id == newest,
            _ => true,
        };
        if in_order || item.no_seq || !self.0.hub.has_audience(std::slice::from_ref(&channel)) {
            return Some(item);
        }
        if state.due.len() >= MOST_WAITING || state.bytes + item.length() > MOST_BYTES {
            self.count("overflowing", 1);
            return Some(item);
        }
        state.next += 1;
        let due = (now + PATIENCE, state.next);
        let waiting = state.waiting.entry(channel.clone()).or_default();
        if waiting.len() >= MOST_OF_CHANNEL {
            self.count("overflowing", 1);
            return Some(item);
        }
        // Of two that follow the same one, one is wrong.
        if waiting
            .iter()
            .any(|other| other.item.prev_id == item.prev_id)
        {
            self.count("conflicting", 1);
            return None;
        }
        state.bytes += item.length();
        waiting.push(Waiting { due, item });
        state.due.insert(due, channel);
        None
    }

    fn append(&self, items: &[Item]) -> Result<(), AppendError> {
        let events: Vec<_> = items.iter().map(event).collect();
        if events.is_empty() {
            return Ok(());
        }
        // The log asks for one frame after the other.
        let next = Cell::new(0);
        self.0.hub.publish(&events, |_, id| {
            let index = next.replace(next.get() + 1);
            let item = items.get(index).expect("there is an item for each event");
            item.frame(id.position.seq())
        })?;
        self.count("published", items.len());
        Ok(())
    }

    fn count(&self, outcome: &'static str, items: usize) {
        let counter = self.0.outcomes.get_or_create(&[("outcome", outcome)]);
        counter.inc_by(items as u64);
    }

    #[cfg(test)]
    pub(super) fn counted(&self, outcome: &'static str) -> u64 {
        let counter = self.0.outcomes.get_or_create(&[("outcome", outcome)]);
        counter.get()
    }

    /// From now on the next item of each channel, or of each that a key reaches, is taken as it comes.
    pub(in crate::publish) fn forget_order(&self, scope: Option<&Scope>) {
        let mut state = lock(&self.0.state);
        let position = self.0.hub.log().position();
        let Some(scope) = scope else {
            state.forgotten = position;
            return state.forgotten_of.clear();
        };
        state.forgotten_of.retain(|(other, _)| other != scope);
        state.forgotten_of.truncate(MOST_SCOPES - 1);
        state.forgotten_of.push_front((scope.clone(), position));
    }

    /// Has somebody look for what has waited long enough, if anything waits.
    fn watch(&self, state: &mut State) {
        let waiting = i64::try_from(state.due.len()).unwrap_or(i64::MAX);
        self.0.waiting.set(waiting);
        if state.is_watched || state.due.is_empty() {
            return;
        }
        state.is_watched = true;
        let sequencer = self.clone();
        self.0.tasks.spawn(async move {
            while let Some(due) = sequencer.flush() {
                let waited = sleep_until(due);
                sequencer.0.stop.run_until_cancelled(waited).await;
            }
        });
    }

    /// Lets go on what has waited long enough; when to look again.
    fn flush(&self) -> Option<Instant> {
        let (now, all) = (Instant::now(), self.0.stop.is_cancelled());
        let mut state = lock(&self.0.state);
        let mut batch = Batch::default();
        while let Some(first) = state.due.first_entry()
            && (all || first.key().0 <= now)
        {
            let (due, channel) = (*first.key(), first.get().clone());
            // Not before one that it waits for and that waits itself.
            let due = state.first_of_chain(&channel, due);
            match state.take(&channel, |waiting| waiting.due == due) {
                Some(item) => {
                    self.count("late", 1);
                    state.go_on(&mut batch, item);
                }
                None => drop(state.due.remove(&due)),
            }
        }
        if self.append(&batch.items).is_err() {
            tracing::warn!("Items are larger than all of history");
        }
        let waiting = i64::try_from(state.due.len()).unwrap_or(i64::MAX);
        self.0.waiting.set(waiting);
        let next = state.due.first_key_value().map(|((due, _), _)| *due);
        state.is_watched = next.is_some();
        next
    }

    /// Lets everything go on, and waits, at most for `patience`, until it has.
    pub(in crate::publish) async fn close(&self, patience: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        drop(timeout(patience, self.0.tasks.wait()).await);
    }
}

impl State {
    /// The id of the newest item of a channel; `None` if it is not known.
    fn newest(&self, hub: &Hub, channel: &ChannelName) -> Option<Box<str>> {
        let (position, id) = hub.log().newest(channel)?;
        let name = channel.foreign().unwrap_or_default();
        let is_forgotten =
            |(scope, until): &(Scope, Position)| position <= *until && scope.has(name);
        if position <= self.forgotten || self.forgotten_of.iter().any(is_forgotten) {
            return None;
        }
        id.map(|id| id.as_str().into())
    }

    /// Whether this very item waits.
    fn waits(&self, item: &Item) -> bool {
        let waiting = self.waiting.get(&ChannelName::of_foreign(&item.channel));
        waiting.is_some_and(|waiting| waiting.iter().any(|waiting| waiting.item == *item))
    }

    /// Adds an item, and what has waited for it.
    fn go_on(&mut self, batch: &mut Batch, item: Item) {
        let channel = ChannelName::of_foreign(&item.channel);
        let mut next = Some(item);
        while let Some(item) = next {
            let id = item.id.clone();
            batch.newest.insert(channel.clone(), id.clone());
            batch.items.push(item);
            next = id.and_then(|id| {
                let follows = |waiting: &Waiting| waiting.item.prev_id.as_ref() == Some(&id);
                self.take(&channel, follows)
            });
        }
    }

    /// The item that waits and is the first of those that lead, one after the other, to the one due at `due`.
    fn first_of_chain(&self, channel: &ChannelName, due: Due) -> Due {
        let waiting = self.waiting.get(channel).map_or(&[][..], Vec::as_slice);
        let mut first = waiting.iter().find(|waiting| waiting.due == due);
        // Ids may go round in a circle.
        for _ in 0..MOST_OF_CHANNEL {
            let before = first.and_then(|first| {
                let mut others = waiting.iter();
                others.find(|other| other.item.id.is_some() && other.item.id == first.item.prev_id)
            });
            match before {
                Some(before) => first = Some(before),
                None => break,
            }
        }
        first.map_or(due, |first| first.due)
    }

    /// Takes the item that waits in `channel` and is meant.
    fn take(&mut self, channel: &ChannelName, is_it: impl Fn(&Waiting) -> bool) -> Option<Item> {
        let waiting = self.waiting.get_mut(channel)?;
        let index = waiting.iter().position(is_it)?;
        let Waiting { due, item } = waiting.remove(index);
        self.bytes = self.bytes.saturating_sub(item.length());
        if waiting.is_empty() {
            self.waiting.remove(channel);
        }
        self.due.remove(&due);
        Some(item)
    }
}

impl Seen {
    /// Notes an item with an id; `None` if it has none, or was noted a moment ago. The same id with other content is
    /// another item: the ids of some publishers say no more than the kind of it.
    fn mark(&mut self, item: &Item, now: Instant) -> Option<(u64, u64)> {
        while let Some((since, mark)) = self.order.front()
            && (now.saturating_duration_since(*since) >= SEEN_FOR || self.order.len() >= MOST_SEEN)
        {
            self.known.remove(mark);
            self.order.pop_front();
        }
        item.id.as_ref()?;
        let frame = item.frame(0);
        let bytes = frame.as_bytes();
        let mark = (
            self.hashers.0.hash_one(bytes),
            self.hashers.1.hash_one(bytes),
        );
        self.known.insert(mark).then(|| {
            self.order.push_back((now, mark));
            mark
        })
    }

    fn forget(&mut self, marks: &[(u64, u64)]) {
        for mark in marks {
            self.known.remove(mark);
        }
        self.order.retain(|(_, mark)| self.known.contains(mark));
    }
}

/// How an item stands in the log.
fn event(item: &Item) -> Event {
    Event {
        channels: vec![ChannelName::of_foreign(&item.channel)],
        name: None,
        data: None,
        id: item
            .id
            .as_deref()
            .and_then(|id| PublisherId::parse(id).ok()),
        retry: None,
        keep: Keep::All,
        close: false,
        except: None,
    }
}
