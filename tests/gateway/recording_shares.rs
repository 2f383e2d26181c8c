//! Who is on one recording, and who sees no byte of it.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::http2::Http2;
use crate::support::recording::{
    ALICE, BOB, events, halves, head, more, open, recording, recording_with, says,
};
use crate::support::streaming::texts;
use crate::support::{Backend, Conn, EventSource, Gate, Reply, until};

#[tokio::test]
async fn the_same_person_shares_one_request_to_django() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, backend) = recording("", move |_| halves(&view, false)).await;
    let mut first = open(&gateway, ALICE).await;
    assert_eq!(first.data(3).await, texts(1..=3));
    let mut second = open(&gateway, ALICE).await;
    assert_eq!(second.data(3).await, texts(1..=3), "from its start");
    gate.open();
    for source in [first, second] {
        let (rest, text, whole) = source.rest().await;
        let data: Vec<_> = rest.iter().map(|event| event.data.as_str()).collect();
        assert!(data == ["4", "5", "6"] && whole, "{text}");
    }
    assert_eq!(backend.count(), 1);
    let request = backend.request(0).await;
    assert_eq!(request.line(), "GET /answer/");
    assert_eq!(
        request.header("cookie"),
        Some("sessionid=alice; theme=dark")
    );
    let joined = publisher.metric("tidegate_recordings_joined_total").await;
    assert_eq!(joined, 1);
}

#[tokio::test]
async fn other_credentials_make_a_recording_of_their_own() {
    let (gateway, _, backend) = recording("", |request| {
        let who = request.header("cookie").unwrap_or("nobody");
        says(&format!("data: {who}\n\n")).then_hang()
    })
    .await;
    let mut sources = Vec::new();
    for lines in [ALICE, BOB, "", "Cookie: sessionid=alice\r\n"] {
        let mut source = open(&gateway, lines).await;
        let expected = lines.trim_end().strip_prefix("Cookie: ");
        assert_eq!(source.next().await.data, expected.unwrap_or("nobody"));
        sources.push(source);
    }
    for lines in [
        "Authorization: Bearer a\r\n",
        "X-Api-Key: a\r\n",
        "Origin: https://other.test\r\n",
    ] {
        let mut source = open(&gateway, lines).await;
        assert_eq!(source.next().await.data, "nobody");
        sources.push(source);
    }
    assert_eq!(backend.count(), 7);
    let target = "/answer/?lastEventId=";
    let mut same = EventSource::open_with(&gateway.public, target, ALICE).await;
    assert!(same.next().await.data.contains("alice"));
    assert_eq!(
        backend.count(),
        7,
        "where a client was is not what it asks for"
    );
}

#[tokio::test]
async fn two_first_viewers_make_one_recording() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, _, backend) =
        recording("", move |_| says("data: 1\n\n").then_hang().after(&view)).await;
    let viewers = async {
        tokio::join!(
            open(&gateway, ALICE),
            open(&gateway, ALICE),
            open(&gateway, ALICE)
        )
    };
    let opened = async {
        backend.request(0).await;
        gate.open();
    };
    let ((mut a, mut b, mut c), ()) = tokio::join!(viewers, opened);
    for source in [&mut a, &mut b, &mut c] {
        assert_eq!(source.next().await.data, "1");
    }
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_each_ones_own() {
    let (gateway, mut publisher, backend) = recording("", |request| match request.target() {
        "/answer/" => Reply::answer(
            "200 OK",
            "Content-Type: text/html\r\nSet-Cookie: a=b\r\n",
            "hi",
        ),
        "/packed/" => head("Content-Encoding: gzip\r\n").then("1\r\nx\r\n0\r\n\r\n"),
        _ => Reply::answer(
            "403 Forbidden",
            "Content-Type: text/event-stream\r\n",
            "data: no\n\n",
        ),
    })
    .await;
    for _ in 0..2 {
        let answer = EventSource::try_open(&gateway.public, "/answer/", ALICE)
            .await
            .err()
            .unwrap();
        assert_eq!((answer.status, answer.text()), (200, "hi"));
        assert_eq!(answer.header("set-cookie"), Some("a=b"));
        let answer = EventSource::try_open(&gateway.public, "/no/", ALICE)
            .await
            .err()
            .unwrap();
        assert_eq!((answer.status, answer.text()), (403, "data: no\n\n"));
    }
    let mut packed = EventSource::open(&gateway.public, "/packed/").await;
    assert_eq!(packed.head.header("content-encoding"), Some("gzip"));
    packed.read_past("x").await;
    assert_eq!(backend.count(), 5);
    assert!(backend.seen(|log| {
        log.requests
            .iter()
            .all(|r| r.header("accept-encoding").is_none())
    }));
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 0);
}

