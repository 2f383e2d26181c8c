//! WebSockets pass through; nothing else switches protocols.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::support::{Backend, Conn, Ending, Gateway, Reply, gateway};

pub const UPGRADE: &str = "GET /ws/ HTTP/1.1\r\nHost: site.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
pub const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn after_the_101_bytes_pass_both_ways_until_one_side_ends() {
    let backend = Backend::start(|_| Reply::raw(format!("{SWITCH}hello")).echo()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for address in [&gateway.public, &gateway.public_unix] {
        let mut conn = Conn::open(address).await;
        conn.send(UPGRADE).await;
        let head = conn.head().await;
        assert_eq!(head.status, 101);
        assert_eq!(
            head.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(head.header("upgrade"), Some("websocket"));
        assert_eq!(
            conn.bytes(5).await,
            b"hello",
            "what came with the head is not lost"
        );
        // Any byte may pass now, also those that no head could hold.
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        conn.send(&bytes).await;
        assert!(conn.bytes(bytes.len()).await == bytes);
        conn.finish_sending().await;
        assert_eq!(conn.ending().await, Ending::Clean);
    }
    let request = backend.request(0).await;
    assert_eq!(
        (request.header("upgrade"), request.header("connection")),
        (Some("websocket"), Some("Upgrade"))
    );
    assert_eq!(
        request.header("sec-websocket-key"),
        Some("dGhlIHNhbXBsZSBub25jZQ==")
    );
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_other_side_and_the_other_way_round() {
    let backend = Backend::start(|request| match request.number {
        0 => Reply::raw(SWITCH).echo(),
        _ => Reply::raw(SWITCH).then("bye").close(),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask_head(UPGRADE).await, 101);
    drop(conn);
    backend
        .until("the far side ends", |log| log.connections[0].closed)
        .await;
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask_head(UPGRADE).await, 101);
    assert_eq!(conn.rest().await, b"bye");
    let mut publisher = gateway.publisher().await;
    crate::support::until("no WebSocket is open", async || {
        publisher.metric("tidegate_websockets_open").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_a_server_that_does_not_read_keeps_no_place() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gateway = Gateway::before(&address, "response_timeout = \"300ms\"").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(UPGRADE).await;
    let (mut far, _) = listener.accept().await.unwrap();
    far.write_all(SWITCH.as_bytes()).await.unwrap();
    assert_eq!(conn.head().await.status, 101);
    // More than all sockets on the way take.
    let piece = vec![b'x'; 1 << 16];
    let full = async {
        loop {
            conn.send(&piece).await;
        }
    };
    let _full = timeout(Duration::from_millis(200), full).await;
    drop(conn);
    let mut publisher = gateway.publisher().await;
    crate::support::until("no WebSocket is open", async || {
        publisher.metric("tidegate_websockets_open").await == 0
    })
    .await;
}

#[tokio::test]
async fn without_a_101_it_is_an_ordinary_answer() {
    let backend = Backend::start(|request| match request.line() {
        "GET /ws/" => Reply::answer("403 Forbidden", "", "no"),
        line => Reply::ok(line),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn.ask(UPGRADE).await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
    assert_eq!(answer.header("upgrade"), None);
    // The connection speaks HTTP as before, and its next request is looked at as ever.
    assert_eq!(
        conn.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .text(),
        "GET /next"
    );
    assert_eq!(
        conn.ask("GET / HTTP/1.1\nHost: a\r\n\r\n").await.status,
        400
    );
}

#[tokio::test]
async fn nothing_is_copied_before_the_101() {
    let gate = crate::support::Gate::new();
    let reply = Reply::answer("200 OK", "", "plain").after(&gate);
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(format!(
        "{UPGRADE}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    ))
    .await;
    let request = backend.request(0).await;
    gate.open();
    assert_eq!(conn.answer().await.text(), "plain");
    backend.seen(|log| {
        assert_eq!(
            log.connections[request.conn].bytes.len(),
            request.head.len()
        )
    });
}

#[tokio::test]
async fn where_websockets_are_off_django_sees_an_ordinary_request() {
    let backend = Backend::start(|_| Reply::ok("plain")).await;
    let text = format!(
        "{}[[route]]\npath = \"/<path:rest>\"\nproxy = {{ to = \"django\", websocket = false }}\n",
        gateway::upstream(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    assert_eq!(
        Conn::open(&gateway.public).await.ask(UPGRADE).await.text(),
        "plain"
    );
    let request = backend.request(0).await;
    assert_eq!(
        (request.header("upgrade"), request.header("connection")),
        (None, None)
    );
}

#[tokio::test]
async fn h2c_and_odd_upgrades_are_never_passed_on() {
    let backend = Backend::start(|_| Reply::ok("plain")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let answer = Conn::open(&gateway.public)
            .await
            .ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
            .await;
        assert_eq!((answer.status, answer.text()), (200, "plain"), "{lines}");
        let request = backend.seen(|log| log.requests.last().unwrap().clone());
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(request.header(name), None, "{lines}");
        }
    }
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502() {
    for switch in [
        SWITCH,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let backend = Backend::start(move |_| {
            Reply::raw(format!("{switch}HTTP/1.1 200 OK\r\n\r\n")).then_hang()
        })
        .await;
        let gateway = Gateway::before(&backend.address, "").await;
        let mut conn = Conn::open(&gateway.public).await;
        assert_eq!(
            conn.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status,
            502,
            "{switch}"
        );
        if switch != SWITCH {
            assert_eq!(
                conn.ask(UPGRADE).await.status,
                502,
                "another protocol than was asked for"
            );
        }
        backend
            .until("the connection is given up", |log| {
                log.connections.iter().all(|conn| conn.closed)
            })
            .await;
    }
}
