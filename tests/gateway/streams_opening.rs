//! How a held stream begins, over HTTP/2 too, and which request opens none.

use serde_json::json;

use crate::support::streaming::{ROUTES, site};
use crate::support::{Backend, Conn, EventSource, Gateway, Reply, gateway, get, until};

#[tokio::test]
async fn a_stream_begins_at_once_with_retry_a_comment_and_its_place() {
    let (gateway, mut publisher) = site("").await;
    let here = publisher.get("/v1/stats").await.json()["last_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    source.read_past("\n\n").await;
    assert_eq!(
        source.text,
        format!("retry: 3000\n: stream open\nid: {here}\n\n")
    );
    assert_eq!(source.last_event_id(), here);
    assert_eq!(
        source.head.header("cache-control"),
        Some("no-cache, no-transform")
    );
    assert_eq!(source.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(source.head.header("content-length"), None);
    assert_eq!(source.stream().len(), 32);
    let other = EventSource::open(&gateway.public, "/events/").await;
    assert_ne!(source.stream(), other.stream());
    let mut named = EventSource::open(&gateway.public, "/named/").await;
    let open = named.next().await;
    assert_eq!(open.event, "open");
    assert_eq!(open.data, format!("{{\"stream\":\"{}\"}}", named.stream()));
}

#[tokio::test]
async fn head_gets_the_head_only_and_opens_nothing() {
    let (gateway, mut publisher) = site("").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("HEAD /events/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = conn.answer_to("HEAD").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert_eq!(
        conn.ask("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .status,
        404
    );
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn only_get_and_head_open_a_public_stream() {
    let (gateway, _) = site("").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask("POST /events/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[tokio::test]
async fn a_path_that_hides_a_separator_or_names_no_channel_opens_nothing() {
    let (gateway, mut publisher) = site("").await;
    for target in ["/paths/a%2fb", "/paths/a%2Fb"] {
        assert_eq!(get(&gateway.public, target).await.status, 400, "{target}");
    }
    for target in ["/paths/a%5cb", "/paths/a\\b", "/paths/a%252fb"] {
        assert!(
            matches!(get(&gateway.public, target).await.status, 400 | 404),
            "{target}"
        );
    }
    // `<str:room>` takes no slash, however it is written.
    for target in ["/rooms/a%2fb/", "/rooms/a%5cb/"] {
        assert!(
            matches!(get(&gateway.public, target).await.status, 400 | 404),
            "{target}"
        );
    }
    for target in [
        "/rooms/a,b/",
        "/rooms/a%20b/",
        "/rooms/%C3%A4/",
        "/rooms/a*/",
        "/rooms/a%3Fb/",
    ] {
        assert_eq!(get(&gateway.public, target).await.status, 404, "{target}");
    }
    let long = "r".repeat(300);
    assert_eq!(
        get(&gateway.public, &format!("/rooms/{long}/"))
            .await
            .status,
        404
    );
    assert_eq!(publisher.streams().await, 0);
    let mut room = EventSource::open(&gateway.public, "/rooms/a-1:x@y/").await;
    assert_eq!(
        publisher
            .publish(json!({"channel": "room-a-1:x@y", "data": "in"}))
            .await["streams"],
        1
    );
    assert_eq!(room.next().await.data, "in");
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_no_more() {
    let gateway = Gateway::start(&format!("[sse]\nper_ip = 2\n{ROUTES}")).await;
    let mut publisher = gateway.publisher().await;
    let first = EventSource::open(&gateway.public, "/events/").await;
    let _second = EventSource::open(&gateway.public, "/both/").await;
    let refused = get(&gateway.public, "/events/").await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    let metric = "tidegate_streams_refused_total{reason=\"per_ip\"}";
    assert_eq!(publisher.metric(metric).await, 1);
    drop(first);
    until("one place is free", async || publisher.streams().await == 1).await;
    EventSource::open(&gateway.public, "/events/").await;
}

#[tokio::test]
async fn a_client_has_a_hundred_streams_unless_the_file_says_more() {
    let gateway = Gateway::start(ROUTES).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(EventSource::open(&gateway.public, "/events/").await);
    }
    assert_eq!(get(&gateway.public, "/both/").await.status, 429);
    let gateway = Gateway::start(&format!("[sse]\nper_ip = 0\n{ROUTES}")).await;
    for _ in 0..=100 {
        held.push(EventSource::open(&gateway.public, "/events/").await);
    }
}

#[tokio::test]
async fn streams_over_http_2_share_one_connection() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let text = format!(
        "[sse]\nper_ip = 0\n{}{ROUTES}",
        gateway::upstream(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    let address = gateway.public.clone();
    let mut streams = tokio::task::JoinSet::new();
    let http2 = std::sync::Arc::new(tokio::sync::Mutex::new(
        crate::support::http2::Http2::open(&address).await,
    ));
    // One after the other over the same connection: each ends by the close of its channel.
    streams.spawn(async move {
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let request = http::Request::get("http://site.test/events/")
                .body(http_body_util::Full::default())
                .unwrap();
            bodies.push(http2.lock().await.send(request).await.unwrap());
        }
        bodies
    });
    for _ in 0..2 {
        until("a stream", async || publisher.streams().await == 1).await;
        publisher
            .publish(json!({"channel": "news", "data": "bye", "close": true}))
            .await;
        until("no stream", async || {
            publisher
                .metric("tidegate_streams_ended_total{reason=\"closed\"}")
                .await
                >= 1
        })
        .await;
    }
    for answer in streams.join_next().await.unwrap().unwrap() {
        assert!(
            answer.whole
                && String::from_utf8(answer.body)
                    .unwrap()
                    .contains("data: bye\n\n")
        );
        assert!(!answer.head.headers.contains_key("transfer-encoding"));
    }
}
