//! Django cannot answer an ask: the stream is held, told to come back or refused, and a POST is not repeated.

use std::time::Duration;

use serde_json::json;

use crate::support::asking::{answering, granted, site, site_with};
use crate::support::{Backend, Conn, EventSource, Reply, get};

/// What Django does when it cannot answer, and the status of `fail`.
fn downs() -> [(&'static str, Reply, u16); 5] {
    [
        (
            "429",
            Reply::answer("429 Too Many Requests", "Retry-After: 7\r\n", ""),
            429,
        ),
        (
            "500",
            Reply::answer("500 Internal Server Error", "", "oops"),
            500,
        ),
        ("503", Reply::answer("503 Service Unavailable", "", ""), 503),
        ("reset", Reply::default().reset(), 502),
        ("timeout", Reply::hang(), 504),
    ]
}

const KEYS: &str = "response_timeout = \"500ms\"";

#[tokio::test]
async fn with_hold_a_new_stream_waits_on_heartbeats_and_misses_nothing() {
    for (name, reply, _) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let (gateway, mut publisher) =
            site_with("ask = \"django\", heartbeat = \"50ms\"", KEYS, &backend).await;
        let mut source = EventSource::open(&gateway.public, "/events/").await;
        source.heartbeats(1).await;
        publisher.text("news", "meanwhile").await;
        source.heartbeats(2).await;
        assert!(
            !source.text.contains("meanwhile"),
            "{name}: nobody has allowed it"
        );
        backend.script(|_| granted("SSE-Retry: 7000\r\n"));
        assert_eq!(source.next().await.data, "meanwhile", "{name}");
        assert!(source.text.contains("retry: 7000\n"), "{name}");
        publisher.text("news", "live").await;
        assert_eq!(source.next().await.data, "live", "{name}");
    }
}

#[tokio::test]
async fn with_hold_a_stream_outlives_a_django_that_is_not_there() {
    let mut backend = Backend::start(|_| granted("")).await;
    backend.down().await;
    let (gateway, mut publisher) = site(&backend).await;
    let before = tokio::time::Instant::now();
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "the 200 does not wait for `retry_for`"
    );
    publisher.text("news", "meanwhile").await;
    backend.up();
    assert_eq!(source.next().await.data, "meanwhile");
}

#[tokio::test]
async fn a_held_stream_that_comes_back_with_an_id_gets_what_it_missed() {
    let (gateway, mut publisher, backend) = answering(|_| granted("")).await;
    let id = publisher.text("news", "seen").await;
    publisher.text("news", "missed").await;
    backend.script(|_| Reply::answer("503 Service Unavailable", "", ""));
    let mut source = EventSource::resume(&gateway.public, "/events/", &id).await;
    source.heartbeats(1).await;
    assert_eq!(
        source.last_event_id(),
        "",
        "a client cut off now must come back with its own id"
    );
    publisher.text("news", "live").await;
    backend.script(|_| granted(""));
    assert_eq!(source.data(2).await, ["missed", "live"]);
}

#[tokio::test]
async fn a_held_stream_that_is_refused_ends_and_the_reconnect_gets_the_status() {
    let (gateway, mut publisher, backend) = answering(|_| Reply::answer("500 Oops", "", "")).await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    source.heartbeats(1).await;
    publisher.text("news", "secret").await;
    backend.script(|_| Reply::answer("403 Forbidden", "", "no"));
    let (events, text, whole) = source.rest().await;
    assert!(whole && events.is_empty(), "{text}");
    assert_eq!(get(&gateway.public, "/events/").await.status, 403);
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn with_retry_a_stream_is_told_to_come_back() {
    for (name, reply, _) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let (gateway, _) =
            site_with("ask = \"django\", backend_down = \"retry\"", KEYS, &backend).await;
        let (events, text, whole) = EventSource::open(&gateway.public, "/events/")
            .await
            .rest()
            .await;
        assert_eq!(
            (&*text, whole, events.len()),
            ("retry: 3000\n\n", true, 0),
            "{name}"
        );
    }
}

#[tokio::test]
async fn with_fail_the_client_gets_the_status() {
    for (name, reply, status) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let (gateway, _) =
            site_with("ask = \"django\", backend_down = \"fail\"", KEYS, &backend).await;
        let answer = get(&gateway.public, "/events/").await;
        assert_eq!(answer.status, status, "{name}");
        if name == "429" {
            assert_eq!(answer.header("retry-after"), Some("7"));
        }
    }
    let mut backend = Backend::start(|_| granted("")).await;
    backend.down().await;
    let (gateway, _) = site_with("ask = \"django\", backend_down = \"fail\"", "", &backend).await;
    assert_eq!(get(&gateway.public, "/events/").await.status, 502);
}

const POST: &str = "POST /events/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nquery";

#[tokio::test]
async fn a_post_may_ask_with_its_body_and_is_never_repeated() {
    let (gateway, mut publisher, backend) = answering(|_| granted("")).await;
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask_head(POST).await, 200);
    let ask = backend.request(0).await;
    assert_eq!(
        (ask.line(), &*ask.body, ask.header("sse-ask")),
        ("POST /events/", &b"query"[..], Some("1"))
    );
    assert_eq!(
        publisher
            .publish(json!({"channel": "news", "data": ""}))
            .await["streams"],
        1
    );
    drop(conn);
    for (name, reply, _) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        for down in ["hold", "retry", "fail"] {
            let before = backend.count();
            let (gateway, _) = site_with(
                &format!("ask = \"django\", backend_down = \"{down}\""),
                KEYS,
                &backend,
            )
            .await;
            let answer = Conn::open(&gateway.public).await.ask(POST).await;
            assert_eq!(answer.status, 503, "{name} {down}");
            assert!(answer.header("retry-after").is_some(), "{name} {down}");
            assert_eq!(backend.count(), before + 1, "{name} {down}: sent once");
        }
    }
    let mut backend = Backend::start(|_| granted("")).await;
    backend.down().await;
    let (gateway, _) = site(&backend).await;
    assert_eq!(
        Conn::open(&gateway.public).await.ask(POST).await.status,
        503
    );
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn five_restarts_of_django_close_no_stream_and_lose_no_event() {
    let mut backend = Backend::start_unix(|_| granted("SSE-Expires: 1\r\n")).await;
    let (gateway, mut publisher) = site(&backend).await;
    let mut sources = Vec::new();
    for _ in 0..50 {
        sources.push(EventSource::open(&gateway.public, "/events/").await);
    }
    let mut published = 0;
    for round in 0..5 {
        backend.down().await;
        sources.push(EventSource::open(&gateway.public, "/events/").await);
        for _ in 0..10 {
            publisher.text("news", &published.to_string()).await;
            published += 1;
        }
        backend.up();
        let expected: Vec<_> = (published - 10..published)
            .map(|n: u32| n.to_string())
            .collect();
        for (number, source) in sources.iter_mut().enumerate() {
            assert_eq!(
                source.data(10).await,
                expected,
                "stream {number} in round {round}"
            );
        }
    }
    assert_eq!(publisher.metric("tidegate_streams_open").await, 55);
}
