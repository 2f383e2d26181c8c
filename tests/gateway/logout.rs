//! The end of a session of Django ends what was opened with it, and nothing else.

use std::time::Duration;

use crate::support::asking::{answering, site_with};
use crate::support::{Backend, Conn, EventSource, Gate, Reply, until};

const OLD: &str = "Cookie: theme=dark; sessionid=old; csrftoken=x\r\n";
const OTHER: &str = "Cookie: sessionid=other\r\n";

/// What Django sends with the answer to a logout.
const DELETED: &str =
    "Set-Cookie: sessionid=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/\r\n";

fn granted() -> Reply {
    Reply::answer("200 OK", "SSE-Channel: news\r\nSSE-User: 42\r\n", "")
}

/// Answers asks with a grant, `/page/` with `lines` of header.
fn django(lines: &'static str) -> impl Fn(&crate::support::Request) -> Reply {
    move |request| {
        if request.header("sse-ask").is_some() {
            granted()
        } else {
            Reply::answer("200 OK", lines, "page")
        }
    }
}

async fn page(gateway: &crate::support::Gateway, cookie: &str) {
    let mut conn = Conn::open(&gateway.public).await;
    let request = format!("GET /page/ HTTP/1.1\r\nHost: site.test\r\n{cookie}\r\n");
    assert_eq!(conn.ask(request).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_deletes_the_session_cookie_ends_its_streams() {
    let (gateway, mut publisher, _backend) = answering(django(DELETED)).await;
    let mine = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    let mut theirs = EventSource::open_with(&gateway.public, "/events/", OTHER).await;
    page(&gateway, OLD).await;
    mine.ends().await;
    publisher.text("news", "still here").await;
    assert_eq!(theirs.data(1).await, ["still here"]);
}

#[tokio::test]
async fn an_answer_that_changes_the_session_cookie_ends_its_streams() {
    let (gateway, _, _backend) = answering(django("Set-Cookie: sessionid=new; Path=/\r\n")).await;
    let mine = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    page(&gateway, OLD).await;
    mine.ends().await;
}

#[tokio::test]
async fn the_same_cookie_once_more_or_another_cookie_ends_nothing() {
    let same = "Set-Cookie: csrftoken=\"\"; Max-Age=0\r\nSet-Cookie: sessionid=old; Path=/\r\n";
    let (gateway, mut publisher, _backend) = answering(django(same)).await;
    let mut mine = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    page(&gateway, OLD).await;
    // Somebody without a session logs in.
    page(&gateway, "").await;
    publisher.text("news", "still here").await;
    assert_eq!(mine.data(1).await, ["still here"]);
}

#[tokio::test]
async fn a_refused_ask_that_deletes_the_cookie_ends_the_other_streams_too() {
    let (gateway, _, _backend) = answering(|request| {
        if request.target().contains("expired") {
            Reply::answer("403 Forbidden", DELETED, "")
        } else {
            granted()
        }
    })
    .await;
    let mine = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    let refused = EventSource::try_open(&gateway.public, "/events/expired/", OLD).await;
    assert_eq!(refused.map(|_| ()).unwrap_err().status, 403);
    mine.ends().await;
}

#[tokio::test]
async fn a_stream_that_is_being_asked_for_while_its_session_ends_is_ended() {
    let gate = Gate::new();
    let held = gate.clone();
    let (gateway, _, backend) = answering(move |request| {
        if request.header("sse-ask").is_some() {
            granted().after(&held)
        } else {
            Reply::answer("200 OK", DELETED, "page")
        }
    })
    .await;
    let meanwhile = async {
        backend.request(0).await;
        page(&gateway, OLD).await;
        gate.open();
    };
    let opening = EventSource::open_with(&gateway.public, "/events/", OLD);
    let (opened, ()) = tokio::join!(opening, meanwhile);
    opened.ends().await;
}

#[tokio::test]
async fn an_answer_that_was_kept_is_not_good_after_the_session_ended() {
    let backend = Backend::start(django(DELETED)).await;
    let (gateway, _) = site_with("ask = { to = \"django\", cache = \"60s\" }", "", &backend).await;
    let first = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    let second = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    page(&gateway, OLD).await;
    first.ends().await;
    second.ends().await;
    let _third = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    assert_eq!(backend.count(), 3, "asked, the page, asked anew");
}

#[tokio::test]
async fn an_answer_counts_also_when_its_client_has_left() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = Backend::start(move |request| {
        if request.header("sse-ask").is_some() {
            granted()
        } else {
            let said = "SSE-Publish: {\"channel\":\"news\",\"data\":\"said\"}\r\n";
            Reply::answer("302 Found", &format!("{DELETED}{said}"), "").after(&held)
        }
    })
    .await;
    let (gateway, mut publisher) = site_with("ask = \"django\"", "publish = true", &backend).await;
    let mine = EventSource::open_with(&gateway.public, "/events/", OLD).await;
    let mut theirs = EventSource::open_with(&gateway.public, "/events/", OTHER).await;
    let open = "tidegate_connections_open";
    let before = publisher.metric(open).await;
    let body = format!("{OLD}Content-Length: 4\r\n\r\nbody");
    for (number, rest) in [
        (2, format!("GET /logout/ HTTP/1.1\r\nHost: a\r\n{OLD}\r\n")),
        (3, format!("POST /logout/ HTTP/1.1\r\nHost: a\r\n{body}")),
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(rest).await;
        backend.request(number).await;
        drop(conn);
    }
    until("the gateway to see them leave", async || {
        publisher.metric(open).await == before
    })
    .await;
    gate.open();
    mine.ends().await;
    assert_eq!(theirs.data(2).await, ["said", "said"]);
}

#[tokio::test]
async fn so_many_requests_are_waited_for_without_their_clients_and_no_more() {
    let (gateway, mut publisher, backend) = answering(|_| Reply::hang()).await;
    let abandoned = "tidegate_requests_abandoned_total";
    for number in 0..=1024 {
        assert_eq!(publisher.metric(abandoned).await, 0);
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{OLD}\r\n"))
            .await;
        backend.request(number).await;
    }
    until("one is given up", async || {
        publisher.metric(abandoned).await == 1
    })
    .await;
    backend
        .until("its connection is closed", |log| {
            log.connections.iter().filter(|one| one.closed).count() == 1
        })
        .await;
    // Nor do they hold up the end for long.
    assert!(gateway.stop().await < Duration::from_secs(10));
}

#[tokio::test]
async fn the_answer_to_a_websocket_ends_a_session_too() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let switch = format!("{switch}{DELETED}\r\n");
    let (gateway, _, _backend) = answering(move |request| match request.target() {
        "/events/" => granted(),
        "/plain/" => Reply::answer("200 OK", DELETED, "page"),
        _ => Reply::raw(switch.clone()).echo(),
    })
    .await;
    for (target, status) in [("/plain/", 200), ("/switched/", 101)] {
        let mine = EventSource::open_with(&gateway.public, "/events/", OLD).await;
        let mut conn = Conn::open(&gateway.public).await;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\n{OLD}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        assert_eq!(conn.ask_head(request).await, status);
        mine.ends().await;
    }
}
