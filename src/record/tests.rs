//! The waits of a recorder, in simulated time, and who finds what in the table.

use std::path::PathBuf;
use std::sync::Mutex;

use http::{HeaderMap, Method};
use tokio::time::Instant;

use super::events::Reading;
use super::key::Key;
use super::reader::{Outcome, Reader};
use super::table::{Found, Now, Recording};
use super::*;
use crate::base::sync::lock;
use crate::domain::{Epoch, Position};
use crate::history::{self, Log};
use crate::hub::Whom;
use crate::limits::Presence;
use crate::upstream::{Buffers, Families, Room, Server, Switch, Upstream};

const PATIENCE: Duration = Duration::from_secs(65);

fn recorder() -> Recorder {
    let registry = Registry::default();
    let log = Log::new(
        history::Settings::default(),
        Epoch::from_random(1),
        &registry,
    );
    let hub = Hub::new(log, &registry);
    Recorder::new(hub, 2, ByteSize::kib(1), &registry)
}

fn head() -> Head {
    Head {
        method: Method::GET,
        target: "/a".parse().unwrap(),
        headers: HeaderMap::new(),
    }
}

fn key() -> Key {
    Key::of(&head(), ("django", "/"), Per::Credentials, None)
}

fn recording(session: Option<Session>, era: Era) -> Recording {
    Recording {
        channel: ChannelName::of_recording(7),
        is_of_post: false,
        start: Position::START,
        since: None,
        session,
        cors: HeaderMap::new(),
        presence: Presence::default(),
        displaced: CancellationToken::new(),
        state: Mutex::new(Now { era, end: None }),
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_first_does_not_wait_for_ever_and_never_asks_beside_it() {
    let (recorder, key) = (recorder(), key());
    let find = || recorder.find(&key, Era(0), PATIENCE);
    let first = find().await;
    assert!(matches!(first, Some(Found::Free(_))));
    let began = Instant::now();
    assert!(find().await.is_none());
    assert_eq!(began.elapsed(), PATIENCE);
    drop(first);
    assert!(
        matches!(find().await, Some(Found::Free(_))),
        "the turn is free again"
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_first_leaves_one_of_those_who_wait_asks_for_all() {
    let (recorder, key) = (recorder(), key());
    for (answered, waited) in [(false, PATIENCE), (true, Duration::ZERO)] {
        let find = || recorder.find(&key, Era(0), PATIENCE);
        let Some(Found::Free(first)) = find().await else {
            panic!("nobody is there")
        };
        let began = Instant::now();
        let leaves = async {
            tokio::task::yield_now().await;
            if answered {
                first.answered();
            }
            drop(first);
        };
        let (a, b, c, ()) = tokio::join!(find(), find(), find(), leaves);
        let free = [&a, &b, &c].map(|found| matches!(found, Some(Found::Free(_))));
        assert_eq!(free.iter().filter(|free| **free).count(), 1);
        // Who has the turn does not give it up here, so the others wait; after an answer they do not.
        assert_eq!(began.elapsed(), waited, "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_that_cannot_be_asked_again_is_given_up() {
    let recorder = recorder();
    let server = Server::Unix(PathBuf::from("/nowhere/at-all.sock"));
    let settings = crate::upstream::Settings::new("django", vec![server]);
    let registry = Registry::default();
    let buffers = Buffers::new(&Room::default(), &registry);
    let (families, switch) = (Families::new(&registry), Switch::new(&registry));
    let upstream = Upstream::new(settings, &families, &buffers, &switch);
    let reading = Reading::new(ChannelName::of_recording(7), 100);
    let mut reader = Reader::new(recorder.0.hub.clone(), upstream, head(), reading);
    let began = Instant::now();
    assert_eq!(reader.ask_again().await.err(), Some(Outcome::Unreachable));
    let took = began.elapsed();
    assert!((300..330).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_recording_whose_session_has_ended_is_not_found_and_others_are() {
    let recorder = recorder();
    let (hub, table) = (&recorder.0.hub, &recorder.0.recordings);
    let session = hub.session("sessionid", b"x");
    let era = hub.era();
    let (kept, _present) = table
        .add(&key(), hub, era, || Some(recording(Some(session), era)))
        .unwrap();
    hub.kick(&Whom::Session(hub.session("sessionid", b"y")));
    assert!(matches!(
        table.find(&key(), hub, hub.era()),
        Found::Running(..)
    ));
    assert_eq!(lock(&kept.state).era, hub.era(), "known up to now");
    hub.kick(&Whom::Session(session));
    let found = table.find(&key(), hub, hub.era());
    assert!(matches!(found, Found::Free(_)));
    // The old one ends without taking the new one along.
    table.remove(&key(), &kept);
    assert!(matches!(
        table.find(&key(), hub, hub.era()),
        Found::Beginning(_)
    ));
    let (new, _present) = table
        .add(&key(), hub, era, || Some(recording(None, era)))
        .unwrap();
    drop(found);
    assert!(
        matches!(table.find(&key(), hub, hub.era()), Found::Running(there, _) if Arc::ptr_eq(&there, &new))
    );
}

#[test]
fn who_was_slower_joins_and_nobody_is_thrown_out_who_is_there() {
    let recorder = recorder();
    let (hub, table) = (&recorder.0.hub, &recorder.0.recordings);
    let make = || Some(recording(None, Era(0)));
    let (first, present) = table.add(&key(), hub, Era(0), make).unwrap();
    let (second, other) = table.add(&key(), hub, Era(0), || None).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    drop(present);
    assert!(!table.remove_if_left(&key(), &first));
    drop(other);
    assert!(table.remove_if_left(&key(), &first));
    assert!(
        table.add(&key(), hub, Era(0), || None).is_none(),
        "no slot is free"
    );
}