#[tokio::test]
async fn what_is_no_bare_get_passes_through_unrecorded() {
    let (gateway, mut publisher, backend) =
        recording("", |_| says("data: 1\n\n").then("0\r\n\r\n")).await;
    for head in [
        "POST /answer/ HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\n\r\nx",
        "GET /answer/ HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn.ask(head).await;
        assert_eq!((answer.status, answer.text()), (200, "data: 1\n\n"));
        assert_eq!(answer.header("sse-stream"), None);
    }
    assert_eq!(backend.count(), 2);
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 0);
}

#[tokio::test]
async fn a_head_is_asked_by_get_of_which_only_the_head_is_read() {
    let (gateway, mut publisher, backend) = recording("", |request| match request.target() {
        "/answer/" => says("data: 1\n\n").then_hang(),
        _ => Reply::ok("a page"),
    })
    .await;
    let mut conn = Conn::open(&gateway.public).await;
    for (number, (target, kind)) in [("/answer/", "text/event-stream"), ("/page/", "")]
        .into_iter()
        .enumerate()
    {
        conn.send(format!("HEAD {target} HTTP/1.1\r\nHost: site.test\r\n\r\n"))
            .await;
        let head = conn.head().await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type").unwrap_or_default(), kind);
        assert_eq!(
            backend.request(number).await.line(),
            format!("GET {target}")
        );
    }
    backend
        .until("the view is let go", |log| log.connections[0].closed)
        .await;
    let mut client = Http2::open(&gateway.public).await;
    let request = Request::head("http://site.test/answer/").body(Full::<Bytes>::default());
    let answer = client.send(request.unwrap()).await.unwrap();
    assert!(answer.head.status == 200 && answer.whole && answer.body.is_empty());
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 0);
}

#[tokio::test]
async fn a_joiner_gets_no_header_of_anothers_answer() {
    let (gateway, _, _backend) = recording("", |_| {
        let lines =
            "Set-Cookie: csrf=1\r\nX-Secret: 1\r\nAccess-Control-Allow-Origin: https://a.test\r\n";
        more(head(lines), "data: 1\n\n").then_hang()
    })
    .await;
    let lines = format!("{ALICE}Origin: https://a.test\r\n");
    let first = open(&gateway, &lines).await.head;
    assert_eq!(first.header("set-cookie"), Some("csrf=1"));
    let second = open(&gateway, &lines).await.head;
    assert_eq!(second.header("set-cookie"), None);
    for head in [first, second] {
        assert_eq!(head.header("x-secret"), None);
        assert_eq!(
            head.header("access-control-allow-origin"),
            Some("https://a.test")
        );
        assert_eq!(head.header("x-accel-buffering"), Some("no"));
        assert_eq!(head.header("cache-control"), Some("no-cache, no-transform"));
    }
}

#[tokio::test]
async fn a_recording_of_a_user_is_known_by_the_session_alone() {
    let (gateway, _, backend) =
        recording("per = \"user\"", |_| says("data: 1\n\n").then_hang()).await;
    let mut sources = Vec::new();
    for (cookie, requests) in [
        ("sessionid=alice; a=1", 1),
        ("b=2; sessionid=alice", 1),
        ("sessionid=bob; a=1", 2),
        ("a=1", 3),
        ("a=1", 3),
        ("a=2", 4),
    ] {
        let mut source = open(&gateway, &format!("Cookie: {cookie}\r\n")).await;
        source.data(1).await;
        sources.push(source);
        assert_eq!(backend.count(), requests, "{cookie}");
    }
}

#[tokio::test]
async fn sites_that_a_trusted_proxy_tells_apart_share_nothing() {
    let backend = Backend::start(|request| {
        let site = request.header("x-forwarded-host").unwrap();
        says(&format!("data: {site}\n\n")).then_hang()
    })
    .await;
    let trust = "[trust]\nproxies = [\"127.0.0.1\"]";
    for keys in ["", "per = \"all\""] {
        let (gateway, _) = recording_with(keys, trust, &backend).await;
        for site in ["a.test", "b.test"] {
            let mut source = open(&gateway, &format!("X-Forwarded-Host: {site}\r\n")).await;
            assert_eq!(source.next().await.data, site, "{keys}");
        }
    }
}

