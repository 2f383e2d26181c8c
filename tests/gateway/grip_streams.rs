//! Streams that Django opens by its answer, in the way of GRIP: nothing is lost, whatever happens around them.

use std::io::Write as _;

use http::Request;
use http_body_util::{BodyExt, Full};

use crate::support::grip::{item, next, site, site_with, stream};
use crate::support::http2::Http2;
use crate::support::{Backend, Conn, EventSource, Gate, Reply, until, within};

const LINK: &str = "Grip-Link: </next>; rel=next\r\n";

#[tokio::test]
async fn what_is_published_while_django_is_asked_comes_after_the_body() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, backend) =
        site(move |_| stream("c", "", "data: first\n\n").after(&view)).await;
    let address = gateway.public.clone();
    let mut opening = tokio::task::JoinSet::new();
    opening.spawn(async move { EventSource::open(&address, "/").await });
    backend.request(0).await;
    publisher.items(&[item("c", "data: early\n\n")]).await;
    gate.open();
    let mut source = within("the stream", opening.join_next())
        .await
        .unwrap()
        .unwrap();
    assert!(!source.head.head.to_lowercase().contains("grip-"));
    publisher.items(&[item("c", "data: late\n\n")]).await;
    assert_eq!(source.data(3).await, ["first", "early", "late"]);
}

#[tokio::test]
async fn a_site_without_grip_has_its_answers_passed_on_without_the_instructions() {
    let backend = Backend::start(|_| stream("c", LINK, "data: all\n\n")).await;
    let (gateway, _) = site_with("false", "", &backend).await;
    let (events, _, clean) = EventSource::open(&gateway.public, "/").await.rest().await;
    assert!(events.len() == 1 && clean);
    let asked = backend.request(0).await;
    assert!(asked.header("grip-sig").is_none() && asked.header("grip-feature").is_none());
}

#[tokio::test]
async fn over_http2_it_is_the_same_stream() {
    let (gateway, mut publisher, _backend) = site(|_| stream("c", "", "data: 1\n\n")).await;
    let mut client = Http2::open(&gateway.public).await;
    let request = Request::get("http://site.test/")
        .body(Full::default())
        .unwrap();
    let mut answer = client.begin(request).await.unwrap();
    publisher.items(&[item("c", "data: 2\n\n")]).await;
    publisher
        .items(&[serde_json::json!({"channel": "c", "http-stream": {"action": "close"}})])
        .await;
    let mut text = Vec::new();
    while let Some(frame) = within("a frame", answer.body_mut().frame()).await {
        text.extend(frame.unwrap().into_data().unwrap());
    }
    assert_eq!(text, b"data: 1\n\ndata: 2\n\n");
}

#[tokio::test]
async fn a_logout_ends_what_was_opened_with_the_session() {
    let (gateway, _, _backend) = site(|request| match request.target() {
        "/logout" => Reply::answer("200 OK", "Set-Cookie: sessionid=; Max-Age=0\r\n", ""),
        _ => stream("c", "", "data: 1\n\n"),
    })
    .await;
    let cookie = "Cookie: sessionid=alice\r\n";
    let mut mine = EventSource::open_with(&gateway.public, "/", cookie).await;
    let mut other = EventSource::open(&gateway.public, "/").await;
    assert_eq!(
        (mine.data(1).await, other.data(1).await.len()),
        (vec!["1".into()], 1)
    );
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(format!(
        "GET /logout HTTP/1.1\r\nHost: site.test\r\n{cookie}\r\n"
    ))
    .await;
    within("its end", mine.ends()).await;
    assert!(
        conn.is_silent_for(std::time::Duration::from_millis(50))
            .await
    );
    drop(other);
}

#[tokio::test]
async fn a_drain_delivers_what_was_published_and_says_that_the_client_is_gone() {
    let (gateway, mut publisher, backend) = site(|request| match request.target() {
        "/bye" => Reply::ok(""),
        _ => stream("c", "Grip-Link: </bye>; rel=gone\r\n", "data: 1\n\n"),
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.data(1).await, ["1"]);
    publisher.items(&[item("c", "data: 2\n\n")]).await;
    gateway.stop().await;
    let (events, _, clean) = source.rest().await;
    assert!(clean && events.len() == 1 && events[0].data == "2");
    let gone = backend.request(1).await;
    assert!(gone.line().eq("POST /bye") && gone.header("cookie").is_none());
    assert_eq!(gone.header("content-length"), Some("0"));
}

#[tokio::test]
async fn a_backend_that_is_away_closes_no_stream_and_nothing_is_lost() {
    let mut backend = Backend::start(|request| match request.target() {
        "/next" => stream("c; prev-id=3", LINK, "data: 2\n\ndata: 3\n\n"),
        _ => stream("c; prev-id=1", LINK, "data: 1\n\n"),
    })
    .await;
    let (gateway, mut publisher) = site_with("true", "", &backend).await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.data(1).await, ["1"]);
    backend.down().await;
    // 2 was lost: what follows it cannot be sent, and nobody can be asked.
    publisher.items(&[serde_json::json!({
        "channel": "c", "id": "3", "prev-id": "2", "no-seq": true, "http-stream": {"content": "data: no\n\n"},
    })]).await;
    until("it was asked for in vain", async || {
        publisher
            .metric("tidegate_links_followed_total{outcome=\"down\"}")
            .await
            > 0
    })
    .await;
    backend.up();
    assert_eq!(source.data(2).await, ["2", "3"]);
    publisher.items(&[next("c", 4, "data: 4\n\n")]).await;
    assert_eq!(source.data(1).await, ["4"]);
    let asked = backend.request(1).await;
    assert_eq!(
        (asked.target(), asked.header("grip-last")),
        ("/next", Some("c; last-id=1"))
    );
}

