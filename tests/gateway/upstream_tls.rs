//! Servers behind TLS: who is trusted, and that requests, reuse and tunnels are as they are without.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tidegate::config::{self, Process};
use tidegate::upstream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::authority::Authority;
use crate::support::gateway::everything_to;
use crate::support::tls::VERSIONS;
use crate::support::{Backend, Conn, Ending, Gateway, Reply, get, within};

const POST: &str = "POST /form HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\n\r\nabc";

/// Why the only server of the file cannot be reached, from the outermost reason to the innermost.
async fn unreached(server: &str, keys: &str) -> Vec<String> {
    let listen = "[listen.http]\naddress = \"127.0.0.1:0\"\n";
    let text = format!("version = 1\n{listen}{}", everything_to(server, keys));
    let config = config::parse(&text, &Process).unwrap();
    let settings = &config.upstreams[0];
    let reached = upstream::reach(&settings.servers[0], settings);
    let error = within("an answer or an error", reached).await.unwrap_err();
    let first: &(dyn Error + 'static) = &error;
    let errors = std::iter::successors(Some(first), |error| (*error).source());
    errors.map(ToString::to_string).collect()
}

#[tokio::test]
async fn requests_share_a_connection_over_either_version() {
    let authority = Authority::new();
    for version in VERSIONS {
        let config = authority.server_with("127.0.0.1", false, &[version]);
        let backend =
            Backend::start_tls(Arc::new(config), |request| Reply::ok(request.target())).await;
        let gateway = Gateway::before(&backend.address, &authority.trusted("")).await;
        for number in 0..5 {
            let target = format!("/{number}");
            assert_eq!(get(&gateway.public, &target).await.text(), target);
        }
        assert_eq!(
            Conn::open(&gateway.public).await.ask(POST).await.status,
            200
        );
        backend.seen(|log| {
            assert_eq!(log.connections.len(), 1, "{version:?}");
            let tls = log.connections[0].tls.as_ref().unwrap();
            assert_eq!(tls.protocol.as_deref(), Some(&b"http/1.1"[..]));
            assert_eq!((tls.name.as_deref(), tls.resumed), (None, false));
        });
        assert_eq!(
            backend.request(0).await.header("x-forwarded-proto"),
            Some("http")
        );
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let config = authority.server_with("site.test", false, &[version]);
        let backend = Backend::start_tls(Arc::new(config), |_| Reply::ok("").close()).await;
        let keys = authority.trusted(", name = \"site.test\"");
        let gateway = Gateway::before(&backend.address, &keys).await;
        for _ in 0..3 {
            assert_eq!(get(&gateway.public, "/").await.status, 200);
        }
        backend.seen(|log| {
            let tls = log
                .connections
                .iter()
                .map(|conn| conn.tls.as_ref().unwrap());
            let resumed: Vec<_> = tls.clone().map(|tls| tls.resumed).collect();
            assert_eq!(resumed, [false, true, true], "{version:?}");
            assert!(
                tls.map(|tls| &tls.name)
                    .all(|name| name.as_deref() == Some("site.test"))
            );
        });
    }
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let authority = Authority::new();
    let config = Arc::new(authority.server("127.0.0.1"));
    let body = "0123456789abcdef".repeat(200_000);
    let answer = body.clone();
    let backend = Backend::start_tls(config, move |_| Reply::ok(&answer)).await;
    let gateway = Gateway::before(&backend.address, &authority.trusted("")).await;
    let mut conn = Conn::open(&gateway.public).await;
    for number in 0..3 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        assert!(conn.ask(head + &body).await.text() == body);
        assert!(backend.request(number).await.body == body.as_bytes());
    }
}

#[tokio::test]
async fn what_comes_unasked_ends_the_connection_and_no_request_notices() {
    let authority = Authority::new();
    for version in VERSIONS {
        for unasked in [
            Reply::ok("mine").shutdown(),
            Reply::ok("mine").then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
            Reply::ok("mine").close(),
            Reply::ok("mine").reset(),
        ] {
            let config = authority.server_with("127.0.0.1", false, &[version]);
            let backend = Backend::start_tls(Arc::new(config), move |_| unasked.clone()).await;
            let keys = authority.trusted("");
            let gateway = Gateway::before(&backend.address, &keys).await;
            for number in 0..10 {
                // What is on its way when the next request is sent is nobody's to know.
                crate::support::pass(Duration::from_millis(10)).await;
                let answer = if number % 2 == 0 {
                    get(&gateway.public, "/").await
                } else {
                    Conn::open(&gateway.public).await.ask(POST).await
                };
                assert_eq!((answer.status, answer.text()), (200, "mine"), "{number}");
            }
            assert_eq!(backend.seen(|log| log.connections.len()), 10);
        }
    }
}

