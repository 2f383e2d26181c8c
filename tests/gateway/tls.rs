//! TLS on a listener: how it begins, that the rest is as it is without, and how it ends.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::support::http2::Http2;
use crate::support::tls::{Certificate, VERSIONS, connect, tcp, try_connect};
use crate::support::{Backend, Conn, Ending, EventSource, Gateway, Publisher, Reply};
use crate::support::{gateway, streaming, until, within};

const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
const BOTH: &[&str] = &["h2", "http/1.1"];
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A gateway that passes everything on, whose public listener over TCP speaks TLS.
async fn before(backend: &Backend, listen: &str, more: &str) -> (Gateway, Certificate) {
    let certificate = Certificate::new();
    let (table, rest) = (
        certificate.table(),
        gateway::everything_to(&backend.address, ""),
    );
    let listen = format!("tls = \"main\"\n{listen}");
    let gateway = Gateway::start_with(&listen, &format!("{table}{more}\n{rest}")).await;
    (gateway, certificate)
}

async fn plain(answer: &str) -> Backend {
    let reply = Reply::ok(answer);
    Backend::start(move |_| reply.clone()).await
}

fn request(target: &str) -> Request<Full<Bytes>> {
    let request = Request::get(format!("https://site.test{target}"));
    request.body(Full::default()).unwrap()
}