#[tokio::test]
async fn what_does_not_follow_is_asked_for_once() {
    let (gateway, mut publisher, backend) = site(|request| match request.target() {
        "/next" => stream("c; prev-id=1", LINK, ""),
        _ => stream("c; prev-id=1", LINK, "data: 1\n\n"),
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.data(1).await, ["1"]);
    // Nothing that Django knows of.
    publisher.items(&[item("c", "data: stray\n\n")]).await;
    backend.request(1).await;
    publisher.items(&[next("c", 2, "data: 2\n\n")]).await;
    assert_eq!(source.data(1).await, ["2"]);
    publisher.items(&[next("c", 3, "data: 3\n\n")]).await;
    assert_eq!(source.data(1).await, ["3"]);
    assert_eq!(backend.count(), 2, "the first request and one link");
}

#[tokio::test]
async fn a_busy_channel_without_ids_does_not_hide_what_another_has_kept() {
    let (gateway, mut publisher, backend) =
        site(|_| stream("news; prev-id=5, ticker", LINK, "data: news 5\n\n")).await;
    publisher
        .items(&[
            next("news", 5, "data: news 5\n\n"),
            next("news", 6, "data: news 6\n\n"),
        ])
        .await;
    let ticks: Vec<_> = (0..600)
        .map(|number| item("ticker", &format!("data: {number}\n\n")))
        .collect();
    publisher.items(&ticks).await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    publisher
        .items(&[
            item("ticker", "data: tick\n\n"),
            next("news", 7, "data: news 7\n\n"),
        ])
        .await;
    assert_eq!(source.data(4).await, ["news 5", "news 6", "tick", "news 7"]);
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_no_link_from_others() {
    let page = "x".repeat(3 << 20);
    let (gateway, _, _backend) = {
        let backend = Backend::start(move |request| match request.target() {
            "/big" => {
                let lines = "Content-Type: text/event-stream\r\nGrip-Link: </end>; rel=next\r\n";
                Reply::answer("200 OK", lines, &page)
            }
            "/small" => {
                let lines = "Content-Type: text/event-stream\r\nGrip-Link: </end>; rel=next\r\n";
                Reply::answer("200 OK", lines, "data: 1\n\n")
            }
            _ => Reply::ok("data: end\n\n"),
        })
        .await;
        let (gateway, publisher) = site_with("{ links_at_once = 1 }", "", &backend).await;
        (gateway, publisher, backend)
    };
    let mut deaf = Conn::open(&gateway.public).await;
    deaf.send("GET /big HTTP/1.1\r\nHost: site.test\r\n\r\n")
        .await;
    deaf.head().await;
    let mut source = EventSource::open(&gateway.public, "/small").await;
    assert_eq!(source.data(2).await, ["1", "end"]);
}

#[tokio::test]
async fn an_answer_that_switches_protocols_is_no_answer_though_it_says_how_to_hold_it() {
    let (gateway, _, _backend) = site(|_| {
        let lines = "Connection: Upgrade\r\nUpgrade: x\r\nGrip-Hold: stream\r\nGrip-Channel: c\r\n";
        Reply::raw(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n"))
    })
    .await;
    let answer = crate::support::get(&gateway.public, "/").await;
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn a_close_from_before_a_client_came_is_not_for_it() {
    let (gateway, mut publisher, _backend) =
        site(|_| stream("c; prev-id=6", LINK, "data: 6\n\n")).await;
    let close = serde_json::json!({"action": "close"});
    publisher.items(&[next("c", 6, "data: 6\n\n")]).await;
    publisher
        .items(&[
            serde_json::json!({"channel": "c", "id": "7", "prev-id": "6", "http-stream": close}),
        ])
        .await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.data(1).await, ["6"]);
    publisher.items(&[next("c", 8, "data: 8\n\n")]).await;
    assert_eq!(source.data(1).await, ["8"]);
    publisher
        .items(&[
            serde_json::json!({"channel": "c", "id": "9", "prev-id": "8", "http-stream": close}),
        ])
        .await;
    within("its end", source.ends()).await;
}

#[tokio::test]
async fn a_recovery_while_django_is_asked_is_not_missed() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, backend) = site(move |request| match request.target() {
        "/next" => stream("c; prev-id=2", LINK, "data: 2\n\n"),
        _ => stream("c; prev-id=1", LINK, "data: 1\n\n").after(&view),
    })
    .await;
    let address = gateway.public.clone();
    let mut opening = tokio::task::JoinSet::new();
    opening.spawn(async move { EventSource::open(&address, "/").await });
    backend.request(0).await;
    let recovered = publisher.request("POST", "/recover/", "", b"").await;
    assert_eq!(recovered.text(), "Updated\n");
    gate.open();
    let mut source = within("the stream", opening.join_next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(source.data(2).await, ["1", "2"]);
}

#[tokio::test]
async fn quiet_streams_follow_their_links_one_after_the_other() {
    let gate = Gate::new();
    let view = gate.clone();
    let backend = Backend::start(move |request| match request.target() {
        "/next" => stream("c", "", "data: next\n\n").after(&view),
        _ => stream(
            "c",
            "Grip-Link: </next>; rel=next; timeout=0\r\n",
            "data: first\n\n",
        ),
    })
    .await;
    let (gateway, mut publisher) = site_with("{ links_at_once = 1 }", "", &backend).await;
    let mut sources = Vec::new();
    for _ in 0..3 {
        sources.push(EventSource::open(&gateway.public, "/").await);
    }
    for source in &mut sources {
        assert_eq!(source.data(1).await, ["first"]);
    }
    // Who waits for its turn goes on meanwhile; whose link is followed does not.
    publisher.items(&[item("c", "data: item\n\n")]).await;
    gate.open();
    for source in &mut sources {
        let mut data = source.data(2).await;
        data.sort_unstable();
        assert_eq!(data, ["item", "next"]);
    }
}

#[tokio::test]
async fn who_reads_too_slowly_is_given_the_rest_by_django() {
    let (gateway, mut publisher, backend) = site(|request| match request.target() {
        "/next" => stream("c; prev-id=2000", LINK, "data: the rest\n\n"),
        _ => stream("c; prev-id=0", LINK, "data: 0\n\n"),
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.data(1).await, ["0"]);
    // Nobody reads meanwhile, and the log keeps far less.
    let content = format!("data: {}\n\n", "x".repeat(60_000));
    for start in (0..2000).step_by(50) {
        let items: Vec<_> = (start + 1..=start + 50)
            .map(|id| next("c", id, &content))
            .collect();
        publisher.items(&items).await;
    }
    let mut last = source.next().await;
    while last.data != "the rest" {
        last = source.next().await;
    }
    publisher.items(&[next("c", 2001, "data: live\n\n")]).await;
    assert_eq!(source.data(1).await, ["live"]);
    assert!(backend.request(1).await.header("grip-last").is_some());
}

#[tokio::test]
async fn a_client_has_no_more_held_streams_than_others() {
    let backend = Backend::start(|_| stream("c", "", "data: 1\n\n")).await;
    let (gateway, mut publisher) = site_with("true", "[sse]\nper_ip = 1\n", &backend).await;
    let _first = EventSource::open(&gateway.public, "/").await;
    let refused = EventSource::try_open(&gateway.public, "/", "").await;
    assert_eq!(refused.err().unwrap().status, 429);
    let refused = "tidegate_streams_refused_total{reason=\"per_ip\"}";
    assert_eq!(
        (publisher.metric(refused).await, publisher.streams().await),
        (1, 1)
    );
}

#[tokio::test]
async fn a_body_that_django_compressed_is_held_as_it_was_before() {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(b"data: 1\n\n").unwrap();
    let body = coder.finish().unwrap();
    let (gateway, mut publisher, backend) = site(move |_| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\
             Grip-Hold: stream\r\nGrip-Channel: c\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Reply::raw(head).then(&body)
    })
    .await;
    let lines = "Accept-Encoding: br, gzip;q=0.5\r\n";
    let mut source = EventSource::open_with(&gateway.public, "/", lines).await;
    assert_eq!(source.head.header("content-encoding"), None);
    publisher.items(&[item("c", "data: 2\n\n")]).await;
    assert_eq!(source.data(2).await, ["1", "2"]);
    assert_eq!(backend.request(0).await.header("accept-encoding"), None);
    let request = format!("GET / HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n");
    Conn::open(&gateway.public).await.send(request).await;
    assert_eq!(
        backend.request(1).await.header("accept-encoding"),
        Some("gzip")
    );
}
