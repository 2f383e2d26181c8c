//! Django away, slow, broken: what the client is told, and that a broken answer never looks whole.

use std::time::Duration;

use http_body_util::Full;
use tidegate::server::Address;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::http2::Http2;
use crate::support::{Backend, Conn, Ending, Gate, Gateway, Reply, get};

const POST: &str = "POST /form HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\n\r\nabc";
const GET: &str = "GET /page HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// Sends `request` while nobody listens; only once the gateway has tried in vain the backend comes back.
async fn comes_back(mut backend: Backend, request: &'static str) {
    backend.down().await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(request).await;
    let mut publisher = gateway.publisher().await;
    crate::support::until("two tries in vain", async || {
        publisher
            .metric("tidegate_upstream_retries_total{upstream=\"django\"}")
            .await
            >= 2
    })
    .await;
    backend.up();
    let answer = conn.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "back"));
    assert_eq!(backend.count(), 1);
    assert_eq!(
        backend.request(0).await.body,
        if request == POST { &b"abc"[..] } else { b"" }
    );
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_for_any_method_until_django_is_back() {
    for request in [GET, POST] {
        comes_back(Backend::start(|_| Reply::ok("back")).await, request).await;
    }
}

#[tokio::test]
async fn a_missing_socket_is_tried_again_for_any_method_until_django_is_back() {
    for request in [GET, POST] {
        comes_back(Backend::start_unix(|_| Reply::ok("back")).await, request).await;
    }
}

#[tokio::test]
async fn django_away_for_longer_than_retry_for_is_502() {
    let mut backend = Backend::start(|_| Reply::ok("")).await;
    backend.down().await;
    let gateway = Gateway::before(&backend.address, "retry_for = \"300ms\"").await;
    let before = tokio::time::Instant::now();
    let answer = get(&gateway.public, "/").await;
    assert_eq!(answer.status, 502);
    assert!(before.elapsed() < Duration::from_secs(5));
    let id = answer.header("x-request-id").unwrap();
    assert!(
        answer.text().contains(id),
        "the text names the request: {}",
        answer.text()
    );
    assert!(
        !answer.text().contains("127.0.0.1"),
        "and nothing of the inside: {}",
        answer.text()
    );
}

#[tokio::test]
async fn a_safe_request_reset_before_its_answer_is_sent_again() {
    for broken in [Reply::default().reset(), Reply::default().close()] {
        let backend = Backend::start(move |request| match request.number {
            0 | 1 => broken.clone(),
            _ => Reply::ok("third"),
        })
        .await;
        let gateway = Gateway::before(&backend.address, "").await;
        assert_eq!(get(&gateway.public, "/").await.text(), "third");
        assert_eq!(backend.count(), 3);
    }
}

#[tokio::test]
async fn a_safe_request_that_kills_every_worker_is_not_sent_for_ever() {
    let backend = Backend::start(|_| Reply::default().reset()).await;
    let gateway = Gateway::before(&backend.address, "retry_for = \"20s\"").await;
    assert_eq!(get(&gateway.public, "/").await.status, 502);
    assert!((2..=6).contains(&backend.count()), "{}", backend.count());
}

