//! Bodies that wait in the gateway, so that Django does not: for a slow upload, for a slow reader; and where there is no
//! room for them.

use crate::support::client::{Framing, Piece};
use crate::support::gateway::everything_to;
use crate::support::{Backend, Conn, Gate, Gateway, Publisher, Reply, get, until};

/// Some text that is not the same anywhere.
fn text(length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.alphanumeric()).collect()
}

/// The value of a metric of one label or none, 0 if it is not there.
async fn metric(publisher: &mut Publisher, name: &str) -> u64 {
    let answer = publisher.get("/metrics").await;
    let mut lines = answer.text().lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// More than the sockets on the way to a client hold who does not read.
const LONG: usize = 24 << 20;

#[tokio::test]
async fn a_slow_upload_opens_no_connection_to_django_before_it_is_whole() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "buffer_request = \"64KiB\"").await;
    // In memory; beyond what is announced to fit there.
    for (number, length) in [30_000, 300_000].into_iter().enumerate() {
        let body = text(length);
        let (first, rest) = body.split_at(length - 1);
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{first}"
        ))
        .await;
        let mut publisher = gateway.publisher().await;
        until("most of the body is there", async || {
            metric(&mut publisher, "tidegate_buffers_memory_bytes").await >= 29_999
                || metric(&mut publisher, "tidegate_buffers_files_bytes").await > 200_000
        })
        .await;
        assert_eq!(backend.seen(|log| log.connections.len()), number);
        conn.send(rest).await;
        assert_eq!(conn.answer().await.status, 200);
        let request = backend.request(number).await;
        assert_eq!(request.header("content-length"), Some(&*length.to_string()));
        assert!(request.body == body.as_bytes());
        // The next request takes a connection of its own.
        drop(conn);
        gateway.until_no_body_waits().await;
        backend.script(|_| Reply::ok("").close());
    }
    let mut publisher = gateway.publisher().await;
    let spilled = "tidegate_buffers_spilled_total{body=\"request\"}";
    assert_eq!(metric(&mut publisher, spilled).await, 1);
}

#[tokio::test]
async fn a_slow_reader_holds_no_connection_to_django() {
    let reply = Reply::ok(&text(LONG));
    let backend = Backend::start(move |request| match request.target() {
        "/long" => reply.clone(),
        _ => Reply::ok("short"),
    })
    .await;
    // One request at a time: another is answered only when the first is over.
    let gateway = Gateway::start(&format!(
        "[limits]\nbuffers_files = \"1GiB\"\n{}",
        everything_to(&backend.address, "max_in_flight = 1")
    ))
    .await;
    let mut slow = Conn::open(&gateway.public).await;
    slow.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(slow.head().await.status, 200);
    assert_eq!(get(&gateway.public, "/short").await.text(), "short");
    let mut framing = Framing::Length(LONG as u64);
    let mut read = Vec::new();
    loop {
        match slow.piece(&mut framing).await {
            Piece::Data(data) => read.extend(data),
            Piece::End => break,
            Piece::Broken => panic!("it is whole"),
        }
    }
    assert!(read == text(LONG).as_bytes());
    gateway.until_no_body_waits().await;
}

#[tokio::test]
async fn a_reader_that_leaves_gives_back_all_that_was_read_for_it() {
    let reply = Reply::ok(&text(LONG));
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut publisher = gateway.publisher().await;
    let mut slow = Conn::open(&gateway.public).await;
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(slow.head().await.status, 200);
    until("some of it waits in a file", async || {
        metric(&mut publisher, "tidegate_buffers_files_bytes").await > 0
    })
    .await;
    drop(slow);
    gateway.until_no_body_waits().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_after_what_there_was_of_it() {
    let body = text(300_000);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 300001\r\n\r\n";
    let reply = Reply::raw(format!("{head}{body}")).close();
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "buffer_response = \"64KiB\"").await;
    let answer = get(&gateway.public, "/").await;
    assert!(!answer.whole && answer.text() == body);
    gateway.until_no_body_waits().await;
}

#[tokio::test]
async fn what_django_says_not_to_buffer_is_not_read_ahead() {
    let body = text(LONG);
    let backend = Backend::start(move |request| match request.target() {
        "/short" => Reply::ok("short"),
        _ => Reply::answer("200 OK", "X-Accel-Buffering: no\r\n", &body),
    })
    .await;
    let gateway = Gateway::before(
        &backend.address,
        "max_in_flight = 1\nqueue_timeout = \"200ms\"",
    )
    .await;
    let mut slow = Conn::open(&gateway.public).await;
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = slow.head().await;
    // It is a word to the server in front, not to the client, which is told it all the same: there may be another one.
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(get(&gateway.public, "/short").await.status, 503);
    drop(slow);
    gateway.until_no_body_waits().await;
}

