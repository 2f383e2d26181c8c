//! What Django is sent and what the client gets back, to the byte.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use tidegate::server::Address;

use crate::support::client::{Framing, Piece};
use crate::support::http2::Http2;
use crate::support::{Backend, Conn, Gate, Gateway, Reply, Request, get, until};

const HOSTILE: &str = "GET /info/?a=1&b=%2F HTTP/1.1\r\n\
    Host: site.test:8000\r\n\
    User-Agent: test\r\n\
    Cookie: sessionid=1; csrftoken=2\r\n\
    Authorization: Basic eDp5\r\n\
    SCRIPT_NAME: /info\r\n\
    script_name: /info\r\n\
    PATH_INFO: /admin/\r\n\
    REMOTE_USER: admin\r\n\
    X_FORWARDED_PROTO: https\r\n\
    X_Forwarded_For: 6.6.6.6\r\n\
    X-Forwarded-For: 6.6.6.6\r\n\
    X-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: evil.test\r\n\
    X-Forwarded-Port: 443\r\n\
    X-Forwarded-Ssl: on\r\n\
    X-Forwarded-Protocol: ssl\r\n\
    X-Forwarded-Scheme: https\r\n\
    X-Forwarded-Prefix: /evil\r\n\
    X-Forwarded-Uri: /public\r\n\
    X-Scheme: https\r\n\
    X-Real-IP: 6.6.6.6\r\n\
    X-Request-ID: forged\r\n\
    X-Sendfile: /etc/passwd\r\n\
    X-Accel-Redirect: /private\r\n\
    X-Accel-Buffering: yes\r\n\
    Forwarded: for=6.6.6.6\r\n\
    Proxy: http://evil.test\r\n\
    Proxy-Authorization: Basic eDp5\r\n\
    Proxy-Connection: keep-alive\r\n\
    SSE-Ask: 1\r\n\
    SSE-Cursor: forged\r\n\
    SSE-Stream: forged\r\n\
    Grip-Sig: forged\r\n\
    Connection: keep-alive, X-Secret, X-Forwarded-For, Host, Cookie2\r\n\
    X-Secret: 1\r\n\
    Cookie2: 1\r\n\
    Keep-Alive: timeout=5\r\n\
    TE: trailers\r\n\
    Trailer: X\r\n\
    HTTP2-Settings: AAMAAABk\r\n\
    Upgrade: h2c\r\n\
    X-Mine: kept\r\n\
    \r\n";

