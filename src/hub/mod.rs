//! Who is listening: the open streams, the channels they are on, and the one way to publish.
//!
//! A ring carries nothing. Publishing appends to the log and then rings the bell of every stream on the event's channels; a
//! stream that was rung for reads what it has not yet sent. Because the append comes first and a stream listens to its bell
//! before it reads, no order of the two can lose an event.
//!
//! The table of streams is bounded by the slots that `stream` gives out, the table of channels by the streams on it.

mod kicks;
mod listeners;
mod presence;
mod recoveries;
mod seat;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::timeout;

use crate::base::bell::{Inbox, Peal};
use crate::base::metrics::{Counted, Registry};
use crate::base::named::Named;
use crate::base::sync::lock;
use crate::domain::{
    ChannelName, ChannelPattern, Event, EventId, Frame, Position, StreamId, UserId,
};
use crate::history::{AppendError, Log};

use kicks::Kicks;
pub use kicks::{Era, Session, Whom};
use listeners::Listeners;
pub use presence::Changes;
use presence::Presence;
use recoveries::Recoveries;
pub use recoveries::Recovery;
pub use seat::{About, Ending, Identity, Membership, Seat};
use seat::{ById, Joined, Listener};

/// The longest that a publisher waits for the gateway's own writing: less than a client of Django's has patience.
const MOST_PACE: Duration = Duration::from_secs(1);

/// The streams of this gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: Log,
    table: Mutex<Table>,
    /// Makes sessions of cookies.
    hasher: RandomState,
    recoveries: Recoveries,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Table {
    /// Every open stream, also one that is on no channel yet because its permission is still being asked for.
    streams: HashSet<ById>,
    channels: Named<ChannelName, Listeners>,
    /// The streams that were opened with a session of Django.
    sessions: HashMap<Session, HashMap<StreamId, Arc<Listener>>>,
    kicks: Kicks,
    /// Streams that hear every publish.
    taps: HashMap<StreamId, Arc<Listener>>,
    /// Who is on which channel, if that is told to anybody.
    presence: Option<Presence>,
    /// The inboxes of those who serve many streams at once: a few for each listener.
    inboxes: Vec<Inbox>,
    /// Once set, new streams are told to end at once.
    draining: bool,
}

#[derive(Debug)]
struct Metrics {
    published: Counter,
    paced: Counter,
    open: Gauge,
    kicked: Counter,
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

/// An open stream as the operator sees it.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// Its user, if it has one.
    pub user: Option<UserId>,
    /// The route that opened it.
    pub route: Arc<str>,
    /// Its channels, the user's own included.
    pub channels: Arc<[ChannelName]>,
    /// The client's address.
    pub client: IpAddr,
    /// When it began.
    pub since: SystemTime,
    /// Events it was given.
    pub sent: u64,
    /// The place it has read up to.
    pub position: Position,
}

