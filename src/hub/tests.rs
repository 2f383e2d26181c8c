//! Streams come, are woken, and leave nothing behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;

use super::*;
use crate::domain::{Epoch, Keep};
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
    hub.publish(&[event], |_, _| Frame::new(Bytes::from_static(b"x")))
        .unwrap()
        .streams
}

#[test]
fn a_publish_wakes_and_counts_the_streams_of_its_channels_once() {
    let hub = hub();
    let seats: Vec<_> = (1..=3)
        .map(|n| hub.seat(StreamId::from_random(n)))
        .collect();
    let woken: Vec<_> = seats.iter().map(|_| Arc::new(Woken::default())).collect();
    for (seat, woken) in seats.iter().zip(&woken) {
        seat.register(&Waker::from(Arc::clone(woken)));
    }
    let _a = seats[0].join(&channels(&["a"]));
    let both = seats[1].join(&channels(&["a", "b"]));
    let _c = seats[2].join(&channels(&["c"]));
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
        let seat = hub.seat(StreamId::from_random(n));
        seat.tap();
        let _on = seat.join(&channels(&["a", &format!("own-{n}")]));
    }
    let table = lock(&hub.0.table);
    assert!(table.streams.is_empty() && table.channels.is_empty() && table.taps.is_empty());
}

#[test]
fn a_drain_ends_the_open_streams_and_every_later_one() {
    let hub = hub();
    let seat = hub.seat(StreamId::from_random(1));
    let ids = hub.start_drain();
    assert_eq!(
        (ids.as_slice(), seat.ending()),
        ([seat.id()].as_slice(), None),
        "each in its own time"
    );
    assert!(hub.end(seat.id(), Ending::Drain) && seat.ending() == Some(Ending::Drain));
    assert_eq!(
        hub.seat(StreamId::from_random(2)).ending(),
        Some(Ending::Drain)
    );
    assert!(!hub.end(StreamId::from_random(9), Ending::Kick));
}