#[tokio::test]
async fn a_post_reset_before_its_answer_is_502_and_sent_once() {
    for broken in [
        Reply::default().reset(),
        Reply::default().close(),
        Reply::raw("HTTP/1.1 20").close(),
    ] {
        let backend = Backend::start(move |request| match request.line() {
            "POST /form" => broken.clone(),
            _ => Reply::ok(""),
        })
        .await;
        let gateway = Gateway::before(&backend.address, "").await;
        assert_eq!(
            Conn::open(&gateway.public).await.ask(POST).await.status,
            502
        );
        assert_eq!(get(&gateway.public, "/after").await.status, 200);
        let lines = backend.seen(|log| {
            log.requests
                .iter()
                .map(|r| r.line().to_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(lines, ["POST /form", "GET /after"]);
    }
}

#[tokio::test]
async fn no_answer_in_time_is_504_and_the_connection_is_never_used_again() {
    let backend = Backend::start(|request| match request.number {
        0 => Reply::hang(),
        _ => Reply::ok("other"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "response_timeout = \"500ms\"").await;
    assert_eq!(get(&gateway.public, "/").await.status, 504);
    backend
        .until("the end of the connection", |log| log.connections[0].closed)
        .await;
    assert_eq!(get(&gateway.public, "/").await.text(), "other");
    assert_eq!(backend.request(1).await.conn, 1);
}

#[tokio::test]
async fn a_server_that_does_not_accept_in_time_is_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Whoever comes after these is left waiting by the kernel.
    let first = TcpStream::connect(address).await.unwrap();
    let mut others = JoinSet::new();
    for _ in 0..3 {
        others.spawn(TcpStream::connect(address));
    }
    let gateway = Gateway::before(
        &address.to_string(),
        "connect_timeout = \"300ms\"\nretry_for = \"0s\"",
    )
    .await;
    assert_eq!(get(&gateway.public, "/").await.status, 504);
    drop((first, others));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX\0: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        let backend = Backend::start(move |_| Reply::raw(garbage).close()).await;
        let gateway = Gateway::before(&backend.address, "").await;
        let answer = get(&gateway.public, "/").await;
        assert_eq!(answer.status, 502, "{garbage:?}");
        assert_eq!(backend.count(), 1, "{garbage:?} is sent once");
    }
}

#[tokio::test]
async fn bytes_after_an_answer_never_become_the_next_ones() {
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for first in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{extra}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{extra}"),
        format!("HTTP/1.1 304 Not Modified\r\n\r\n{extra}"),
    ] {
        let reply = Reply::raw(&first);
        let backend = Backend::start(move |request| match request.number {
            0 => reply.clone(),
            _ => Reply::ok("good"),
        })
        .await;
        let gateway = Gateway::before(&backend.address, "").await;
        let mut conn = Conn::open(&gateway.public).await;
        assert!(conn.ask(GET).await.status < 400);
        assert_eq!(conn.ask(GET).await.text(), "good", "{first:?}");
    }
}

/// What can go wrong with a body after its head was good.
fn breaks() -> [(&'static str, Reply); 4] {
    let gate = Gate::new();
    [
        (
            "a length cut off",
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").close(),
        ),
        (
            "chunks cut off",
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
                .close(),
        ),
        (
            "bad chunks",
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n")
                .wait(&gate),
        ),
        (
            "a pause",
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
                .then_hang(),
        ),
    ]
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_visibly_broken_over_http_1_1() {
    for (name, reply) in breaks() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let gateway = Gateway::before(&backend.address, "response_timeout = \"300ms\"").await;
        for address in [&gateway.public, &gateway.public_unix] {
            let answer = Conn::open(address).await.ask(GET).await;
            assert_eq!((answer.status, answer.text()), (200, "part"), "{name}");
            assert!(
                !answer.whole,
                "{name}: the client sees that something is missing"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_visibly_broken_over_http_1_0() {
    for (name, reply) in breaks() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let gateway = Gateway::before(&backend.address, "response_timeout = \"300ms\"").await;
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn.ask("GET / HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
        assert_eq!((answer.status, answer.text()), (200, "part"), "{name}");
        assert_eq!(
            answer.header("transfer-encoding"),
            None,
            "{name}: HTTP/1.0 knows no chunks"
        );
        assert!(!answer.whole, "{name}: {}", answer.head);
        if answer.header("content-length").is_none() {
            assert_eq!(
                conn.ending().await,
                Ending::Reset,
                "{name}: without a length only a reset says so"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_visibly_broken_over_http_2() {
    for (name, reply) in breaks() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let gateway = Gateway::before(&backend.address, "response_timeout = \"300ms\"").await;
        let Address::Tcp(address) = &gateway.public else {
            panic!()
        };
        let request = http::Request::get(format!("http://{address}/"))
            .body(Full::default())
            .unwrap();
        let answer = Http2::open(&gateway.public)
            .await
            .send(request)
            .await
            .unwrap();
        assert_eq!(
            (answer.head.status.as_u16(), &*answer.body),
            (200, &b"part"[..]),
            "{name}"
        );
        assert!(!answer.whole, "{name}: the stream is reset");
    }
}

#[tokio::test]
async fn an_event_stream_of_django_may_be_silent_for_long() {
    let gate = Gate::new();
    let reply = Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
        .wait(&gate)
        .then("data: b\n\n")
        .close();
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "response_timeout = \"100ms\"").await;
    let mut source = crate::support::EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.next().await.data, "a");
    // Longer than any other body may pause: another request runs into that very limit.
    let slow = Backend::start(|_| Reply::hang()).await;
    let other = Gateway::before(&slow.address, "response_timeout = \"500ms\"").await;
    assert_eq!(get(&other.public, "/").await.status, 504);
    gate.open();
    assert_eq!(source.next().await.data, "b");
    source.ends().await;
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_django_can_take_and_a_long_queue_is_503() {
    let gate = Gate::new();
    let slow = Reply::ok("slow").after(&gate);
    let backend = Backend::start(move |_| slow.clone()).await;
    let keys = "max_in_flight = 2\nqueue_timeout = \"300ms\"";
    let gateway = Gateway::before(&backend.address, keys).await;
    let mut conns = Vec::new();
    for _ in 0..2 {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(GET).await;
        conns.push(conn);
    }
    backend.until("two requests", |log| log.at_once == 2).await;
    let answer = get(&gateway.public, "/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    let mut queued = Conn::open(&gateway.public).await;
    queued.send(GET).await;
    gate.open();
    for conn in conns.iter_mut().chain([&mut queued]) {
        assert_eq!(conn.answer().await.text(), "slow");
    }
    assert_eq!(backend.seen(|log| log.most_at_once), 2);
}
