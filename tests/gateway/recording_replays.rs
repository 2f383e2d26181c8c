//! What a viewer of a recording is given, and that it is what the view wrote.

use crate::support::recording::{
    ALICE, events, halves, head, open, over, recording, recording_with, says,
};
use crate::support::streaming::{is_reset, texts};
use crate::support::{Backend, EventSource, Gate, Reply};

async fn resume(gateway: &crate::support::Gateway, last: &str) -> EventSource {
    open(gateway, &format!("{ALICE}Last-Event-ID: {last}\r\n")).await
}

#[tokio::test]
async fn a_page_that_is_loaded_again_goes_on_where_it_was() {
    for ids in [false, true] {
        let gate = Gate::new();
        let view = gate.clone();
        let (gateway, _, backend) = recording("", move |_| halves(&view, ids)).await;
        let mut source = open(&gateway, ALICE).await;
        source.data(2).await;
        let last = source.last_event_id().to_owned();
        assert_eq!(last == "v2", ids, "ids of the view are kept: {last}");
        drop(source);
        gate.open();
        let mut again = resume(&gateway, &last).await;
        assert_eq!(again.data(4).await, texts(3..=6));
        let mut from_start = open(&gateway, ALICE).await;
        assert_eq!(from_start.data(6).await, texts(1..=6));
        assert_eq!(backend.count(), 1);
    }
}

#[tokio::test]
async fn a_late_viewer_may_begin_now() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, _, _backend) = recording("replay = \"new\"", move |_| halves(&view, false)).await;
    let mut first = open(&gateway, ALICE).await;
    assert_eq!(
        first.data(3).await,
        texts(1..=3),
        "the first misses nothing"
    );
    let mut late = open(&gateway, ALICE).await;
    gate.open();
    assert_eq!(late.data(3).await, texts(4..=6));
}

#[tokio::test]
async fn an_id_that_the_recording_does_not_know_gets_one_reset() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, _backend) = recording("", move |_| halves(&view, true)).await;
    let before = publisher.text("elsewhere", "x").await;
    let mut source = open(&gateway, ALICE).await;
    source.data(3).await;
    for last in [&*before, "v9", "ffffffffff-1"] {
        let mut source = resume(&gateway, last).await;
        let reason = "unknown-id";
        is_reset(&mut source, reason).await;
        assert_eq!(source.data(3).await, texts(1..=3), "then all of it: {last}");
    }
}

