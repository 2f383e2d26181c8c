//! What the answer to a viewer does beside being recorded, and who is refused before anything is recorded for him.

use crate::support::recording::{ALICE, BOB, head, more, open, recording_with, says};
use crate::support::{
    Backend, Conn, EventSource, Gate, Gateway, Publisher, Reply, gateway, until, within,
};

#[tokio::test]
async fn an_answer_counts_also_when_the_viewer_has_left_before_it() {
    let gate = Gate::new();
    let view = gate.clone();
    let backend = Backend::start(move |request| match request.target() {
        "/quiet/" => says("data: 1\n\n").then_hang(),
        _ => {
            let lines = "Set-Cookie: sessionid=\"\"; Max-Age=0\r\n\
                         SSE-Publish: {\"channel\":\"news\",\"data\":\"said\"}\r\n";
            more(head(lines), "data: 2\n\n").then_hang().after(&view)
        }
    })
    .await;
    let (gateway, mut publisher) = announcing(&backend).await;
    let mut news = EventSource::open(&gateway.public, "/news/").await;
    let mut mine = EventSource::open_with(&gateway.public, "/quiet/", ALICE).await;
    mine.data(1).await;
    let open = "tidegate_connections_open";
    let before = publisher.metric(open).await;
    let mut conn = Conn::open(&gateway.public).await;
    let wants = "Accept: text/event-stream\r\n";
    conn.send(format!(
        "GET /answer/ HTTP/1.1\r\nHost: site.test\r\n{wants}{ALICE}\r\n"
    ))
    .await;
    backend.request(1).await;
    drop(conn);
    until("the gateway to see him leave", async || {
        publisher.metric(open).await == before
    })
    .await;
    gate.open();
    // Heartbeats would go on for ever.
    let said = within("what he said", news.data(1)).await;
    assert_eq!(said, ["said"]);
    within("the end of his session", mine.ends()).await;
    backend
        .until("nobody views it", |log| log.connections[1].closed)
        .await;
}

#[tokio::test]
async fn what_a_view_publishes_by_the_head_of_its_stream_is_published_once() {
    let backend = Backend::start(|_| {
        let lines = "SSE-Publish: {\"channel\":\"news\",\"data\":\"said\"}\r\n";
        more(head(lines), "data: 1\n\n").then_hang()
    })
    .await;
    let (gateway, mut publisher) = announcing(&backend).await;
    let mut news = EventSource::open(&gateway.public, "/news/").await;
    for _ in 0..2 {
        let mut source = open(&gateway, ALICE).await;
        assert_eq!(source.data(1).await, ["1"]);
        assert_eq!(source.head.header("sse-publish"), None);
    }
    publisher.text("news", "last").await;
    assert_eq!(news.data(2).await, ["said", "last"]);
}

#[tokio::test]
async fn a_viewer_who_is_refused_a_place_begins_nothing() {
    let backend = Backend::start(|_| says("data: 1\n\n").then_hang()).await;
    let (gateway, mut publisher) =
        recording_with("linger = \"1h\"", "[sse]\nper_ip = 1", &backend).await;
    let _first = open(&gateway, ALICE).await;
    let refused = EventSource::try_open(&gateway.public, "/other/", BOB).await;
    assert_eq!(refused.err().unwrap().status, 429);
    assert_eq!(backend.count(), 1, "Django was not asked");
    // Who does not say what he wants may get a page; where it is a stream, it is dropped.
    let mut conn = Conn::open(&gateway.public).await;
    let request = format!("GET /other/ HTTP/1.1\r\nHost: site.test\r\n{BOB}\r\n");
    assert_eq!(conn.ask(request).await.status, 429);
    backend
        .until("it is dropped", |log| log.connections[1].closed)
        .await;
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 1);
    let refused = "tidegate_streams_refused_total{reason=\"per_ip\"}";
    assert_eq!(publisher.metric(refused).await, 2);
}

#[tokio::test]
async fn who_has_no_place_for_a_stream_gets_pages_all_the_same() {
    let backend = Backend::start(|request| match request.header("accept") {
        Some("text/event-stream") => says("data: 1\n\n").then_hang(),
        _ => Reply::ok("a page"),
    })
    .await;
    let (gateway, _) = recording_with("", "[sse]\nper_ip = 1", &backend).await;
    let _first = open(&gateway, ALICE).await;
    let page = crate::support::get(&gateway.public, "/answer/").await;
    assert_eq!((page.status, page.text()), (200, "a page"));
}

/// A gateway that records every path but `/news/`, and whose views may publish there.
async fn announcing(backend: &Backend) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!(
        "{}[[route]]\npath = \"/news/\"\nsse = {{ channels = [\"news\"], public = true }}\n\
         [[route]]\npath = \"/<path:rest>\"\nproxy = {{ to = \"django\", record = {{ linger = \"1h\" }} }}\n",
        gateway::upstream(&backend.address, "publish = true"),
    ))
    .await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}