impl Hub {
    /// A hub without streams, on `log`.
    pub fn new(log: Log, registry: &Registry) -> Self {
        let metrics = Metrics {
            published: registry.counter(
                "events_published",
                "Events taken from publishers and recorded views",
            ),
            paced: registry.counter(
                "publishes_paced",
                "Publishes that were answered later because the writing of held streams was behind",
            ),
            open: registry.gauge("streams_open", "Open streams"),
            kicked: registry.counter(
                "streams_kicked",
                "Streams told to end by a kick or a logout",
            ),
        };
        Self(Arc::new(Inner {
            log,
            table: Mutex::default(),
            hasher: RandomState::new(),
            recoveries: Recoveries::default(),
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
        let streams = self.ring(events);
        Ok(Receipt { ids, streams })
    }

    /// Notes that nobody knows what the channels that fit one of `patterns` have missed, and wakes the streams on them, so
    /// that each says so.
    pub fn doubt(&self, patterns: &[ChannelPattern]) {
        self.0.log.doubt(patterns);
        let fits = |name: &ChannelName| {
            name.is_named() && patterns.iter().any(|pattern| pattern.matches(name))
        };
        let table = lock(&self.0.table);
        let mut peal = Peal::default();
        for (_, listeners) in table.channels.iter().filter(|(name, _)| fits(name)) {
            let bells = listeners.iter().map(|listener| listener.bell());
            bells.for_each(|bell| peal.ring(bell));
        }
        drop(table);
        peal.end();
    }

    /// Waits, where those who write to many streams are far behind, until they have begun a new round; but not for long.
    /// A publisher is answered after this: else one that is never done would fill history faster than it can be written.
    pub async fn caught_up(&self) {
        let behind = self.behind();
        if behind.is_empty() {
            return;
        }
        self.0.metrics.paced.inc();
        let all = async {
            for inbox in behind {
                inbox.caught_up().await;
            }
        };
        let _late = timeout(MOST_PACE, all).await;
    }

    fn behind(&self) -> Vec<Inbox> {
        let is_behind = |inbox: &&Inbox| inbox.is_behind();
        let table = lock(&self.0.table);
        table.inboxes.iter().filter(is_behind).cloned().collect()
    }

    fn ring(&self, events: &[Event]) -> usize {
        let table = lock(&self.0.table);
        let mut peal = Peal::default();
        table.taps.values().for_each(|tap| peal.ring(tap.bell()));
        let streams = table.ring(events, &mut peal);
        // First, so that whom this very publish rings is not behind by it.
        for inbox in table.inboxes.iter().filter(|_| streams > 0) {
            inbox.count(events.len());
        }
        drop(table);
        peal.end();
        streams
    }

    /// How often streams were told that they may have missed something, whose channels' names begin with `prefix`.
    pub fn recovery(&self, prefix: &str) -> Recovery {
        self.0.recoveries.of(prefix)
    }

    /// Tells the streams of such prefixes that they may have missed something that the log knows nothing of.
    pub fn recover(&self, is_meant: impl Fn(&str) -> bool) {
        self.0.recoveries.tell(is_meant);
        let table = lock(&self.0.table);
        let mut peal = Peal::default();
        for ById(listener) in &table.streams {
            peal.ring(listener.bell());
        }
        drop(table);
        peal.end();
    }

    /// Registers an open stream; it leaves when the seat is dropped. A tap is about nothing.
    pub fn seat(&self, id: StreamId, about: Option<About>) -> Seat {
        let open = about.is_some().then(|| Counted::new(&self.0.metrics.open));
        let listener = Arc::new(Listener::new(id, about));
        let mut table = lock(&self.0.table);
        if table.draining {
            listener.end(Ending::Drain);
        }
        if let Some(session) = listener.session() {
            let streams = table.sessions.entry(session).or_default();
            streams.insert(id, Arc::clone(&listener));
        }
        table.streams.insert(ById(Arc::clone(&listener)));
        drop(table);
        Seat::new(self.clone(), listener, open)
    }

    /// The session of Django whose cookie has this name and value.
    pub fn session(&self, name: &str, value: &[u8]) -> Session {
        Session(self.0.hasher.hash_one((name, value)))
    }

    /// How many kicks there were up to now: to be noted before a permission is asked for.
    pub fn era(&self) -> Era {
        lock(&self.0.table).kicks.now()
    }

    /// Whether a permission that was asked for in `asked` was taken back since.
    pub fn was_kicked_since(
        &self,
        asked: Era,
        session: Option<Session>,
        identity: Identity<'_>,
    ) -> bool {
        let nobody = StreamId::from_random(0);
        let table = lock(&self.0.table);
        table.kicks.since(asked, nobody, session, &identity)
    }

    /// Ends streams, and those that are about to open with a permission from before; how many were open.
    pub fn kick(&self, whom: &Whom) -> usize {
        let mut table = lock(&self.0.table);
        table.kicks.note(whom.clone());
        let on = |name: &ChannelName| {
            let on = table.channels.get(name);
            on.map(|on| on.iter().map(Arc::clone).collect())
        };
        let streams: Option<Vec<Arc<Listener>>> = match whom {
            Whom::User(user) => on(&ChannelName::of_user(user)),
            Whom::Channel(name) => on(name),
            Whom::Stream(id) => table.streams.get(id).map(|ById(one)| vec![Arc::clone(one)]),
            Whom::Session(session) => {
                let streams = table.sessions.get(session);
                streams.map(|streams| streams.values().map(Arc::clone).collect())
            }
        };
        drop(table);
        let ending = match whom {
            Whom::Session(_) => Ending::Logout,
            Whom::User(_) | Whom::Channel(_) | Whom::Stream(_) => Ending::Kick,
        };
        let streams = streams.unwrap_or_default();
        for listener in &streams {
            listener.end(ending);
        }
        self.0.metrics.kicked.inc_by(streams.len() as u64);
        streams.len()
    }

    /// Ends the streams on `channel` and forgets its history; how many were open.
    pub fn delete(&self, channel: &ChannelName) -> usize {
        let ended = self.kick(&Whom::Channel(channel.clone()));
        self.0.log.forget(channel);
        ended
    }

    /// The open streams: those on `channel`, or all.
    pub fn streams(&self, channel: Option<&ChannelName>) -> Vec<Stream> {
        let table = lock(&self.0.table);
        let listeners: Vec<_> = match channel {
            Some(name) => {
                let on = table
                    .channels
                    .get(name)
                    .into_iter()
                    .flat_map(Listeners::iter);
                on.map(Arc::clone).collect()
            }
            None => table
                .streams
                .iter()
                .map(|ById(one)| Arc::clone(one))
                .collect(),
        };
        drop(table);
        let mut streams: Vec<_> = listeners.iter().filter_map(|one| one.told()).collect();
        streams.sort_unstable_by_key(|stream| (stream.since, stream.id));
        streams
    }

    /// Whether an open stream is on any of `channels`.
    pub fn has_audience(&self, channels: &[ChannelName]) -> bool {
        let table = lock(&self.0.table);
        channels
            .iter()
            .any(|name| table.channels.key(name).is_some())
    }

    /// The number of open streams.
    pub fn stream_count(&self) -> usize {
        let table = lock(&self.0.table);
        table.streams.len() - table.taps.len()
    }

    /// The channels that have streams, in the order of their names.
    pub fn audiences(&self) -> Vec<Audience> {
        let table = lock(&self.0.table);
        let audience = |(name, on): (&ChannelName, &Listeners)| Audience {
            channel: name.clone(),
            streams: on.len(),
        };
        let named = table.channels.iter().filter(|(name, _)| name.is_named());
        let mut audiences: Vec<_> = named.map(audience).collect();
        drop(table);
        audiences.sort_unstable_by(|a, b| a.channel.cmp(&b.channel));
        audiences
    }

    /// From now on new streams end at once; returns those that are open, for the caller to end in its own time.
    pub fn start_drain(&self) -> Vec<StreamId> {
        let mut table = lock(&self.0.table);
        table.draining = true;
        if let Some(presence) = &mut table.presence {
            presence.end();
        }
        table.streams.iter().map(|ById(one)| one.id()).collect()
    }

    /// Ends one stream; `false` if it is gone already.
    pub fn end(&self, id: StreamId, ending: Ending) -> bool {
        let table = lock(&self.0.table);
        let listener = table.streams.get(&id).map(|ById(one)| Arc::clone(one));
        drop(table);
        listener.is_some_and(|listener| {
            listener.end(ending);
            true
        })
    }
}

impl Table {
    /// Rings for the streams on the channels of `events`; how many these are.
    fn ring(&self, events: &[Event], peal: &mut Peal) -> usize {
        let mut names: Vec<_> = events.iter().flat_map(|event| &event.channels).collect();
        names.sort_unstable();
        names.dedup();
        let mut rung = names.into_iter().filter_map(|name| self.channels.get(name));
        let Some(first) = rung.next() else { return 0 };
        first.iter().for_each(|listener| peal.ring(listener.bell()));
        let Some(second) = rung.next() else {
            return first.len();
        };
        // A stream on several of the channels counts once.
        let mut seen: HashSet<_> = first.iter().map(|listener| listener.id()).collect();
        for listener in std::iter::once(second)
            .chain(rung)
            .flat_map(Listeners::iter)
        {
            peal.ring(listener.bell());
            seen.insert(listener.id());
        }
        seen.len()
    }
}

impl Listener {
    fn told(&self) -> Option<Stream> {
        let about = self.about.as_ref()?;
        let Joined { user, channels } = lock(&self.joined).clone();
        let (position, sent) = self.progress();
        Some(Stream {
            id: self.id(),
            user,
            route: Arc::clone(&about.route),
            channels,
            client: about.client,
            since: about.since,
            sent,
            position,
        })
    }
}