#[tokio::test]
async fn everybody_who_joins_is_asked_for_and_who_is_refused_sees_no_byte() {
    let (gateway, _, backend) = recording("per = \"all\"", |request| {
        if request
            .header("cookie")
            .is_some_and(|cookie| cookie.contains("eve"))
        {
            return Reply::answer("403 Forbidden", "", "not you");
        }
        let origin = request.header("origin").unwrap_or("none");
        let lines = format!(
            "Access-Control-Allow-Origin: {origin}\r\nSet-Cookie: for={}\r\n",
            request.number
        );
        more(
            head(&lines),
            &format!("data: secret {}\n\n", request.number),
        )
        .then_hang()
    })
    .await;
    let mut alice = open(&gateway, &format!("{ALICE}Origin: https://a.test\r\n")).await;
    assert_eq!(alice.next().await.data, "secret 0");
    let mut bob = open(&gateway, &format!("{BOB}Origin: https://b.test\r\n")).await;
    assert_eq!(bob.next().await.data, "secret 0", "one recording for all");
    assert_eq!(
        bob.head.header("access-control-allow-origin"),
        Some("https://b.test")
    );
    assert_eq!(
        bob.head.header("set-cookie"),
        Some("for=1"),
        "of his own answer"
    );
    backend
        .until("the check is over", |log| log.connections[1].closed)
        .await;
    let last = bob.last_event_id().to_owned();
    for lines in [String::new(), format!("Last-Event-ID: {last}\r\n")] {
        let lines = format!("Cookie: sessionid=eve\r\n{lines}");
        let eve = EventSource::try_open(&gateway.public, "/answer/", &lines).await;
        let answer = eve.err().unwrap();
        assert_eq!((answer.status, answer.text()), (403, "not you"));
        assert!(!answer.head.contains("sse-stream"), "{}", answer.head);
    }
    assert_eq!(backend.count(), 4);
    assert!(!backend.seen(|log| log.connections[0].closed));
}

#[tokio::test]
async fn a_logout_ends_the_viewers_and_nobody_joins_with_the_old_session() {
    let (gateway, mut publisher, backend) = recording("", |request| match request.target() {
        "/logout/" => Reply::answer("302 Found", "Set-Cookie: sessionid=\"\"; Max-Age=0\r\n", ""),
        _ if request.number < 2 => says(&events(1..=3, false)).then_hang(),
        _ => Reply::answer("302 Found", "Location: /login/\r\n", ""),
    })
    .await;
    let (mut one, mut bob) = (open(&gateway, ALICE).await, open(&gateway, BOB).await);
    one.data(3).await;
    bob.data(3).await;
    let last = one.last_event_id().to_owned();
    let request = format!("GET /logout/ HTTP/1.1\r\nHost: site.test\r\n{ALICE}\r\n");
    assert_eq!(
        Conn::open(&gateway.public).await.ask(request).await.status,
        302
    );
    one.ends().await;
    for lines in [String::new(), format!("Last-Event-ID: {last}\r\n")] {
        let lines = format!("{ALICE}{lines}");
        let stale = EventSource::try_open(&gateway.public, "/answer/", &lines).await;
        assert_eq!(
            stale.err().unwrap().status,
            302,
            "Django is asked, and refuses"
        );
    }
    assert_eq!(backend.count(), 5);
    until("one stream is left", async || {
        publisher.streams().await == 1
    })
    .await;
    assert!(
        open(&gateway, BOB).await.data(3).await == texts(1..=3),
        "others go on"
    );
}

#[tokio::test]
async fn who_opens_a_page_does_not_join_a_stream() {
    let (gateway, _, backend) = recording("", |request| match request.header("accept") {
        Some("text/event-stream") => says("data: 1\n\n").then_hang(),
        _ => Reply::ok("a page"),
    })
    .await;
    let _open = open(&gateway, ALICE).await;
    let request = format!(
        "GET /answer/ HTTP/1.1\r\nHost: site.test\r\nAccept: text/html, */*;q=0.8\r\n{ALICE}\r\n"
    );
    let answer = Conn::open(&gateway.public).await.ask(request).await;
    assert_eq!((answer.text(), backend.count()), ("a page", 2));
}

#[tokio::test]
async fn nobody_names_a_recording() {
    let (gateway, mut publisher, _backend) =
        recording("", |_| says("data: 1\n\n").then_hang()).await;
    let mut source = open(&gateway, ALICE).await;
    source.data(1).await;
    let streams = publisher.get("/v1/channels").await;
    assert!(!streams.text().contains('^'), "{}", streams.text());
    for target in ["/v1/channels/%5E00/events", "/v1/channels/^00/events"] {
        let answer = publisher.request("POST", target, "", b"x").await;
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
}
