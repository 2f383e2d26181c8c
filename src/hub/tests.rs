//! Streams come, are woken, and leave nothing behind.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::domain::{Epoch, Keep, What};
use crate::history::Settings;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn hub() -> Hub {
    let registry = Registry::default();
    Hub::new(
        Log::new(Settings::default(), Epoch::from_random(1), &registry),
        &registry,
    )
}

fn channels(names: &[&str]) -> Vec<ChannelName> {
    names
        .iter()
        .map(|name| ChannelName::parse(name).unwrap())
        .collect()
}

fn about(session: Option<Session>) -> About {
    About {
        route: "test".into(),
        client: IpAddr::from([127, 0, 0, 1]),
        since: SystemTime::UNIX_EPOCH,
        session,
    }
}

fn seat(hub: &Hub, id: u128) -> Seat {
    hub.seat(StreamId::from_random(id), Some(about(None)))
}

fn join(seat: &Seat, channels: &[ChannelName]) -> Membership {
    seat.join(None, &channels.into(), Era::default())
}

fn publish(hub: &Hub, names: &[&str]) -> usize {
    let event = Event {
        channels: channels(names),
        name: None,
        data: Some(Bytes::new()),
        id: None,
        retry: None,
        close: false,
        keep: Keep::All,
        except: None,
    };
    hub.publish(&[event], |_, _| Frame::new(b"x"))
        .unwrap()
        .streams
}

#[test]
fn a_publish_wakes_and_counts_the_streams_of_its_channels_once() {
    let hub = hub();
    let seats: Vec<_> = (1..=3).map(|n| seat(&hub, n)).collect();
    let woken: Vec<_> = seats.iter().map(|_| Arc::new(Woken::default())).collect();
    for (seat, woken) in seats.iter().zip(&woken) {
        seat.listen(&Waker::from(Arc::clone(woken)));
    }
    let _a = join(&seats[0], &channels(&["a"]));
    let both = join(&seats[1], &channels(&["a", "b"]));
    let _c = join(&seats[2], &channels(&["c"]));
    assert_eq!(publish(&hub, &["a", "b"]), 2);
    let count = |n: usize| woken[n].0.load(Ordering::Relaxed);
    assert_eq!(
        (count(0), count(1), count(2)),
        (1, 1, 0),
        "one wake each, however many channels"
    );
    assert_eq!(publish(&hub, &["b"]), 1);
    drop(both);
    assert_eq!((publish(&hub, &["b"]), publish(&hub, &["nobody"])), (0, 0));
    assert_eq!(
        hub.audiences()
            .iter()
            .map(|a| a.channel.as_str())
            .collect::<Vec<_>>(),
        ["a", "c"]
    );
}

#[test]
fn the_tables_are_empty_after_everybody_left() {
    let hub = hub();
    for n in 0..1000 {
        let one = seat(&hub, n);
        one.tap();
        let _on = join(&one, &channels(&["a", &format!("own-{n}")]));
    }
    let table = lock(&hub.0.table);
    assert!(table.streams.is_empty() && table.channels.is_empty() && table.taps.is_empty());
}

#[test]
fn a_drain_ends_the_open_streams_and_every_later_one() {
    let hub = hub();
    let open = seat(&hub, 1);
    let ids = hub.start_drain();
    assert_eq!(
        (ids.as_slice(), open.ending()),
        ([open.id()].as_slice(), None),
        "each in its own time"
    );
    assert!(hub.end(open.id(), Ending::Drain) && open.ending() == Some(Ending::Drain));
    assert_eq!(seat(&hub, 2).ending(), Some(Ending::Drain));
    let lasting = seat(&hub, 3);
    lasting.outlast_drain();
    assert!(hub.end(lasting.id(), Ending::Drain) && lasting.ending().is_none());
    assert!(hub.end(lasting.id(), Ending::Kick));
    lasting.outlast_drain();
    assert_eq!(lasting.ending(), Some(Ending::Kick));
    assert!(!hub.end(StreamId::from_random(9), Ending::Kick));
}

fn seated(hub: &Hub, id: u128, user: &str, channel: &str) -> (Seat, Membership) {
    let seat = seat(hub, id);
    let user = UserId::parse(user).unwrap();
    let mut on = channels(&[channel]);
    on.push(ChannelName::of_user(&user));
    let membership = seat.join(Some(&user), &on.into(), hub.era());
    (seat, membership)
}

#[test]
fn a_kick_ends_the_streams_of_a_user_of_a_channel_or_one() {
    let hub = hub();
    let seats = [
        seated(&hub, 1, "u", "a"),
        seated(&hub, 2, "u", "b"),
        seated(&hub, 3, "v", "a"),
        seated(&hub, 4, "w", "c"),
    ];
    let ended = || seats.each_ref().map(|(seat, _)| seat.ending().is_some());
    assert_eq!(hub.kick(&Whom::Stream(StreamId::from_random(4))), 1);
    assert_eq!(ended(), [false, false, false, true]);
    assert_eq!(hub.kick(&Whom::User(UserId::parse("u").unwrap())), 2);
    assert_eq!(ended(), [true, true, false, true]);
    assert_eq!(hub.kick(&Whom::Channel(channels(&["a"]).remove(0))), 2);
    assert_eq!(ended(), [true; 4]);
    assert_eq!(hub.kick(&Whom::User(UserId::parse("x").unwrap())), 0);
}

