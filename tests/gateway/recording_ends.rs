//! How a recording begins and ends: with the view, without viewers, beyond its bounds.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::recording::{
    ALICE, events, head, more, open, over, recording, recording_with, says,
};
use crate::support::streaming::{is_reset, texts};
use crate::support::{Backend, EventSource, Gate, Gateway, Reply, until};

const ENDED: &str = "tidegate_recordings_ended_total";

#[tokio::test]
async fn without_viewers_the_request_to_django_ends_after_a_while() {
    let (gateway, mut publisher, backend) =
        recording("linger = \"50ms\"", |_| says("data: 1\n\n").then_hang()).await;
    let mut source = open(&gateway, ALICE).await;
    source.data(1).await;
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 1);
    let last = source.last_event_id().to_owned();
    drop(source);
    backend
        .until("the request ends", |log| log.connections[0].closed)
        .await;
    until("it is forgotten", async || {
        publisher.metric("tidegate_recordings_open").await == 0
    })
    .await;
    assert_eq!(
        publisher
            .metric(&format!("{ENDED}{{reason=\"left\"}}"))
            .await,
        1
    );
    assert_eq!(publisher.metric("tidegate_history_events").await, 0);
    let mut again = open(&gateway, &format!("{ALICE}Last-Event-ID: {last}\r\n")).await;
    is_reset(&mut again, "unknown-id").await;
    assert_eq!(again.data(1).await, ["1"], "a new one, and it says so");
    assert_eq!(backend.count(), 2);
}

#[tokio::test]
async fn who_is_back_within_the_while_keeps_it_going() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, backend) = recording("linger = \"1h\"", move |_| {
        more(says("data: 1\n\n").wait(&view), "data: 2\n\n").then_hang()
    })
    .await;
    let mut source = open(&gateway, ALICE).await;
    source.data(1).await;
    drop(source);
    until("he has left", async || publisher.streams().await == 0).await;
    gate.open();
    until("it goes on", async || {
        publisher.metric("tidegate_events_published_total").await == 2
    })
    .await;
    assert_eq!(open(&gateway, ALICE).await.data(2).await, texts(1..=2));
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_recording_that_has_ended_is_forgotten_after_a_while() {
    let (gateway, mut publisher, backend) =
        recording("linger = \"50ms\"", |_| over(says("data: 1\n\n"))).await;
    let (rest, _, whole) = open(&gateway, ALICE).await.rest().await;
    assert!(rest.len() == 1 && whole);
    until("it is forgotten", async || {
        publisher
            .metric(&format!("{ENDED}{{reason=\"ended\"}}"))
            .await
            == 1
    })
    .await;
    let (rest, _, _) = open(&gateway, ALICE).await.rest().await;
    assert_eq!(
        (rest.len(), backend.count()),
        (1, 2),
        "the view begins anew"
    );
}

#[tokio::test]
async fn a_view_that_breaks_off_is_asked_for_the_rest() {
    let (gateway, _, backend) = recording("", |request| match request.header("last-event-id") {
        None => says(&events(1..=3, true)).then("5\r\ncut").close(),
        Some("v3") => over(says(&events(4..=6, true))),
        Some(other) => Reply::answer("400 Bad Request", "", other),
    })
    .await;
    let target = "/answer/?a=b&lastEventId=";
    let source = EventSource::open_with(&gateway.public, target, ALICE).await;
    let (events, text, whole) = source.rest().await;
    let data: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
    assert!(
        whole && data == texts(1..=6),
        "one stream, and no reset: {text}"
    );
    let again = backend.request(1).await;
    assert_eq!(
        again.target(),
        "/answer/?a=b",
        "the header alone says where"
    );
    assert_eq!(again.header("cookie"), Some("sessionid=alice; theme=dark"));
}

#[tokio::test]
async fn a_view_without_ids_that_begins_anew_is_told_by_a_reset() {
    let (gateway, _, backend) = recording("", |request| match request.number {
        0 => says(&events(1..=3, false)).reset(),
        _ => over(says(&events(1..=6, false))),
    })
    .await;
    let mut source = open(&gateway, ALICE).await;
    assert_eq!(source.data(3).await, texts(1..=3));
    let newest = source.last_event_id().to_owned();
    is_reset(&mut source, "restarted").await;
    assert_eq!(source.data(6).await, texts(1..=6));
    let (rest, _, whole) = source.rest().await;
    assert!(rest.is_empty() && whole);
    let last = backend.request(1).await;
    assert_eq!(last.header("last-event-id"), Some(&*newest));
}

#[tokio::test]
async fn a_view_that_fails_again_and_again_is_asked_less_and_less_often() {
    let (gateway, _, backend) = recording("", |request| {
        let number = u32::try_from(request.number).unwrap();
        says(&events(number..=number, true)).reset()
    })
    .await;
    let mut source = open(&gateway, ALICE).await;
    // What it says each time is no sign that it is well.
    source.data(2).await;
    let began = Instant::now();
    source.data(2).await;
    let took = began.elapsed();
    // About 0.5 and 1 s; after 0.25 s each it would be half of the least.
    assert!(took >= Duration::from_millis(1100), "{took:?}");
    assert_eq!(backend.count(), 4);
}