#[tokio::test]
async fn a_websocket_passes_through() {
    const UPGRADE: &str = "GET /ws/ HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let authority = Authority::new();
    let config = Arc::new(authority.server("127.0.0.1"));
    let script = |_: &_| Reply::raw(format!("{SWITCH}hello")).echo();
    let backend = Backend::start_tls(config, script).await;
    let gateway = Gateway::before(&backend.address, &authority.trusted("")).await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(UPGRADE).await;
    assert_eq!(conn.head().await.status, 101);
    assert_eq!(conn.bytes(5).await, b"hello");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    conn.send(&bytes).await;
    assert!(conn.bytes(bytes.len()).await == bytes);
    conn.finish_sending().await;
    assert_eq!(conn.ending().await, Ending::Clean);
}

#[tokio::test]
async fn nobody_is_believed_who_cannot_prove_the_name() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let trusted = authority.trusted("");
    let ip = "127.0.0.1";
    for (config, keys, why) in [
        (
            stranger.server(ip),
            trusted.clone(),
            "its certificate is signed by nobody who is trusted here",
        ),
        (
            authority.server("other.test"),
            trusted.clone(),
            "its certificate is for another name",
        ),
        (
            authority.server(ip),
            authority.trusted(", name = \"site.test\""),
            "its certificate is for another name",
        ),
        (
            authority.server_with(ip, true, &VERSIONS),
            trusted.clone(),
            "its certificate has expired",
        ),
        (authority.strict_server(ip), trusted.clone(), "TLS failed"),
    ] {
        let backend = Backend::start_tls(Arc::new(config), |_| Reply::ok("")).await;
        if why != "TLS failed" {
            // With TLS 1.3 a server refuses a client after the client's side is done.
            let told = unreached(&backend.address, &keys).await;
            assert_eq!(told[0], format!("no TLS with {}", backend.address));
            assert_eq!(told[1], why);
        }
        let keys = format!("{keys}\nretry_for = \"300ms\"");
        let gateway = Gateway::before(&backend.address, &keys).await;
        assert_eq!(get(&gateway.public, "/").await.status, 502, "{why}");
        assert_eq!(backend.count(), 0, "nothing was said: {why}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let plain = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        socket
    };
    let (told, _socket) = tokio::join!(unreached(&server, &trusted), plain);
    assert_eq!(told[1], "TLS failed", "{told:?}");
}

#[tokio::test]
async fn a_server_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let config = authority.strict_server("127.0.0.1");
    let backend = Backend::start_tls(Arc::new(config), |_| Reply::ok("welcome")).await;
    authority.issue("gateway.test", false);
    let (cert, key) = (authority.file("cert.pem"), authority.file("key.pem"));
    let keys = authority.trusted(&format!(", cert = \"{cert}\", key = \"{key}\""));
    let gateway = Gateway::before(&backend.address, &keys).await;
    assert_eq!(get(&gateway.public, "/").await.text(), "welcome");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_a_connection_that_is_not_accepted() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let keys = format!("{}\nconnect_timeout = \"200ms\"", authority.trusted(""));
    let gateway = Gateway::before(&server, &keys).await;
    let (answer, _silent) = tokio::join!(get(&gateway.public, "/"), listener.accept());
    assert_eq!(answer.status, 504);
}

#[tokio::test]
async fn who_cannot_be_believed_is_no_reason_to_fail_while_another_can() {
    let authority = Authority::new();
    let stranger = Authority::new().server("127.0.0.1");
    let one = Backend::start_tls(Arc::new(stranger), |_| Reply::ok("one")).await;
    let config = Arc::new(authority.server("127.0.0.1"));
    let two = Backend::start_tls(config, |_| Reply::ok("two")).await;
    let servers = crate::support::gateway::servers([&one.address, &two.address]);
    let gateway = Gateway::before(&servers, &authority.trusted("")).await;
    for _ in 0..4 {
        let answer = Conn::open(&gateway.public).await.ask(POST).await;
        assert_eq!((answer.status, answer.text()), (200, "two"));
    }
}
