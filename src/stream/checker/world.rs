//! The world the checker runs: its steps, and what it counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::{Instant, advance};

use super::oracle::{Item, Oracle, Told, items, number_of};
use crate::ask::Grant;
use crate::base::handler::Filled;
use crate::domain::{
    ByteSize, ChannelName, Epoch, Event, EventName, Keep, PublisherId, StreamId, UserId,
};
use crate::history::{self, Log};
use crate::hub::{Hub, Whom};
use crate::limits::Slots;
use crate::stream::open::Candidate;
use crate::stream::permission::Renewal;
use crate::stream::place::Hearing;
use crate::stream::tests::CLIENT;
use crate::stream::{Body, Held, Memo, Settings, SlowClient, Streams};
use crate::wire::ask::Terms;
use crate::wire::last_event_id::LastEventId;
use crate::wire::sse;

const CHANNELS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const USERS: [&str; 2] = ["u", "v"];
const NAMES: [&str; 2] = ["x", "y"];
const LISTENERS: usize = 12;

/// What happened, so that a run that tried nothing is seen.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) published: usize,
    pub(super) events: usize,
    pub(super) resets: usize,
    pub(super) resumed: usize,
    pub(super) kicked: usize,
    pub(super) slow: usize,
    pub(super) over: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.events += other.events;
        self.resets += other.resets;
        self.resumed += other.resumed;
        self.kicked += other.kicked;
        self.slow += other.slow;
        self.over += other.over;
    }
}

/// A client, and where it is.
struct Listener {
    terms: Terms,
    last_id: Option<String>,
    at: At,
    /// What it read, the newest last, for the report of a failure.
    history: Vec<Item>,
}

enum At {
    Away,
    /// Its permission is being asked for; the log ended at this number when it came.
    Asking(Box<Candidate>, u64),
    Open(Box<Held>, Box<Oracle>, StreamId),
}