#[test]
fn a_permission_from_before_a_kick_opens_no_stream() {
    let hub = hub();
    let (a, asked) = (channels(&["a"]), hub.era());
    let identity = Identity {
        user: None,
        channels: &a,
    };
    hub.kick(&Whom::Channel(channels(&["b"]).remove(0)));
    assert!(!hub.was_kicked_since(asked, None, identity));
    hub.delete(&a[0]);
    assert!(hub.was_kicked_since(asked, None, identity));
    let late = seat(&hub, 1);
    let _on = late.join(None, &a.clone().into(), asked);
    assert_eq!(late.ending(), Some(Ending::Kick));
    let asked_anew = seat(&hub, 2);
    let _on = asked_anew.join(None, &a.into(), hub.era());
    assert_eq!(asked_anew.ending(), None);
}

#[test]
fn the_end_of_a_session_ends_the_streams_that_were_opened_with_it() {
    let hub = hub();
    let session = |value: &[u8]| hub.session("sessionid", value);
    assert_ne!(session(b"x"), session(b"y"));
    assert_ne!(session(b"x"), hub.session("other", b"x"));
    let open =
        |id, value: &[u8]| hub.seat(StreamId::from_random(id), Some(about(Some(session(value)))));
    // One is still being asked for: it is on no channel yet.
    let (mine, theirs) = (open(1, b"x"), open(2, b"y"));
    assert_eq!(hub.kick(&Whom::Session(session(b"x"))), 1);
    assert_eq!(
        (mine.ending(), theirs.ending()),
        (Some(Ending::Logout), None)
    );
    drop((mine, theirs));
    assert!(lock(&hub.0.table).sessions.is_empty());
}

#[test]
fn open_streams_are_told_with_what_they_are_on() {
    let hub = hub();
    let (one, _on) = seated(&hub, 1, "u", "a");
    let _tap = hub.seat(StreamId::from_random(9), None);
    one.note(Position::after(7), 3);
    let told = hub.streams(None);
    let user = told[0].user.as_ref().map(UserId::as_str);
    assert_eq!((told.len(), user, told[0].sent), (1, Some("u"), 3));
    assert_eq!(told[0].position, Position::after(7));
    assert_eq!(told[0].channels.len(), 2);
    assert_eq!(hub.streams(Some(&channels(&["a"])[0])).len(), 1);
    assert!(hub.streams(Some(&channels(&["b"])[0])).is_empty());
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_when_it_is_due_with_the_user_who_joined() {
    let hub = hub();
    let changes = hub.watch(Duration::from_secs(10), &Registry::default());
    let told = || changes.take(9).into_iter().map(|change| change.what);
    assert!(told().eq([What::Reset]));
    let (seat, on) = (seat(&hub, 1), channels(&["room"]));
    let [one, two] = ["1", "2"].map(|name| UserId::parse(name).unwrap());
    let joined = |user| seat.join(Some(user), &on.clone().into(), Era::default());
    let membership = joined(&one);
    changes.due().await;
    let room = || on[0].clone();
    assert!(told().eq([What::InUse(room()), What::Joined(room(), one.clone())]));
    // A renewed ask names another user; the first leaves, nobody else.
    let _renewed = joined(&two);
    drop(membership);
    let before = Instant::now();
    changes.due().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(told().eq([What::Joined(room(), two.clone())]));
    changes.due().await;
    assert!(before.elapsed() >= Duration::from_secs(10));
    assert!(told().eq([What::Left(room(), one)]));
}

/// A stream that one task serves along with others, and what that task takes its keys from.
fn held(hub: &Hub) -> (Seat, Membership, Inbox) {
    let (seat, inbox) = (seat(hub, 1), Inbox::default());
    let membership = join(&seat, &channels(&["a"]));
    seat.attach(&inbox, 7);
    (seat, membership, inbox)
}

fn begin_round(inbox: &Inbox) -> Vec<u32> {
    let mut keys = Vec::new();
    let _over = inbox.poll_take(&Context::from_waker(Waker::noop()), &mut keys);
    keys
}

fn run_ahead(hub: &Hub) {
    for _ in 0..100 {
        publish(hub, &["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn publishers_that_run_ahead_wait_for_the_next_round_of_writing() {
    let hub = hub();
    let (_seat, _membership, inbox) = held(&hub);
    let began = Instant::now();
    publish(&hub, &["a"]);
    assert_eq!(begin_round(&inbox), [7]);
    hub.caught_up().await;
    run_ahead(&hub);
    let mut waiting = pin!(hub.caught_up());
    let polled = waiting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Pending);
    assert_eq!(hub.0.metrics.paced.get(), 1);
    begin_round(&inbox);
    waiting.await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn publishers_do_not_wait_for_ever() {
    let hub = hub();
    let (_seat, _membership, inbox) = held(&hub);
    run_ahead(&hub);
    begin_round(&inbox);
    run_ahead(&hub);
    let began = Instant::now();
    hub.caught_up().await;
    assert_eq!(began.elapsed(), MOST_PACE);
}