#[tokio::test]
async fn a_view_that_goes_on_from_an_id_is_not_said_to_lack_anything() {
    let (gateway, _, backend) = recording("", |request| match request.header("last-event-id") {
        Some("v3") => says(&events(4..=6, true)).then_hang(),
        _ => says(&events(1..=6, true)).then_hang(),
    })
    .await;
    let mut source = resume(&gateway, "v3").await;
    assert_eq!(source.data(3).await, texts(4..=6));
    let mut again = resume(&gateway, "v3").await;
    assert_eq!(
        again.data(3).await,
        texts(4..=6),
        "nor is who comes after him"
    );
    let mut fresh = open(&gateway, ALICE).await;
    is_reset(&mut fresh, "history").await;
    assert_eq!(
        fresh.data(3).await,
        texts(4..=6),
        "its beginning is not there"
    );
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_view_is_not_told_an_id_that_it_never_gave() {
    let (gateway, _, backend) = recording("", |_| says("data: 1\n\n").then_hang()).await;
    let mut source = resume(&gateway, "00000000ab-7").await;
    is_reset(&mut source, "unknown-id").await;
    assert_eq!(source.next().await.data, "1");
    assert_eq!(backend.request(0).await.header("last-event-id"), None);
}

#[tokio::test]
async fn nor_does_the_query_tell_a_view_an_id_of_the_gateway() {
    let (gateway, mut publisher, backend) = recording("", |_| says(&events(1..=1, true))).await;
    let own = publisher.text("elsewhere", "x").await;
    let target = format!("/answer/?a=b&lastEventId={own}&last-event-id={own}");
    let _source = EventSource::open_with(&gateway.public, &target, ALICE).await;
    assert_eq!(backend.request(0).await.line(), "GET /answer/?a=b");
}

#[tokio::test]
async fn what_the_view_wrote_comes_as_it_was_meant_however_it_was_cut() {
    let text = ": comment\r\nevent: tick\rdata: ä€😀\ndata:\ndata:  x\r\nid: i1\r\nretry: 700\r\n\r\n\
                data: plain\n\nid: 00000000ab-7\ndata: like ours\n\ndata: unfinished";
    let bytes = text.as_bytes().to_vec();
    let (gateway, _, _backend) = recording("", move |_| {
        let step = |reply: Reply, byte: &u8| reply.then([b"1\r\n", &[*byte][..], b"\r\n"].concat());
        over(bytes.iter().fold(head(""), step))
    })
    .await;
    let mut source = open(&gateway, ALICE).await;
    let first = source.next().await;
    assert_eq!((&*first.event, &*first.data), ("tick", "ä€😀\n\n x"));
    assert_eq!((&*first.id, first.retry), ("i1", Some(700)));
    let second = source.next().await;
    assert_eq!((&*second.event, &*second.data), ("message", "plain"));
    assert!(second.id != "i1", "an id is of one event: {}", second.id);
    let third = source.next().await;
    assert_ne!(third.id, "00000000ab-7");
    let (rest, text, whole) = source.rest().await;
    assert!(
        rest.is_empty() && whole && !text.contains("comment"),
        "{text}"
    );
}

#[tokio::test]
async fn who_comes_after_the_end_gets_the_rest_and_then_204() {
    for ids in [false, true] {
        let (gateway, _, backend) = recording("", move |_| over(says(&events(1..=3, ids)))).await;
        let mut source = open(&gateway, ALICE).await;
        source.data(2).await;
        let half = source.last_event_id().to_owned();
        let (rest, text, whole) = source.rest().await;
        assert!(rest.len() == 1 && whole, "{text}");
        let end = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("id: "));
        let answer = EventSource::try_open(
            &gateway.public,
            "/answer/",
            &format!("{ALICE}Last-Event-ID: {}\r\n", end.unwrap()),
        )
        .await;
        assert_eq!(answer.err().unwrap().status, 204);
        let (rest, _, _) = resume(&gateway, &half).await.rest().await;
        assert_eq!(rest.len(), 1, "who missed the last gets it");
        let (rest, _, whole) = open(&gateway, ALICE).await.rest().await;
        assert!(rest.len() == 3 && whole);
        assert_eq!(backend.count(), 1);
    }
}

#[tokio::test]
async fn a_recording_is_kept_whole_and_beyond_its_memory_there_is_a_reset() {
    let text = events(1..=300, false);
    let long = format!("data: {}\n\n", "x".repeat(20_000)).repeat(40);
    let backend = Backend::start(move |request| match request.target() {
        "/answer/" => says(&text).then_hang(),
        _ => says(&long).then_hang(),
    })
    .await;
    let sse = "[sse]\nhistory = { events = 4, age = \"1ms\" }\nhistory_memory = \"512KiB\"";
    let (gateway, mut publisher) = recording_with("", sse, &backend).await;
    let mut source = open(&gateway, ALICE).await;
    source.data(300).await;
    let mut late = open(&gateway, ALICE).await;
    assert_eq!(
        late.data(300).await,
        texts(1..=300),
        "whatever history says"
    );
    let mut first = EventSource::open(&gateway.public, "/long/").await;
    first.read_past("\n\n").await;
    crate::support::until("the view has said all", async || {
        publisher.metric("tidegate_events_published_total").await == 340
    })
    .await;
    let mut late = EventSource::open(&gateway.public, "/long/").await;
    is_reset(&mut late, "history").await;
    assert!(late.text.len() < 2000, "from now on");
    let memory = publisher.metric("tidegate_history_memory_bytes").await;
    assert!(memory <= 512 << 10, "{memory}");
}

#[tokio::test]
async fn heartbeats_are_the_gateways() {
    let backend = Backend::start(|_| says("data: 1\n\n").then_hang()).await;
    let (gateway, _publisher) = recording_with("", "[sse]\nheartbeat = \"30ms\"", &backend).await;
    let mut source = open(&gateway, ALICE).await;
    source.heartbeats(3).await;
}
