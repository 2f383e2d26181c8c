//! The end of a gateway: nobody is cut off in the middle, nobody is kept for ever.

use std::time::Duration;

use serde_json::json;

use crate::support::recording;
use crate::support::streaming::texts;
use crate::support::{
    Backend, Conn, EventSource, Gate, Gateway, Reply, gateway, get, until, within,
};

const STREAM: &str =
    "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";

async fn site(backend: &Backend, server: &str) -> Gateway {
    let upstream = gateway::upstream(&backend.address, "");
    Gateway::start(&format!(
        "[server]\n{server}\n[sse]\nper_ip = 0\n{upstream}{STREAM}{}",
        gateway::PROXY
    ))
    .await
}

#[tokio::test]
async fn streams_are_ended_with_a_retry_and_what_was_published_before() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = site(&backend, "drain = \"5s\"\ndrain_spread = \"100ms\"").await;
    let mut sources = Vec::new();
    for _ in 0..10 {
        sources.push(EventSource::open(&gateway.public, "/events/").await);
    }
    gateway
        .publisher()
        .await
        .publish(json!({"channel": "news", "data": "last"}))
        .await;
    let mut over_http2 = crate::support::http2::Http2::open(&gateway.public).await;
    let request = http::Request::get("http://site.test/events/")
        .body(http_body_util::Full::default())
        .unwrap();
    let mut listening = tokio::task::JoinSet::new();
    listening.spawn(async move { over_http2.send(request).await });
    let mut publisher = gateway.publisher().await;
    until("eleven streams", async || publisher.streams().await == 11).await;
    gateway.drain().await;
    for source in sources {
        let (events, text, whole) = source.rest().await;
        assert_eq!(events.len(), 1);
        assert!(whole && events[0].data == "last", "{text:?}");
        assert_eq!(
            text.matches("retry: ").count(),
            2,
            "one at the start, one to spread the reconnects: {text:?}"
        );
    }
    let answer = listening.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.whole, "{:?}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn a_request_in_flight_finishes_while_new_connections_are_refused_and_readyz_says_so() {
    let gate = Gate::new();
    let reply = Reply::ok("finished").after(&gate);
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = site(&backend, "drain = \"15s\"\ndrain_spread = \"0s\"").await;
    let (public, internal) = (gateway.public.clone(), gateway.internal.clone());
    assert_eq!(get(&internal, "/readyz").await.status, 200);
    let mut conn = Conn::open(&public).await;
    conn.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    backend.request(0).await;
    let mut ending = tokio::task::JoinSet::new();
    ending.spawn(gateway.drain());
    until("readyz says no", async || {
        get(&internal, "/readyz").await.status == 503
    })
    .await;
    assert_eq!(
        get(&internal, "/healthz").await.status,
        200,
        "alive, but not ready"
    );
    let tidegate::server::Address::Tcp(address) = &public else {
        panic!()
    };
    until("new connections are refused", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    gate.open();
    let answer = conn.answer().await;
    assert_eq!((answer.text(), answer.whole), ("finished", true));
    conn.ending().await;
    within("the end", ending.join_next())
        .await
        .unwrap()
        .unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off_when_the_time_is_over() {
    let backend = Backend::start(|_| Reply::hang()).await;
    let gateway = site(&backend, "drain = \"300ms\"").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
    backend.request(0).await;
    let before = tokio::time::Instant::now();
    gateway.drain().await;
    assert!(before.elapsed() < Duration::from_secs(10));
    assert!(conn.rest().await.is_empty(), "no answer is made up");
    backend
        .until("Django's side is closed", |log| log.connections[0].closed)
        .await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = site(&backend, "drain = \"15s\"\ndrain_spread = \"0s\"").await;
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(
        conn.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status,
        200
    );
    let fresh = Conn::open(&gateway.public).await;
    let before = tokio::time::Instant::now();
    gateway.drain().await;
    assert!(
        before.elapsed() < Duration::from_secs(10),
        "{:?}",
        before.elapsed()
    );
    conn.ending().await;
    drop(fresh);
}

#[tokio::test]
async fn the_quick_end_is_quick_with_two_hundred_streams_open() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = site(&backend, "drain = \"25s\"").await;
    let mut sources = Vec::new();
    for _ in 0..200 {
        sources.push(EventSource::open(&gateway.public, "/events/").await);
    }
    assert!(gateway.stop().await < Duration::from_secs(5));
    for source in sources {
        source.ends().await;
    }
}

#[tokio::test]
async fn nobody_waits_for_the_turn_of_streams_that_have_left() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = site(&backend, "drain = \"15s\"\ndrain_spread = \"12s\"").await;
    let mut sources = Vec::new();
    for _ in 0..200 {
        sources.push(EventSource::open(&gateway.public, "/events/").await);
    }
    let mut publisher = gateway.publisher().await;
    let began = tokio::time::Instant::now();
    let mut ending = tokio::task::JoinSet::new();
    ending.spawn(gateway.drain());
    until("the first has ended", async || {
        publisher.streams().await < 200
    })
    .await;
    drop(sources);
    ending.join_next().await.unwrap().unwrap();
    // A turn every 50 ms would have taken ten seconds.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn the_sockets_files_are_gone_afterwards() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = site(&backend, "").await;
    let tidegate::server::Address::Unix(path) = gateway.public_unix.clone() else {
        panic!()
    };
    assert!(path.exists());
    gateway.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_recorded_answer_to_a_post_goes_on_to_its_end() {
    let gate = Gate::new();
    let view = gate.clone();
    let backend = Backend::start(move |_| recording::halves(&view, true)).await;
    let server = "[server]\ndrain = \"5s\"\ndrain_spread = \"10ms\"";
    let (gateway, _) = recording::recording_with("", server, &backend).await;
    let open = EventSource::open_with(&gateway.public, "/", recording::ALICE).await;
    let posted = EventSource::try_post(&gateway.public, "/", recording::ALICE, "x").await;
    let mut posted = posted.ok().unwrap();
    assert_eq!(posted.data(3).await, texts(1..=3));
    let reading = async {
        // That of the GET can be had again.
        assert!(open.rest().await.2);
        gate.open();
        assert_eq!(posted.data(3).await, texts(4..=6));
        posted.ends().await;
    };
    tokio::join!(gateway.drain(), reading);
}

#[tokio::test]
async fn one_without_an_end_is_cut_off_with_the_requests() {
    let backend = Backend::start(|_| recording::says("data: 1\n\n").then_hang()).await;
    let server = "[server]\ndrain = \"200ms\"\ndrain_spread = \"10ms\"";
    let (gateway, _) = recording::recording_with("", server, &backend).await;
    let posted = EventSource::try_post(&gateway.public, "/", recording::ALICE, "x").await;
    let mut posted = posted.ok().unwrap();
    assert_eq!(posted.data(1).await, ["1"]);
    gateway.drain().await;
    let (_, _, whole) = posted.rest().await;
    assert!(!whole, "its reader knows that there was more");
}
