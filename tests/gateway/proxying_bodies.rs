//! Bodies in both directions: gathered or passed on as they come, asked for or refused.

use crate::support::client::{Framing, Piece};
use crate::support::{Backend, Conn, Gate, Gateway, Reply, get};

#[tokio::test]
async fn who_expects_100_is_told_to_go_on_and_django_never_hears_of_it() {
    let backend = Backend::start(|_| Reply::ok("taken")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
        ))
        .await;
        assert_eq!(conn.bytes(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send(if framing.starts_with('C') {
            "hello"
        } else {
            "5\r\nhello\r\n0\r\n\r\n"
        })
        .await;
        assert_eq!(conn.answer().await.text(), "taken");
    }
    for number in 0..2 {
        let request = backend.request(number).await;
        assert_eq!(
            (request.header("expect"), &*request.body),
            (None, &b"hello"[..])
        );
    }
}

#[tokio::test]
async fn a_body_that_is_refused_is_not_asked_for() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::start(&format!(
        "[limits]\nbody = \"10B\"\n{}",
        crate::support::gateway::everything_to(&backend.address, "")
    ))
    .await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
        .await;
    assert_eq!((answer.status, answer.interim), (413, vec![]));
    assert_eq!(backend.count(), 0);
}

/// Some text that is not the same anywhere.
fn text(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.alphanumeric() as u8).collect()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(size) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\nX-Trailer: dropped\r\n\r\n");
    chunks
}

#[tokio::test]
async fn a_chunked_body_is_gathered_and_sent_with_its_length() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "buffer_request = \"1KiB\"").await;
    // In memory; at its limit; in a temp file.
    for (number, length) in [0, 5, 1024, 1025, 300_000, 2_000_000]
        .into_iter()
        .enumerate()
    {
        let body = text(length);
        let mut conn = Conn::open(&gateway.public).await;
        conn.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n").await;
        conn.send(chunked(&body, 10_000)).await;
        assert_eq!(conn.answer().await.status, 200);
        let request = backend.request(number).await;
        assert!(request.body == body, "{length} bytes");
        if length > 0 {
            assert_eq!(request.header("content-length"), Some(&*length.to_string()));
        }
        for name in ["transfer-encoding", "trailer", "x-trailer"] {
            assert_eq!(request.header(name), None);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_gathered_body_reaches_django_before_its_end() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await;
    assert_eq!(get(&gateway.public, "/other").await.status, 200);
    assert_eq!(
        backend.count(),
        1,
        "the worker is free while the slow one is still sending"
    );
    conn.send("0\r\n\r\n").await;
    assert_eq!(conn.answer().await.status, 200);
    assert_eq!(backend.request(1).await.body, b"hello");
}

#[tokio::test]
async fn a_body_above_the_limit_is_413() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let routes = format!(
        "[limits]\nbody = \"1KiB\"\n{}[[route]]\npath = \"/big/\"\nproxy = \"django\"\nlimits = {{ body = \"4KiB\" }}\n{}",
        crate::support::gateway::upstream(&backend.address, ""),
        crate::support::gateway::PROXY,
    );
    let gateway = Gateway::start(&routes).await;
    for (target, length, status) in [
        ("/", 1024, 200),
        ("/", 1025, 413),
        ("/big/", 4096, 200),
        ("/big/", 4097, 413),
    ] {
        let body = text(length);
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
        conn.send(&body).await;
        assert_eq!(
            conn.answer().await.status,
            status,
            "{target} by length {length}"
        );
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
        conn.send(chunked(&body, 1000)).await;
        assert_eq!(
            conn.answer().await.status,
            status,
            "{target} gathered {length}"
        );
    }
    assert_eq!(backend.count(), 4, "what is refused never arrives");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let text = format!(
        "[limits]\nbody_idle = \"200ms\"\n{}",
        crate::support::gateway::everything_to(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "Content-Length: 5\r\n\r\nhe",
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn
            .ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"))
            .await;
        assert_eq!(answer.status, 408, "{framing:?}");
    }
    assert_eq!(backend.count(), 0, "no request was complete");
}

#[tokio::test]
async fn an_upload_that_is_not_buffered_is_passed_on_as_it_comes() {
    let backend = Backend::start(|_| Reply::ok("done")).await;
    let gateway = Gateway::before(&backend.address, "buffer_request = false").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
        .await;
    backend
        .until("the first half", |log| {
            log.connections.iter().any(|c| c.bytes.ends_with(b"first"))
        })
        .await;
    conn.send("other").await;
    assert_eq!(conn.answer().await.text(), "done");
    assert_eq!(backend.request(0).await.body, b"firstother");
}

#[tokio::test]
async fn a_download_is_passed_on_as_it_comes() {
    let gate = Gate::new();
    let reply = Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .wait(&gate)
        .then("5\r\nother\r\n0\r\nX-Trailer: dropped\r\n\r\n");
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = conn.head().await;
    let mut framing = Conn::framing(&head, "GET");
    assert_eq!(framing, Framing::Chunked);
    assert_eq!(
        conn.piece(&mut framing).await,
        Piece::Data(b"first".to_vec())
    );
    gate.open();
    assert_eq!(
        conn.piece(&mut framing).await,
        Piece::Data(b"other".to_vec())
    );
    // The client of these tests refuses trailers.
    assert_eq!(conn.piece(&mut framing).await, Piece::End);
}

#[tokio::test]
async fn an_early_answer_to_an_upload_reaches_the_client() {
    let backend = Backend::start_early(|_| {
        Reply::answer("403 Forbidden", "Connection: close\r\n", "no").close()
    })
    .await;
    let gateway = Gateway::before(&backend.address, "buffer_request = false").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nfirst")
        .await;
    let answer = conn.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
    conn.send(text(99_995)).await;
    conn.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Either the connection ends, or the rest of the upload is read and the next request is the next request.
    let rest = String::from_utf8(conn.rest_or_answer().await).unwrap();
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 403 "),
        "{rest}"
    );
    backend.seen(|log| {
        assert!(
            log.requests
                .iter()
                .all(|r| matches!(r.line(), "POST /up" | "GET /next"))
        )
    });
}