#[tokio::test]
async fn viewers_stay_while_django_is_away() {
    let mut backend = Backend::start(|_| says(&events(1..=3, true)).then_hang()).await;
    let sse = "[sse]\nheartbeat = \"50ms\"";
    let (gateway, _publisher) = recording_with("", sse, &backend).await;
    let mut source = open(&gateway, ALICE).await;
    source.data(3).await;
    backend.down().await;
    source.heartbeats(3).await;
    backend.script(|request| match request.number % 2 {
        1 => Reply::answer("503 Service Unavailable", "", ""),
        _ => over(says(&events(4..=4, true))),
    });
    backend.up();
    let (rest, _, whole) = source.rest().await;
    assert!(rest.len() == 1 && whole);
    assert_eq!(backend.count(), 3, "503 is no answer");
}

#[tokio::test]
async fn a_refusal_ends_the_streams_and_the_reconnect_is_told() {
    let (gateway, mut publisher, backend) = recording("", |request| match request.number {
        0 => says(&events(1..=3, true)).reset(),
        _ => Reply::answer("403 Forbidden", "", "no more"),
    })
    .await;
    let mut source = open(&gateway, ALICE).await;
    source.data(3).await;
    source.ends().await;
    let lines = format!("{ALICE}Last-Event-ID: v3\r\n");
    let answer = EventSource::try_open(&gateway.public, "/answer/", &lines).await;
    assert_eq!(answer.err().unwrap().text(), "no more");
    assert_eq!(backend.count(), 3);
    until("it is forgotten", async || {
        publisher
            .metric(&format!("{ENDED}{{reason=\"refused\"}}"))
            .await
            == 1
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_too_long_ends_the_recording() {
    let backend = Backend::start(|_| {
        let long = format!("data: {}\n\n", "x".repeat(1025));
        more(says("data: 1\n\n"), &long).then_hang()
    })
    .await;
    let publish = "[publish]\nmax_event = \"1KiB\"";
    let (gateway, mut publisher) = recording_with("", publish, &backend).await;
    let (rest, text, _) = open(&gateway, ALICE).await.rest().await;
    assert!(rest.len() == 1 && rest[0].data == "1", "{text}");
    backend
        .until("the request ends", |log| log.connections[0].closed)
        .await;
    until("it is forgotten", async || {
        publisher
            .metric(&format!("{ENDED}{{reason=\"broken\"}}"))
            .await
            == 1
    })
    .await;
    let end = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "));
    let lines = format!("{ALICE}Last-Event-ID: {}\r\n", end.unwrap());
    let mut again = open(&gateway, &lines).await;
    is_reset(&mut again, "unknown-id").await;
}

#[tokio::test]
async fn beyond_the_bound_answers_pass_through_unrecorded() {
    let backend = Backend::start(|_| says("data: 1\n\n").then_hang()).await;
    // The fewest connections leave room for the fewest recordings.
    let server = "[server]\nmax_connections = 2";
    let (gateway, mut publisher) = recording_with("linger = \"1h\"", server, &backend).await;
    for path in ["/a/", "/b/"] {
        EventSource::open(&gateway.public, path).await.data(1).await;
    }
    until("their places are free", async || {
        publisher.streams().await == 0
    })
    .await;
    let mut third = EventSource::open(&gateway.public, "/c/").await;
    assert_eq!(third.data(1).await, ["1"]);
    assert_eq!(third.head.header("sse-stream"), None);
    assert_eq!(
        publisher.metric("tidegate_recordings_refused_total").await,
        1
    );
    let mut joined = EventSource::open(&gateway.public, "/a/").await;
    assert_eq!(
        joined.data(1).await,
        ["1"],
        "those that are there are joined"
    );
}

#[tokio::test]
async fn streams_of_one_client_are_limited_here_too() {
    let backend = Backend::start(|_| says("data: 1\n\n").then_hang()).await;
    let (gateway, _publisher) = recording_with("", "[sse]\nper_ip = 1", &backend).await;
    let _first = open(&gateway, ALICE).await;
    let second = EventSource::try_open(&gateway.public, "/answer/", ALICE).await;
    assert_eq!(second.err().unwrap().status, 429);
}

#[tokio::test]
async fn the_end_of_the_gateway_ends_recordings() {
    let (gateway, _, backend): (Gateway, _, _) =
        recording("", |_| more(head(""), "data: 1\n\n").then_hang()).await;
    let mut source = open(&gateway, ALICE).await;
    source.data(1).await;
    tokio::join!(gateway.stop(), source.ends());
    backend
        .until("the request ends", |log| log.connections[0].closed)
        .await;
}
