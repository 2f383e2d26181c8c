//! Public streams polled by hand, in simulated time.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, advance};

use super::*;
use crate::domain::{Epoch, Event, EventName, Keep, PublisherId};
use crate::history::{self, Log};
use crate::hub::Ending;
use crate::wire::sse;

pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

pub(super) fn streams(history: history::Settings) -> Streams {
    let registry = Registry::default();
    let log = Log::new(history, Epoch::from_random(1), &registry);
    Streams::new(Hub::new(log, &registry), Slots::new(2), &registry)
}

pub(super) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(super) fn event(data: &'static str) -> Event {
    Event {
        channels: vec![channel("a")],
        name: None,
        data: Some(Bytes::from_static(data.as_bytes())),
        id: None,
        retry: None,
        close: false,
        keep: Keep::All,
        except: None,
    }
}

impl Streams {
    pub(super) fn publish(&self, event: Event) -> String {
        self.0.hub.publish(&[event], sse::event).unwrap().ids[0].to_string()
    }

    async fn public(&self, settings: &Settings, last: Option<&str>) -> http::Response<Body> {
        let mut headers = http::HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", last.parse().unwrap());
        }
        let last = crate::wire::last_event_id::of_request(&headers, None);
        let source = Source::Public(vec![channel("a")]);
        let opening = Opening {
            session: None,
            head_only: false,
            client: CLIENT,
            last,
            wants_stream: true,
            source,
        };
        self.open(&Arc::new(settings.clone()), opening)
            .await
            .unwrap()
    }

    async fn held(&self, settings: &Settings, last: Option<&str>) -> Box<Held> {
        match self.public(settings, last).await.into_body() {
            Body::Held(held, _) => held,
            other => panic!("{other:?}"),
        }
    }
}

/// All that is ready now, and whether the stream has ended.
pub(super) fn said(held: &mut Held) -> (String, bool) {
    let mut text = String::new();
    loop {
        match held.poll_next(&mut Context::from_waker(Waker::noop()), Instant::now()) {
            Poll::Ready(Some(frame)) => {
                text.push_str(std::str::from_utf8(frame.as_bytes()).unwrap());
            }
            Poll::Ready(None) => return (text, true),
            Poll::Pending => return (text, false),
        }
    }
}

