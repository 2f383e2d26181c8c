//! Something happens while a stream opens or reads: tried at every point between any two of its steps.
//!
//! Log and hub are reached only through their locks, so the points before each lock are all there are.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::open::Candidate;
use super::permission::Renewal;
use super::tests::{CLIENT, channel, event, streams};
use super::*;
use crate::ask::Grant;
use crate::base::sync::between;
use crate::domain::{ChannelPattern, Event, EventName, Keep};
use crate::history;
use crate::hub::Whom;
use crate::wire::ask::Terms;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads as a connection does: again only when it was woken.
fn read_when_woken(held: &mut Held) -> (String, bool) {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut text = String::new();
    loop {
        let before = wakes.0.load(Ordering::Relaxed);
        match held.poll_next(&mut Context::from_waker(&waker), Instant::now()) {
            Poll::Ready(Some(frame)) => {
                text.push_str(std::str::from_utf8(frame.as_bytes()).unwrap());
            }
            Poll::Ready(None) => return (text, true),
            Poll::Pending if wakes.0.load(Ordering::Relaxed) > before => {}
            Poll::Pending => return (text, false),
        }
    }
}

fn grant(candidate: &Candidate) -> Grant {
    let terms = Terms {
        channels: vec![channel("a"), channel("b")],
        user: None,
        expires: None,
        retry: None,
    };
    Grant {
        terms,
        initial: Bytes::new(),
        cors: http::HeaderMap::new(),
        era: candidate.era().0,
    }
}

/// Opens a stream and reads all there is, while `meanwhile` happens at the `point`-th point after the stream's place was
/// noted; what was read, whether it ended, and whether there was such a point.
fn open_while(
    streams: &Streams,
    last: Option<&str>,
    point: usize,
    meanwhile: impl FnOnce() + 'static,
) -> (String, bool, bool) {
    let last = last.map(LastEventId::parse);
    let settings = Arc::new(Settings::default());
    let candidate = streams
        .arrive(&settings, CLIENT, None, last, false)
        .unwrap();
    between::before_lock(point, meanwhile);
    let grant = grant(&candidate);
    let answer = candidate.granted(&grant, Renewal::Never).unwrap();
    let Body::Held(mut held, _) = answer.into_body() else {
        panic!("no stream");
    };
    let (text, ended) = read_when_woken(&mut held);
    (text, ended, !between::is_still_due())
}

/// Tries every point there is; returns how many there were.
fn at_every_point(mut one: impl FnMut(usize) -> bool) -> usize {
    (0..1000).take_while(|point| one(*point)).count()
}

fn count(text: &str, data: &str) -> usize {
    text.matches(&format!("data: {data}\n")).count()
}