#[tokio::test]
async fn an_answer_that_comes_in_pieces_is_passed_on_piece_by_piece() {
    let gate = Gate::new();
    let reply = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        .wait(&gate)
        .then("other");
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "buffer_response = \"0B\"").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut framing = Conn::framing(&conn.head().await, "GET");
    assert_eq!(
        conn.piece(&mut framing).await,
        Piece::Data(b"first".to_vec())
    );
    gate.open();
    assert_eq!(
        conn.piece(&mut framing).await,
        Piece::Data(b"other".to_vec())
    );
    assert_eq!(conn.piece(&mut framing).await, Piece::End);
}

#[tokio::test]
async fn a_body_that_finds_no_room_is_503_and_others_are_served() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::start(&format!(
        "[limits]\nbuffers_memory = \"0B\"\nbuffers_files = \"100KiB\"\n{}",
        everything_to(&backend.address, "")
    ))
    .await;
    for framing in [
        "Content-Length: 200000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n30d40\r\n",
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"))
            .await;
        conn.send(text(200_000)).await;
        let answer = conn.head().await;
        assert_eq!(answer.status, 503, "{framing}");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(backend.count(), 0, "Django has seen none of it");
    // What is small, and what there is room for.
    for length in [5, 50_000] {
        let mut conn = Conn::open(&gateway.public).await;
        let body = text(length);
        let answer = conn.ask(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert_eq!(answer.await.status, 200, "{length}");
    }
    let mut publisher = gateway.publisher().await;
    let full = "tidegate_buffers_full_total{room=\"files\"}";
    assert_eq!(metric(&mut publisher, full).await, 2);
    gateway.until_no_body_waits().await;
}

#[tokio::test]
async fn a_disk_that_fails_breaks_nothing_but_the_upload_that_needs_it() {
    let reply = Reply::ok(&text(LONG));
    let backend = Backend::start(move |request| match request.line() {
        "GET /long" => reply.clone(),
        _ => Reply::ok(""),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!(
        "[server]\ntemp = \"{}\"\n{}",
        directory.path().display(),
        everything_to(
            &backend.address,
            "buffer_request = \"64KiB\"\nbuffer_response = \"64KiB\""
        )
    ))
    .await;
    drop(directory);
    let mut upload = Conn::open(&gateway.public).await;
    upload
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
        .await;
    upload.send(text(200_000)).await;
    assert_eq!(upload.head().await.status, 503);
    assert_eq!(backend.count(), 0);
    // It is read as the client takes it.
    let answer = get(&gateway.public, "/long").await;
    assert!(answer.whole && answer.text() == text(LONG));
    let mut publisher = gateway.publisher().await;
    let failures = metric(&mut publisher, "tidegate_buffers_failures_total").await;
    assert!(failures >= 1, "{failures}");
    gateway.until_no_body_waits().await;
}

#[tokio::test]
async fn what_django_answers_in_place_of_a_websocket_or_a_stream_is_read_ahead_too() {
    let page = text(LONG);
    let backend = Backend::start(move |request| match request.target() {
        "/short" => Reply::ok("short"),
        "/events/" => Reply::answer("500 Internal Server Error", "", &page),
        _ => Reply::ok(&page),
    })
    .await;
    let ask =
        "[[route]]\npath = \"/events/\"\nsse = { ask = \"django\", backend_down = \"fail\" }\n";
    let everything = everything_to(
        &backend.address,
        "max_in_flight = 1\nqueue_timeout = \"5s\"",
    );
    let gateway = Gateway::start(&format!(
        "[limits]\nbuffers_files = \"1GiB\"\n{ask}{everything}"
    ))
    .await;
    for (head, status) in [
        (
            "/ws/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
            200,
        ),
        ("/events/ HTTP/1.1", 500),
    ] {
        let mut slow = Conn::open(&gateway.public).await;
        slow.send(format!("GET {head}\r\nHost: a\r\n\r\n")).await;
        assert_eq!(slow.head().await.status, status);
        assert_eq!(
            get(&gateway.public, "/short").await.text(),
            "short",
            "{head}"
        );
        drop(slow);
        gateway.until_no_body_waits().await;
    }
}