/// The head of [`HOSTILE`] as Django must see it, but for the id and the cursor, which are made for each request.
fn expected(request: &Request) -> Vec<String> {
    let id = request.header("x-request-id").unwrap();
    let cursor = request.header("sse-cursor").unwrap();
    assert!(id != "forged" && cursor != "forged");
    let mut lines: Vec<_> = [
        "host: site.test:8000",
        "user-agent: test",
        "cookie: sessionid=1; csrftoken=2",
        "authorization: Basic eDp5",
        "x-mine: kept",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: site.test:8000",
        "x-forwarded-port: 8000",
        "x-real-ip: 127.0.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    lines.push(format!("x-request-id: {id}"));
    lines.push(format!("sse-cursor: {cursor}"));
    lines.sort_unstable();
    lines
}

fn lines(request: &Request) -> Vec<String> {
    let mut lines: Vec<_> = request
        .head
        .trim_end()
        .split("\r\n")
        .skip(1)
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn the_header_contract_holds_over_tcp_and_unix_sockets() {
    for backend in [
        Backend::start(|_| Reply::ok("x")).await,
        Backend::start_unix(|_| Reply::ok("x")).await,
    ] {
        let gateway = Gateway::before(&backend.address, "").await;
        for (number, address) in [&gateway.public, &gateway.public_unix]
            .into_iter()
            .enumerate()
        {
            assert_eq!(Conn::open(address).await.ask(HOSTILE).await.status, 200);
            let request = backend.request(number).await;
            assert_eq!(
                request.line(),
                "GET /info/?a=1&b=%2F",
                "the target as the client wrote it"
            );
            assert_eq!(lines(&request), expected(&request));
        }
        let bytes = backend.seen(|log| {
            log.connections
                .iter()
                .map(|conn| conn.bytes.len())
                .sum::<usize>()
        });
        let heads = backend.seen(|log| log.requests.iter().map(|r| r.head.len()).sum::<usize>());
        assert_eq!(bytes, heads, "and not a byte more");
    }
}

#[tokio::test]
async fn an_answer_comes_back_without_what_is_only_for_the_gateway() {
    let backend = Backend::start(|_| {
        Reply::raw(
            "HTTP/1.1 201 Created\r\nContent-Type: text/html\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             Connection: close, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nSSE-Channel: secret\r\n\
             SSE-User: 1\r\nGrip-Hold: stream\r\nX-Outer: kept\r\nContent-Length: 4\r\n\r\nbody",
        )
        .close()
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.text()), (201, "body"));
    assert_eq!(answer.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(answer.header("x-outer"), Some("kept"));
    for name in [
        "x-inner",
        "keep-alive",
        "sse-channel",
        "sse-user",
        "grip-hold",
        "connection",
    ] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    // That Django closes is no reason to close.
    assert_eq!(
        conn.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status,
        201
    );
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_leave_the_connection_fine() {
    let backend = Backend::start(|request| match request.target() {
        "/head" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        "/204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        _ => Reply::ok("page"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = conn.answer_to("HEAD").await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("1000"))
    );
    assert_eq!(
        conn.ask("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .status,
        204
    );
    let answer = conn.ask("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"x\"")));
    assert_eq!(
        conn.ask("GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .text(),
        "page"
    );
    assert_eq!(
        backend.seen(|log| log.connections.len()),
        1,
        "the upstream connection was used for all"
    );
}

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
async fn an_http_2_request_arrives_as_http_1_1_with_a_length_and_one_cookie() {
    let backend =
        Backend::start(|_| Reply::answer("200 OK", "SSE-User: 1\r\nX-A: b\r\n", "over two")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut http2 = Http2::open(&gateway.public).await;
    let request = http::Request::builder()
        .method(Method::POST)
        .uri("http://site.test:8000/a/?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("cookie", "c=3")
        .header("script_name", "/a")
        .header("x-forwarded-for", "6.6.6.6")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let answer = http2.send(request).await.unwrap();
    assert!(answer.whole && answer.body == b"over two");
    assert_eq!(answer.head.headers["x-a"], "b");
    assert!(!answer.head.headers.contains_key("sse-user"));
    let seen = backend.request(0).await;
    assert_eq!((seen.line(), &*seen.body), ("POST /a/?b=c", &b"hello"[..]));
    assert_eq!(seen.header("host"), Some("site.test:8000"));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2; c=3"));
    assert_eq!(seen.header("content-length"), Some("5"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    for name in ["script_name", "te", "transfer-encoding"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let plain = http::Request::get("http://site.test/")
        .body(Full::default())
        .unwrap();
    assert_eq!(http2.send(plain).await.unwrap().head.status, 200);
    assert_eq!(backend.request(1).await.header("content-length"), None);
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
async fn an_upload_with_a_length_is_passed_on_as_it_comes() {
    let backend = Backend::start(|_| Reply::ok("done")).await;
    let gateway = Gateway::before(&backend.address, "").await;
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
    let gateway = Gateway::before(&backend.address, "").await;
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

#[tokio::test]
async fn an_idle_connection_is_used_again_for_get_and_not_for_post() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for _ in 0..3 {
        get(&gateway.public, "/").await;
    }
    assert_eq!(
        backend.request(2).await.conn,
        0,
        "the connection is used again"
    );
    // What was idle for so long may be closed by gunicorn in this very moment.
    crate::support::pass(Duration::from_millis(150)).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(
        Conn::open(&gateway.public).await.ask(post).await.status,
        200
    );
    assert_eq!(
        backend.request(3).await.conn,
        1,
        "a POST goes on a fresh connection"
    );
    get(&gateway.public, "/").await;
    assert!(backend.request(4).await.conn <= 1, "a GET needs no third");
}

#[tokio::test]
async fn a_connection_idle_for_longer_than_idle_reuse_is_closed_or_left() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "idle_reuse = \"100ms\"").await;
    get(&gateway.public, "/").await;
    crate::support::pass(Duration::from_millis(150)).await;
    get(&gateway.public, "/").await;
    assert_eq!(backend.request(1).await.conn, 1);
    backend
        .until("the old one is closed", |log| log.connections[0].closed)
        .await;
}

#[tokio::test]
async fn a_pooled_connection_that_django_closed_is_not_the_clients_concern() {
    for reply in [Reply::ok("fine").close(), Reply::ok("fine").reset()] {
        let backend = Backend::start(move |_| reply.clone()).await;
        let gateway = Gateway::before(&backend.address, "").await;
        for number in 0..20 {
            let answer = get(&gateway.public, "/").await;
            assert_eq!(
                (answer.status, answer.text()),
                (200, "fine"),
                "request {number}"
            );
        }
    }
    // Closed only once the next request has arrived on it.
    let backend = Backend::start(|request| match request.number {
        1 => Reply::default().close(),
        _ => Reply::ok("fine"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    for _ in 0..3 {
        assert_eq!(get(&gateway.public, "/").await.text(), "fine");
    }
}

#[tokio::test]
async fn an_http_1_0_server_is_understood() {
    let backend = Backend::start(|_| {
        Reply::raw("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end").close()
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    for _ in 0..2 {
        let answer = conn.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        assert!(answer.whole && answer.text() == "until the end");
    }
}

#[tokio::test]
async fn an_http_1_0_client_is_answered_in_its_own_way() {
    let backend = Backend::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        (
            answer.text(),
            answer.header("transfer-encoding"),
            answer.whole
        ),
        ("body", None, true)
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_connection_with_it() {
    let backend = Backend::start(|request| match request.target() {
        "/never" => Reply::hang(),
        "/half" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then_hang(),
        _ => Reply::ok("mine"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    for (number, target) in ["/never", "/half"].into_iter().enumerate() {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        backend.request(number * 2).await;
        if target == "/half" {
            assert_eq!(conn.head().await.status, 200);
        }
        drop(conn);
        let at = backend.request(number * 2).await.conn;
        backend
            .until("the gateway closes as well", |log| {
                log.connections[at].closed
            })
            .await;
        assert_eq!(get(&gateway.public, "/").await.text(), "mine");
        assert_ne!(
            backend.request(number * 2 + 1).await.conn,
            at,
            "it is never used again"
        );
    }
}

#[tokio::test]
async fn many_clients_at_once_get_each_their_own_answer() {
    let backend = Backend::start(|request| Reply::ok(request.target())).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20 {
        let address: Address = gateway.public.clone();
        clients.spawn(async move {
            let mut random = fastrand::Rng::with_seed(client);
            let mut conn = Conn::open(&address).await;
            for number in 0..20 {
                let target = format!("/{client}/{number}");
                conn.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
                    .await;
                if random.u8(0..4) == 0 {
                    // Leaves in the middle: nobody else may get what was meant for this one.
                    conn = Conn::open(&address).await;
                    continue;
                }
                assert_eq!(conn.answer().await.text(), target);
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_request_in_flight_and_its_answer_are_counted() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    get(&gateway.public, "/").await;
    let mut publisher = gateway.publisher().await;
    until("the count", async || {
        publisher
            .metric("tidegate_requests_total{status=\"2xx\"}")
            .await
            >= 1.0
    })
    .await;
}