#[tokio::test(start_paused = true)]
async fn an_event_published_while_a_stream_opens_is_given_once_at_every_point() {
    for last in [None, Some("0000000001-1"), Some("0000000001-2")] {
        for keep in [Keep::All, Keep::Last] {
            let points = at_every_point(|point| {
                let streams = streams(history::Settings::default());
                streams.publish(event("one"));
                streams.publish(event("two"));
                let publisher = streams.clone();
                let during = Event {
                    keep,
                    ..event("during")
                };
                let (text, ended, was_tried) = open_while(&streams, last, point, move || {
                    publisher.publish(during);
                });
                let given = usize::from(was_tried);
                assert_eq!(
                    count(&text, "during"),
                    given,
                    "{last:?} {keep:?} {point}: {text}"
                );
                let missed = usize::from(last == Some("0000000001-1"));
                assert_eq!(
                    count(&text, "two"),
                    missed,
                    "{last:?} {keep:?} {point}: {text}"
                );
                assert!(!ended && !text.contains("reset"), "{point}: {text}");
                was_tried
            });
            assert!(points > 8, "{points}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_longer_than_history_is_given_whole_or_answered_by_a_reset_at_every_point() {
    let resets = Rc::new(Cell::new(0));
    let points = at_every_point(|point| {
        let streams = streams(history::Settings {
            events: 3,
            ..history::Settings::default()
        });
        let publisher = streams.clone();
        let (text, _, was_tried) = open_while(&streams, None, point, move || {
            let batch: Vec<_> = ["1", "2", "3", "4", "5"].map(event).into();
            publisher
                .0
                .hub
                .publish(&batch, crate::wire::sse::event)
                .unwrap();
        });
        let given: Vec<_> = ["1", "2", "3", "4", "5"].map(|n| count(&text, n)).into();
        let reset = text.matches("event: reset").count();
        resets.set(resets.get() + reset);
        if was_tried {
            let whole = given == [1; 5] && reset == 0;
            let told = given == [0; 5] && reset == 1;
            assert!(whole || told, "{point}: {text}");
        }
        was_tried
    });
    assert!(resets.get() > 0 && resets.get() < points, "both are tried");
}

#[tokio::test(start_paused = true)]
async fn a_kick_while_a_stream_opens_ends_it_at_every_point() {
    let points = at_every_point(|point| {
        let streams = streams(history::Settings::default());
        let publisher = streams.clone();
        let (text, ended, was_tried) = open_while(&streams, None, point, move || {
            publisher.0.hub.kick(&Whom::Channel(channel("a")));
            publisher.publish(event("secret"));
        });
        assert_eq!(ended, was_tried, "{point}");
        assert!(!text.contains("secret"), "{point}: {text}");
        was_tried
    });
    assert!(points > 8, "{points}");
}

#[tokio::test(start_paused = true)]
async fn a_newer_state_is_given_while_a_stream_opens_at_every_point() {
    let state = |data| Event {
        keep: Keep::Last,
        name: Some(EventName::parse("s").unwrap()),
        ..event(data)
    };
    at_every_point(|point| {
        let streams = streams(history::Settings::default());
        streams.publish(state("old"));
        let publisher = streams.clone();
        let (text, _, was_tried) = open_while(&streams, None, point, move || {
            publisher.publish(state("new"));
        });
        assert_eq!(
            count(&text, "new"),
            usize::from(was_tried),
            "{point}: {text}"
        );
        let newest = text.rfind("data: new").max(text.rfind("data: old"));
        let last = if was_tried { "data: new" } else { "data: old" };
        assert_eq!(newest, text.rfind(last), "{point}: {text}");
        was_tried
    });
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_while_a_stream_opens_is_one_reset_at_every_point() {
    for last in [None, Some("0000000001-1"), Some("0000000001-2")] {
        let points = at_every_point(|point| {
            let streams = streams(history::Settings::default());
            streams.publish(event("one"));
            streams.publish(event("two"));
            let publisher = streams.clone();
            let (text, ended, was_tried) = open_while(&streams, last, point, move || {
                let patterns = ["a*", "b"].map(|text| ChannelPattern::parse(text).unwrap());
                publisher.0.hub.doubt(&patterns);
                publisher.publish(event("after"));
            });
            let expected = usize::from(was_tried);
            let resets = text.matches("event: reset\n").count();
            assert_eq!(resets, expected, "{last:?} {point}: {text}");
            assert!(count(&text, "two") <= usize::from(last == Some("0000000001-1")));
            // What came after it is given, or the stream began after it.
            let from = text.contains("id: 0000000001-4\n");
            assert_eq!(from, was_tried, "{last:?} {point}: {text}");
            assert!(!ended, "{point}: {text}");
            was_tried
        });
        assert!(points > 8, "{points}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_told_of_a_doubt_between_what_came_before_and_after() {
    let streams = streams(history::Settings::default());
    streams.publish(event("one"));
    let settings = Arc::new(Settings::default());
    let candidate = streams
        .arrive(&settings, CLIENT, None, None, false)
        .unwrap();
    let grant = grant(&candidate);
    let Body::Held(mut held, _) = candidate
        .granted(&grant, Renewal::Never)
        .unwrap()
        .into_body()
    else {
        panic!("no stream");
    };
    read_when_woken(&mut held);
    streams.publish(event("before"));
    let other = ChannelPattern::parse("other").unwrap();
    streams.0.hub.doubt(&[other]);
    let both = ["a", "b"].map(|text| ChannelPattern::parse(text).unwrap());
    streams.0.hub.doubt(&both);
    streams.publish(event("after"));
    let (text, ended) = read_when_woken(&mut held);
    let expected = "id: 0000000001-2\ndata: before\n\n\
                    event: reset\nid: 0000000001-4\ndata: {\"reason\":\"redis\"}\n\n\
                    id: 0000000001-5\ndata: after\n\n";
    assert_eq!((text.as_str(), ended), (expected, false));
}