fn fixed_retry() -> Settings {
    Settings {
        retry: Duration::from_secs(3)..=Duration::from_secs(3),
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_retry_a_comment_and_its_place() {
    let streams = streams(history::Settings::default());
    let mut held = streams.held(&fixed_retry(), None).await;
    assert_eq!(
        said(&mut held),
        (
            "retry: 3000\n: stream open\nid: 0000000001-0\n\n".to_owned(),
            false
        )
    );
    let id = streams.publish(event("x"));
    assert_eq!(said(&mut held), (format!("id: {id}\ndata: x\n\n"), false));
}

#[tokio::test(start_paused = true)]
async fn an_open_event_names_the_stream() {
    let streams = streams(history::Settings::default());
    let settings = Settings {
        open_event: Some(EventName::parse("open").unwrap()),
        ..fixed_retry()
    };
    let response = streams.public(&settings, None).await;
    let id = response.headers()["sse-stream"]
        .to_str()
        .unwrap()
        .to_owned();
    let Body::Held(mut held, _) = response.into_body() else {
        panic!()
    };
    let expected = format!("event: open\ndata: {{\"stream\":\"{id}\"}}\n\n");
    assert!(said(&mut held).0.ends_with(&expected));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_fill_silence_and_only_silence() {
    let streams = streams(history::Settings::default());
    let mut held = streams.held(&Settings::default(), None).await;
    said(&mut held);
    advance(Duration::from_secs(10)).await;
    streams.publish(event("x"));
    assert!(said(&mut held).0.contains("data: x"));
    advance(Duration::from_secs(10)).await;
    assert_eq!(said(&mut held).0, "", "ten seconds after an event");
    advance(Duration::from_secs(5)).await;
    assert_eq!(said(&mut held).0, ":\n\n");
    advance(Duration::from_secs(15)).await;
    assert_eq!(said(&mut held).0, ":\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let streams = streams(history::Settings::default());
    let ids: Vec<_> = ["1", "2", "3", "4"]
        .map(|data| streams.publish(event(data)))
        .into();
    let mut held = streams.held(&Settings::default(), Some(&ids[1])).await;
    let (text, _) = said(&mut held);
    let expected = format!(
        "id: {}\n\nid: {}\ndata: 3\n\nid: {}\ndata: 4\n\n",
        ids[1], ids[2], ids[3]
    );
    assert!(text.ends_with(&expected), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_publishers_id_resumes_too() {
    let streams = streams(history::Settings::default());
    let with_id = |id, data| Event {
        id: Some(PublisherId::parse(id).unwrap()),
        ..event(data)
    };
    streams.publish(with_id("p-1", "1"));
    streams.publish(with_id("p-2", "2"));
    let mut held = streams.held(&Settings::default(), Some("p-1")).await;
    let (text, _) = said(&mut held);
    assert!(
        text.ends_with("id: p-2\ndata: 2\n\n") && !text.contains("data: 1"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_id_that_cannot_be_served_is_one_reset() {
    let huge = "x".repeat(2000);
    let cases = [
        ("0000000001-1", "history"),
        ("00000000ff-1", "unknown-id"),
        ("0000000001-99", "unknown-id"),
        ("p-1", "unknown-id"),
        (huge.as_str(), "malformed-id"),
    ];
    for (last, reason) in cases {
        let streams = streams(history::Settings {
            events: 2,
            ..history::Settings::default()
        });
        let ids: Vec<_> = ["1", "2", "3", "4"]
            .map(|data| streams.publish(event(data)))
            .into();
        let mut held = streams.held(&Settings::default(), Some(last)).await;
        let (text, _) = said(&mut held);
        let reset = format!(
            "event: reset\nid: {}\ndata: {{\"reason\":\"{reason}\"}}\n\n",
            ids[3]
        );
        assert!(text.ends_with(&reset), "{last}: {text}");
        assert_eq!(text.matches("event:").count(), 1, "{text}");
        let next = streams.publish(event("next"));
        assert_eq!(said(&mut held).0, format!("id: {next}\ndata: next\n\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_ends_or_is_told_what_it_misses() {
    for (slow_client, ended) in [(SlowClient::Close, true), (SlowClient::Skip, false)] {
        let streams = streams(history::Settings {
            events: 2,
            lag: crate::domain::ByteSize::bytes(0),
            ..history::Settings::default()
        });
        let settings = Settings {
            slow_client,
            ..Settings::default()
        };
        let mut held = streams.held(&settings, None).await;
        said(&mut held);
        for data in ["1", "2", "3"] {
            streams.publish(event(data));
        }
        let (text, over) = said(&mut held);
        assert_eq!(
            (text.contains("event: reset\nid: 0000000001-3\n"), over),
            (!ended, ended),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_event_ends_the_stream_and_stops_who_has_seen_it() {
    for data in [Some("bye"), None] {
        let streams = streams(history::Settings::default());
        let before = streams.publish(event("x"));
        let mut held = streams.held(&Settings::default(), None).await;
        said(&mut held);
        let end = streams.publish(Event {
            close: true,
            data: data.map(Bytes::from),
            ..event("")
        });
        let (text, over) = said(&mut held);
        assert!(over && text.starts_with(&format!("id: {end}\n")), "{text}");

        let again = streams.public(&Settings::default(), Some(&end)).await;
        assert_eq!(again.status(), StatusCode::NO_CONTENT);
        let (text, over) = said(&mut *streams.held(&Settings::default(), Some(&before)).await);
        assert!(over && text.contains(&format!("id: {end}\n")), "{text}");
        assert!(
            !said(&mut *streams.held(&Settings::default(), None).await).1,
            "a newcomer waits for a new life"
        );

        streams.publish(event("anew"));
        assert!(
            said(&mut *streams.held(&Settings::default(), Some(&end)).await)
                .0
                .contains("data: anew")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_what_was_published_and_says_when_to_come_back() {
    let streams = streams(history::Settings::default());
    let mut held = streams.held(&fixed_retry(), None).await;
    said(&mut held);
    streams.publish(event("last"));
    assert!(
        streams
            .0
            .hub
            .end(streams.0.hub.start_drain()[0], Ending::Drain)
    );
    let (text, over) = said(&mut held);
    assert!(
        over && text.contains("data: last") && text.ends_with("retry: 3000\n\n"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn slots_are_bounded_and_come_back() {
    let streams = streams(history::Settings::default());
    let first = streams.held(&Settings::default(), None).await;
    let _second = streams.held(&Settings::default(), None).await;
    let source = || Source::Public(vec![channel("a")]);
    let opening = || Opening {
        session: None,
        head_only: false,
        client: CLIENT,
        last: None,
        wants_stream: true,
        source: source(),
    };
    let settings = Arc::new(Settings::default());
    assert!(matches!(
        streams.open(&settings, opening()).await,
        Err(OpenError::Limited(Limit::Slots))
    ));
    drop(first);
    assert!(streams.open(&settings, opening()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_client_has_no_more_streams_than_it_may() {
    let streams = streams(history::Settings::default());
    let settings = Settings {
        per_ip: std::num::NonZeroUsize::new(1),
        ..Settings::default()
    };
    let first = streams.held(&settings, None).await;
    let source = Source::Public(vec![channel("a")]);
    let opening = Opening {
        session: None,
        head_only: false,
        client: CLIENT,
        last: None,
        wants_stream: true,
        source,
    };
    let refused = streams.open(&Arc::new(settings.clone()), opening).await;
    assert!(matches!(refused, Err(OpenError::Limited(Limit::PerIp))));
    drop(first);
    streams.held(&settings, None).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_skips_past_the_closing_event_ends_all_the_same() {
    let history = history::Settings {
        events: 2,
        lag: crate::domain::ByteSize::bytes(0),
        ..history::Settings::default()
    };
    let streams = streams(history);
    let settings = Settings {
        slow_client: SlowClient::Skip,
        ..Settings::default()
    };
    let mut held = streams.held(&settings, None).await;
    said(&mut held);
    for data in ["1", "2", "3"] {
        streams.publish(event(data));
    }
    streams.publish(Event {
        close: true,
        ..event("end")
    });
    let (text, over) = said(&mut held);
    assert!(over && text.contains("event: reset"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn as_many_frames_as_are_ready_are_given_at_once() {
    use crate::base::handler::Filled;

    let streams = streams(history::Settings::default());
    let mut held = streams.held(&fixed_retry(), None).await;
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = std::collections::VecDeque::new();
    let mut filled = |held: &mut Held, frames: &mut std::collections::VecDeque<_>| {
        frames.clear();
        let filled = held.fill(&mut cx, Instant::now(), frames, &mut Memo::default());
        (filled, frames.len())
    };
    assert_eq!(filled(&mut held, &mut frames), (Filled::Idle, 1));
    // A heartbeat is due, but there is more to say.
    advance(Duration::from_secs(20)).await;
    for _ in 0..40 {
        streams.publish(event("x"));
    }
    assert_eq!(filled(&mut held, &mut frames), (Filled::More, 32));
    assert_eq!(filled(&mut held, &mut frames), (Filled::Idle, 8));
    assert_eq!(filled(&mut held, &mut frames), (Filled::Idle, 0));
    advance(Duration::from_secs(15)).await;
    assert_eq!(filled(&mut held, &mut frames), (Filled::Idle, 1));
    streams.publish(Event {
        close: true,
        ..event("last")
    });
    assert_eq!(filled(&mut held, &mut frames), (Filled::Over, 1));
}