fn agreed(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

/// Waits until so many handshakes have failed for this reason.
async fn failed(gateway: &Gateway, reason: &str, count: u64) {
    let mut publisher = gateway.publisher().await;
    let name = format!("tidegate_tls_handshake_failures_total{{reason=\"{reason}\"}}");
    until(&name, async || publisher.metric(&name).await == count).await;
}

#[tokio::test]
async fn a_page_comes_over_either_version_of_tls_and_of_http() {
    let backend = plain("fine").await;
    let (gateway, certificate) = before(&backend, "", "").await;
    for version in VERSIONS {
        let client = certificate.client(version, &["http/1.1"]);
        let stream = connect(&gateway.public, &client).await;
        let spoken = stream.get_ref().1.protocol_version();
        assert_eq!(spoken, Some(version.version));
        assert_eq!(agreed(&stream), Some(&b"http/1.1"[..]));
        let mut conn = Conn::over(stream);
        for _ in 0..2 {
            assert_eq!(conn.ask(GET).await.text(), "fine");
        }

        // What the gateway likes best is agreed upon, whatever the client's order.
        let client = certificate.client(version, &["http/1.1", "h2"]);
        let stream = connect(&gateway.public, &client).await;
        assert_eq!(agreed(&stream), Some(&b"h2"[..]));
        let mut http2 = Http2::over(stream).await;
        for _ in 0..2 {
            let answer = http2.send(request("/")).await.unwrap();
            assert_eq!((&*answer.body, answer.whole), (&b"fine"[..], true));
        }
    }
    assert_eq!(backend.count(), 8);
    for number in 0..8 {
        let request = backend.request(number).await;
        assert_eq!(request.header("x-forwarded-proto"), Some("https"));
        assert_eq!(request.header("x-forwarded-port"), Some("443"));
        assert_eq!(request.header("x-forwarded-host"), Some("site.test"));
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn what_was_agreed_is_what_is_spoken() {
    let backend = plain("fine").await;
    let (gateway, certificate) = before(&backend, "", "").await;
    // Who has agreed to nothing speaks HTTP/1.1.
    let client = certificate.client(&TLS13, &[]);
    let stream = connect(&gateway.public, &client).await;
    assert_eq!(agreed(&stream), None);
    assert_eq!(Conn::over(stream).ask(GET).await.text(), "fine");
    for (protocols, bytes) in [
        (&[][..], PREFACE),
        (&["http/1.1"][..], PREFACE),
        (BOTH, GET),
    ] {
        let client = certificate.client(&TLS13, protocols);
        let mut conn = Conn::over(connect(&gateway.public, &client).await);
        conn.send(bytes).await;
        let rest = conn.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 400 "),
            "{protocols:?}: {rest:?}"
        );
    }
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn where_http_2_is_off_it_is_not_offered() {
    let backend = plain("fine").await;
    let (gateway, certificate) = before(&backend, "http2 = false", "").await;
    let stream = connect(&gateway.public, &certificate.client(&TLS13, BOTH)).await;
    assert_eq!(agreed(&stream), Some(&b"http/1.1"[..]));
    assert_eq!(Conn::over(stream).ask(GET).await.text(), "fine");
    let only = certificate.client(&TLS13, &["h2"]);
    assert!(try_connect(&gateway.public, &only).await.is_err());
    failed(&gateway, "incompatible", 1).await;
}

#[tokio::test]
async fn an_event_stream_is_held_over_either_version_of_http() {
    let certificate = Certificate::new();
    let text = format!("{}{}", certificate.table(), streaming::ROUTES);
    let gateway = Gateway::start_with("tls = \"main\"", &text).await;
    let mut publisher = gateway.publisher().await;
    for version in VERSIONS {
        let client = certificate.client(version, &["http/1.1"]);
        let conn = Conn::over(connect(&gateway.public, &client).await);
        let source = EventSource::try_over(conn, "/events/", "").await;
        let Ok(mut source) = source else { panic!() };

        let client = certificate.client(version, BOTH);
        let mut http2 = Http2::over(connect(&gateway.public, &client).await).await;
        let answer = http2.begin(request("/events/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();

        let large = "x".repeat(200_000);
        for data in ["one", &large, "two"] {
            publisher.text("news", data).await;
        }
        assert_eq!(source.data(3).await, ["one", &large, "two"]);
        let mut text = String::new();
        within("the events over HTTP/2", async {
            while !text.contains("data: two\n\n") {
                let frame = body.frame().await.unwrap().unwrap();
                text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        })
        .await;
        assert!(text.contains("data: one\n\n") && text.contains(&large));
    }
    // The end is one of the stream and of the connection.
    let conn = connect(&gateway.public, &certificate.client(&TLS13, &[])).await;
    let source = EventSource::try_over(Conn::over(conn), "/events/", "").await;
    let Ok(source) = source else { panic!() };
    let ((), ()) = tokio::join!(source.ends(), gateway.drain());
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let body = "0123456789abcdef".repeat(1 << 18);
    let backend = plain(&body).await;
    let (gateway, certificate) = before(&backend, "", "").await;
    for version in VERSIONS {
        let client = certificate.client(version, &["http/1.1"]);
        let mut conn = Conn::over(connect(&gateway.public, &client).await);
        let length = body.len();
        let head =
            format!("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: {length}\r\n\r\n");
        conn.send(head).await;
        conn.send(&body).await;
        let answer = conn.answer().await;
        assert!(answer.whole && answer.text() == body);

        let client = certificate.client(version, BOTH);
        let mut http2 = Http2::over(connect(&gateway.public, &client).await).await;
        let mut post = request("/");
        *post.method_mut() = http::Method::POST;
        *post.body_mut() = Full::from(body.clone());
        let answer = http2.send(post).await.unwrap();
        assert!(answer.whole && answer.body == body.as_bytes());
    }
    for number in 0..4 {
        assert!(backend.request(number).await.body == body.as_bytes());
    }
}

#[tokio::test]
async fn who_comes_back_resumes() {
    let backend = plain("fine").await;
    let (gateway, certificate) = before(&backend, "", "").await;
    for version in VERSIONS {
        let client = certificate.client(version, &["http/1.1"]);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = connect(&gateway.public, &client).await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
            // The ticket comes with the answer, at the latest.
            assert_eq!(Conn::over(stream).ask(GET).await.text(), "fine");
        }
    }
}

#[tokio::test]
async fn a_client_older_than_min_version_is_refused() {
    let backend = plain("fine").await;
    let certificate = Certificate::new();
    let table = format!("{}min_version = \"1.3\"\n", certificate.table());
    let rest = gateway::everything_to(&backend.address, "");
    let gateway = Gateway::start_with("tls = \"main\"", &format!("{table}{rest}")).await;
    let old = certificate.client(&TLS12, &[]);
    let error = try_connect(&gateway.public, &old).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    failed(&gateway, "incompatible", 1).await;
    let new = connect(&gateway.public, &certificate.client(&TLS13, &[])).await;
    let spoken = new.get_ref().1.protocol_version();
    assert_eq!(spoken, Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn a_silent_client_is_cut_off_before_and_after_the_handshake() {
    let backend = plain("fine").await;
    let limits = "[limits]\nheader_timeout = \"300ms\"";
    let (gateway, certificate) = before(&backend, "", limits).await;
    let begun = Instant::now();
    let mut silent = tcp(&gateway.public).await;
    // The beginning of a record that says it is 512 bytes long.
    let mut half = tcp(&gateway.public).await;
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    for conn in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        within("the end", conn.read_to_end(&mut rest))
            .await
            .unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        assert!(begun.elapsed() >= Duration::from_millis(250));
    }
    failed(&gateway, "timeout", 2).await;
    let client = certificate.client(&TLS13, &[]);
    let mut shaken = Conn::over(connect(&gateway.public, &client).await);
    shaken.rest().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_tls_ends_its_own_connection_and_no_other() {
    let backend = plain("fine").await;
    let (gateway, certificate) = before(&backend, "", "").await;
    let client = certificate.client(&TLS13, &[]);
    let mut other = Conn::over(connect(&gateway.public, &client).await);
    assert_eq!(other.ask(GET).await.status, 200);
    let mut waiting = tcp(&gateway.public).await;
    waiting.write_all(b"\x16\x03\x01").await.unwrap();

    let nonsense: Vec<u8> = (0..200).map(|number| 255 - number).collect();
    for bytes in [
        &nonsense[..],
        b"\x16\x03\x01\x00\x04\xff\xff\xff\xff",
        b"\0",
        b"\x16\x03",
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(bytes).await;
        conn.finish_sending().await;
        // An alert at most.
        assert!(conn.rest().await.len() <= 7);
    }
    failed(&gateway, "not_tls", 3).await;
    failed(&gateway, "left", 1).await;

    assert_eq!(other.ask(GET).await.status, 200);
    let mut new = Conn::over(connect(&gateway.public, &client).await);
    assert_eq!(new.ask(GET).await.status, 200);
    assert_eq!(backend.count(), 3);
}

#[tokio::test]
async fn plain_http_is_told_that_this_is_a_tls_port() {
    let backend = plain("fine").await;
    let (gateway, _) = before(&backend, "", "").await;
    for bytes in [GET.to_owned(), format!("{GET}{}", "x".repeat(20_000))] {
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn.ask(bytes).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.text(), "plain HTTP on a TLS port\n");
        assert_eq!(conn.ending().await, Ending::Clean);
    }
    failed(&gateway, "plain_http", 2).await;
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_counted() {
    let backend = plain("fine").await;
    let (gateway, _) = before(&backend, "", "").await;
    let stranger = Certificate::new().client(&TLS12, &[]);
    assert!(try_connect(&gateway.public, &stranger).await.is_err());
    failed(&gateway, "refused", 1).await;
}

#[tokio::test]
async fn a_connection_ends_with_a_close_notify_unless_its_answer_broke_off() {
    let cut = Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
    let backend = Backend::start(move |request| match request.target() {
        "/cut" => cut.clone().close(),
        _ => Reply::ok("fine"),
    })
    .await;
    let (gateway, certificate) = before(&backend, "", "").await;
    for version in VERSIONS {
        let client = certificate.client(version, &[]);
        let mut conn = Conn::over(connect(&gateway.public, &client).await);
        let last = "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";
        assert_eq!(conn.ask(last).await.text(), "fine");
        assert_eq!(conn.ending().await, Ending::Clean);

        let mut conn = Conn::over(connect(&gateway.public, &client).await);
        let answer = conn
            .ask("GET /cut HTTP/1.0\r\nHost: site.test\r\n\r\n")
            .await;
        assert_eq!((answer.text(), answer.whole), ("part", false));
        assert_eq!(conn.ending().await, Ending::Reset);
    }
    let client = certificate.client(&TLS13, &[]);
    let mut idle = Conn::over(connect(&gateway.public, &client).await);
    assert_eq!(idle.ask(GET).await.text(), "fine");
    // One in its handshake holds up nothing.
    let mut waiting = tcp(&gateway.public).await;
    waiting.write_all(b"\x16\x03\x01").await.unwrap();
    let ending = async move { idle.ending().await };
    let (took, ending) = tokio::join!(gateway.stop(), ending);
    assert_eq!(ending, Ending::Clean);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let body = "x".repeat(32 << 20);
    let backend = plain(&body).await;
    let limits = "[limits]\nbody_idle = \"300ms\"";
    let (gateway, certificate) = before(&backend, "", limits).await;
    let client = certificate.client(&TLS13, &[]);
    let mut conn = Conn::over(connect(&gateway.public, &client).await);
    conn.send(GET).await;
    backend.request(0).await;
    backend
        .until("the gateway gives up", |log| {
            log.connections[0].closed || log.at_once == 0
        })
        .await;
    gateway.until_no_body_waits().await;
    let answer = conn.answer().await;
    assert!(!answer.whole && answer.body.len() < body.len());
}

#[tokio::test]
async fn a_websocket_passes_both_ways() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(switch).echo()).await;
    let (gateway, certificate) = before(&backend, "", "").await;
    let client = certificate.client(&TLS13, &["http/1.1"]);
    let mut conn = Conn::over(connect(&gateway.public, &client).await);
    let upgrade = "GET /ws/ HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(conn.ask_head(upgrade).await, 101);
    for length in [1, 100_000] {
        let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
        conn.send(&bytes).await;
        assert!(conn.bytes(length).await == bytes);
    }
    conn.finish_sending().await;
    assert_eq!(conn.ending().await, Ending::Clean);
}

#[tokio::test]
async fn an_internal_listener_may_speak_tls() {
    let certificate = Certificate::new();
    let text = format!(
        "{}[listen.secret]\naddress = \"127.0.0.1:0\"\nrole = \"internal\"\ntls = \"main\"\n{}",
        certificate.table(),
        streaming::ROUTES
    );
    let gateway = Gateway::start(&text).await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let client = certificate.client(&TLS13, &["http/1.1"]);
    let stream = connect(&gateway.address("secret"), &client).await;
    Publisher::over(Conn::over(stream))
        .text("news", "one")
        .await;
    assert_eq!(source.next().await.data, "one");
}