pub(super) struct World {
    seed: u64,
    rng: Rng,
    streams: Streams,
    settings: Arc<Settings>,
    longest_pause: Duration,
    has_all_states: bool,
    /// What the last of those read who read as the fast path does.
    memo: Memo,
    all: Vec<Told>,
    listeners: Vec<Listener>,
    pub(super) counts: Counts,
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, history: history::Settings, longest_pause: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let has_all_states = history.events >= NAMES.len() && history.memory >= ByteSize::mib(1);
        let registry = crate::base::metrics::Registry::default();
        let log = Log::new(history, Epoch::from_random(1), &registry);
        let streams = Streams::new(Hub::new(log, &registry), Slots::new(LISTENERS), &registry);
        let settings = Settings {
            slow_client: if rng.bool() {
                SlowClient::Close
            } else {
                SlowClient::Skip
            },
            ..Settings::default()
        };
        let mut world = Self {
            seed,
            rng,
            streams,
            settings: Arc::new(settings),
            longest_pause,
            has_all_states,
            memo: Memo::default(),
            all: vec![],
            listeners: vec![],
            counts: Counts::default(),
        };
        for _ in 0..LISTENERS {
            let terms = world.terms();
            world.listeners.push(Listener {
                terms,
                last_id: None,
                at: At::Away,
                history: vec![],
            });
        }
        world
    }

    fn terms(&mut self) -> Terms {
        let mut channels: Vec<_> = CHANNELS.iter().map(|name| channel(name)).collect();
        self.rng.shuffle(&mut channels);
        channels.truncate(self.rng.usize(1..=4));
        let user = self.rng.bool().then(|| self.rng.choice(USERS).unwrap());
        Terms {
            channels,
            user: user.and_then(UserId::parse),
            expires: None,
            retry: None,
        }
    }

    pub(super) async fn step(&mut self) {
        let listener = self.rng.usize(0..LISTENERS);
        match self.rng.usize(0..100) {
            0..25 => self.publish(1),
            25..30 => {
                let count = self.rng.usize(2..30);
                self.publish(count);
            }
            30..70 => self.read(listener),
            70..85 => self.come(listener),
            85..90 => self.leave(listener),
            90..92 => self.kick(listener),
            92..94 => self.change_channels(listener),
            94..96 => advance(self.longest_pause.mul_f64(self.rng.f64())).await,
            _ => advance(Duration::from_millis(self.rng.u64(1..100))).await,
        }
    }

    /// Publishes so many events at once.
    fn publish(&mut self, count: usize) {
        let first = self.all.len();
        let events: Vec<_> = (0..count).map(|_| self.event()).collect();
        let ids = self.streams.0.hub.publish(&events, sse::event).unwrap().ids;
        assert_eq!(ids[0].position.seq(), first as u64 + 1);
        self.counts.published += count;
        for end in first + 1..=self.all.len() {
            for listener in &mut self.listeners {
                if let At::Open(_, oracle, _) = &mut listener.at {
                    oracle.published(&self.all[..end]);
                }
            }
        }
    }

    fn event(&mut self) -> Event {
        let mut channels: Vec<_> = CHANNELS.iter().map(|name| channel(name)).collect();
        self.rng.shuffle(&mut channels);
        channels.truncate(self.rng.choice([1, 1, 1, 2, 3]).unwrap());
        if self.rng.u8(0..10) == 0 {
            let user = UserId::parse(self.rng.choice(USERS).unwrap()).unwrap();
            channels = vec![ChannelName::of_user(&user)];
        }
        let close = self.rng.u8(0..40) == 0;
        let keep = match self.rng.u8(0..10) {
            0 => Keep::Last,
            1 => Keep::None,
            _ => Keep::All,
        };
        let number = self.all.len() + 1;
        let id = (keep == Keep::All && self.rng.u8(0..5) == 0).then(|| format!("p{number}"));
        let name = self.rng.usize(0..NAMES.len());
        let listener = self.rng.usize(0..LISTENERS);
        let except = match &self.listeners[listener].at {
            At::Open(_, _, id) if self.rng.u8(0..20) == 0 => Some(*id),
            _ => None,
        };
        self.all.push(Told {
            channels: channels.clone(),
            // A closing event is kept for those who come back for it.
            keep: if close && keep == Keep::None {
                Keep::All
            } else {
                keep
            },
            name,
            except,
            close,
            id: id.clone(),
        });
        Event {
            channels,
            name: Some(EventName::parse(NAMES[name]).unwrap()),
            data: Some(Bytes::from(number.to_string())),
            id: id.map(|id| PublisherId::parse(&id).unwrap()),
            retry: None,
            keep,
            close,
            except,
        }
    }

    /// A listener comes, or its permission does.
    fn come(&mut self, listener: usize) {
        let (all, one) = (&self.all, &mut self.listeners[listener]);
        match std::mem::replace(&mut one.at, At::Away) {
            At::Away => {
                let last = one.last_id.as_deref().map(LastEventId::parse);
                let arrived = self
                    .streams
                    .arrive(&self.settings, CLIENT, None, last, false);
                one.at = At::Asking(Box::new(arrived.unwrap()), all.len() as u64);
            }
            At::Asking(candidate, now) => {
                let grant = grant(&one.terms, candidate.era().0);
                let hearing = Hearing::of(&one.terms);
                let from = match &one.last_id {
                    None => now,
                    Some(id) => number_of(all, id).unwrap(),
                };
                let (id, fresh) = (candidate.id(), one.last_id.is_none());
                self.counts.resumed += usize::from(!fresh);
                let answer = candidate.granted(&grant, Renewal::Never).unwrap();
                if let Body::Held(held, _) = answer.into_body() {
                    let oracle = Oracle::new(
                        all,
                        id,
                        hearing.all().to_vec(),
                        from,
                        fresh,
                        self.has_all_states,
                    );
                    one.at = At::Open(held, Box::new(oracle), id);
                    return;
                }
                // 204: the client has seen the end of each of its channels.
                for name in hearing.named() {
                    let on = |told: &Told| told.channels.contains(name);
                    let end = all.iter().rposition(on).unwrap();
                    assert!(all[end].close && end < usize::try_from(from).unwrap());
                }
                self.counts.over += 1;
                one.last_id = None;
            }
            open @ At::Open(..) => one.at = open,
        }
    }

    /// A listener reads some, or all there is.
    fn read(&mut self, listener: usize) {
        let most = self.rng.choice([1, 3, 20, usize::MAX, usize::MAX]).unwrap();
        self.read_most(listener, most);
    }

    /// As a body one by one, or as the fast path does, which reads once for all who stand in one place.
    fn read_most(&mut self, listener: usize, most: usize) {
        let at_once = self.rng.bool();
        let mut frames = VecDeque::new();
        for _ in 0..most {
            let one = &mut self.listeners[listener];
            let At::Open(held, oracle, _) = &mut one.at else {
                return;
            };
            let (mut cx, now) = (Context::from_waker(Waker::noop()), Instant::now());
            let filled = if at_once {
                held.fill(&mut cx, now, &mut frames, &mut self.memo)
            } else {
                match held.poll_next(&mut cx, now) {
                    Poll::Ready(Some(frame)) => {
                        frames.push_back(frame);
                        Filled::More
                    }
                    Poll::Ready(None) => Filled::Over,
                    Poll::Pending => Filled::Idle,
                }
            };
            let mut failed = None;
            for frame in frames.drain(..) {
                for item in items(std::str::from_utf8(frame.as_bytes()).unwrap()) {
                    failed = failed.or_else(|| oracle.take(&self.all, &item).err());
                    match &item {
                        Item::Event { id, .. }
                        | Item::Place { id }
                        | Item::Reset { id: Some(id) } => {
                            one.last_id = Some(id.clone());
                        }
                        Item::Reset { id: None } => {}
                    }
                    one.history.push(item);
                }
            }
            if filled == Filled::Idle && failed.is_none() {
                let missing = oracle.next_owed(&self.all);
                failed =
                    missing.map(|missing| format!("{missing} is missing, and nothing more comes"));
            }
            if let Some(failed) = failed {
                let last: Vec<_> = one.history.iter().rev().take(20).collect();
                panic!(
                    "CHECKER_SEED={}: listener {listener} on {:?}: {failed}\nlast read, newest first: {last:?}",
                    self.seed, one.terms
                );
            }
            match filled {
                Filled::More => {}
                Filled::Over => return self.leave(listener),
                Filled::Idle => return,
            }
        }
    }

    fn leave(&mut self, listener: usize) {
        let one = &mut self.listeners[listener];
        if let At::Open(_, oracle, _) = std::mem::replace(&mut one.at, At::Away) {
            self.counts.resets += oracle.resets;
            self.counts.events += oracle.events;
        }
    }

    fn kick(&mut self, listener: usize) {
        let one = &self.listeners[listener];
        let whom = match (&one.at, &one.terms.user, self.rng.u8(0..3)) {
            (At::Open(_, _, id), _, 0) => Whom::Stream(*id),
            (_, Some(user), 1) => Whom::User(user.clone()),
            _ => Whom::Channel(one.terms.channels[0].clone()),
        };
        self.counts.kicked += self.streams.0.hub.kick(&whom);
    }

    /// Django is asked again, and names other channels.
    fn change_channels(&mut self, listener: usize) {
        self.read_most(listener, usize::MAX);
        // What passes a channel that is new to the stream while it lags behind is a reset.
        if self.longest_pause > Duration::from_secs(1) {
            let meanwhile = self.rng.usize(1..5);
            self.publish(meanwhile);
        }
        let terms = self.terms();
        let era = self.streams.0.hub.era().0;
        let one = &mut self.listeners[listener];
        if let At::Open(held, oracle, _) = &mut one.at
            && let Some(LastEventId::Own(place)) = held.facts().last
        {
            let from = place.position.seq();
            one.terms = terms;
            let hearing = Hearing::of(&one.terms);
            held.move_to(&grant(&one.terms, era));
            oracle.moved(&self.all, hearing.all().to_vec(), from);
        }
    }

    /// Lets every listener read to the end, wherever it was.
    pub(super) fn settle(&mut self) {
        for listener in 0..LISTENERS {
            // Each channel that was closed ends it once more.
            for _ in 0..500 {
                self.read_most(listener, usize::MAX);
                if matches!(self.listeners[listener].at, At::Open(..)) {
                    break;
                }
                self.come(listener);
            }
            assert!(matches!(self.listeners[listener].at, At::Open(..)));
            self.leave(listener);
        }
        let ended = &self.streams.0.metrics.ended;
        let slow = ended.get_or_create(&[("reason", "slow")]).get();
        self.counts.slow = usize::try_from(slow).unwrap();
    }
}

fn grant(terms: &Terms, era: u64) -> Grant {
    Grant {
        terms: terms.clone(),
        initial: Bytes::new(),
        cors: http::HeaderMap::new(),
        era,
    }
}
