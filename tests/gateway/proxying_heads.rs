//! What Django is sent and what the client gets back, to the byte, in every version of HTTP.

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body_util::Full;

use crate::support::http2::Http2;
use crate::support::{Backend, Conn, Ending, Gate, Gateway, Reply, Request};

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
        2,
        "one that announced a body is not used again, lest the body come; the other one is"
    );
}

#[tokio::test]
async fn a_204_with_a_length_loses_it() {
    let answer = "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\nX-A: b\r\n\r\ndeleted";
    let backend = Backend::start(move |_| Reply::raw(answer)).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let request = http::Request::delete("http://site.test/x/")
        .body(Full::default())
        .unwrap();
    let answer = Http2::open(&gateway.public).await.send(request).await;
    let head = answer.unwrap().head;
    assert_eq!(
        (head.status.as_u16(), head.headers["x-a"].clone()),
        (204, HeaderValue::from_static("b"))
    );
    assert_eq!(head.headers.get("content-length"), None);
    for method in ["DELETE", "HEAD"] {
        let mut conn = Conn::open(&gateway.public).await;
        let request = format!("{method} /x/ HTTP/1.1\r\nHost: a\r\n\r\n");
        conn.send(request).await;
        let head = conn.head().await;
        assert_eq!((head.status, head.header("content-length")), (204, None));
    }
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
async fn an_http_1_0_client_is_promised_its_connection_only_with_a_length() {
    let gate = Gate::new();
    let waited = gate.clone();
    let backend = Backend::start(move |request| match request.target() {
        "/chunks" => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .wait(&waited)
            .then("4\r\nbody\r\n0\r\n\r\n"),
        _ => Reply::ok("page"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    for (target, promised, status) in [
        ("/page", vec!["keep-alive"], 200),
        ("/chunks", vec![], 200),
        ("/../refused", vec!["close"], 400),
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        let lines = "Host: a\r\nConnection: keep-alive\r\n";
        conn.send(format!("GET {target} HTTP/1.0\r\n{lines}\r\n"))
            .await;
        let head = conn.head().await;
        let told: Vec<_> = head.all("connection").collect();
        assert_eq!((&told, head.status), (&promised, status), "{target}");
        if told != ["keep-alive"] {
            gate.open();
            let body = conn.rest().await;
            assert!(target != "/chunks" || body == b"body");
            assert_eq!(conn.ending().await, Ending::Clean, "{target}");
        }
    }
}

#[tokio::test]
async fn a_target_without_a_path_is_sent_with_one() {
    let backend = Backend::start(|_| Reply::ok("page")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask("GET http://a?q=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(backend.request(0).await.target(), "/?q=1");
}

#[tokio::test]
async fn the_body_of_an_answer_that_has_none_is_not_the_next_answer() {
    let backend = Backend::start(|request| match request.target() {
        "/head" => Reply::raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ),
        _ => Reply::ok("page"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(conn.answer_to("HEAD").await.status, 200);
    let next = conn.ask("GET /page HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(next.text(), "page");
}
