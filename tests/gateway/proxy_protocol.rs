//! The PROXY protocol: whom a trusted proxy names is the client, and who may not speak for others gets nothing.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::support::tls::{Certificate, tcp};
use crate::support::{Backend, Conn, EventSource, Gateway, Reply, gateway, until, within};

const LINE: &str = "PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
const TRUST: &str = "[trust]\nproxies = [\"127.0.0.1\"]\n";

/// A gateway whose TCP listener speaks the PROXY protocol.
async fn behind(text: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let text = format!("{text}\n{}", gateway::everything_to(&backend.address, ""));
    let gateway = Gateway::start_with("proxy_protocol = true", &text).await;
    (gateway, backend)
}

fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut block = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    block.extend([command, family, 0, u8::try_from(rest.len()).unwrap()]);
    block.extend(rest);
    block
}

/// 2001:db8::9, and a checksum.
fn block6() -> Vec<u8> {
    let mut rest = [0; 36 + 7];
    rest[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    rest[15] = 9;
    rest[36..39].copy_from_slice(&[3, 0, 4]);
    block(0x21, 0x21, &rest)
}

async fn refused(gateway: &Gateway, reason: &str, count: u64) {
    let mut publisher = gateway.publisher().await;
    let metric = format!("tidegate_connections_refused_total{{reason=\"{reason}\"}}");
    until(reason, async || publisher.metric(&metric).await == count).await;
}

#[tokio::test]
async fn whom_the_header_names_is_the_client() {
    let (gateway, backend) = behind(TRUST).await;
    let local = block(0x20, 0, &[]);
    let cases = [
        (LINE.as_bytes(), "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "2001:db8::7"),
        (&block6(), "2001:db8::9"),
        // The proxy speaks for itself.
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (&local, "127.0.0.1"),
    ];
    for (number, (header, client)) in cases.into_iter().enumerate() {
        let mut conn = Conn::open(&gateway.public).await;
        let all = [header, GET.as_bytes()].concat();
        assert_eq!(conn.ask(&all).await.status, 200, "{client}");
        assert_eq!(conn.ask(GET).await.status, 200, "only the first has one");
        for number in [2 * number, 2 * number + 1] {
            let seen = backend.request(number).await;
            assert_eq!(seen.header("x-forwarded-for"), Some(client));
            assert_eq!(seen.header("x-real-ip"), Some(client));
            assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        }
    }
}

#[tokio::test]
async fn a_header_may_come_in_pieces() {
    let (gateway, backend) = behind(TRUST).await;
    for header in [LINE.as_bytes(), &block6()] {
        let mut conn = Conn::over(tcp(&gateway.public).await);
        let all = [header, GET.as_bytes()].concat();
        for byte in all {
            conn.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(conn.answer().await.status, 200);
    }
    let seen = backend.request(1).await;
    assert_eq!(seen.header("x-real-ip"), Some("2001:db8::9"));
}

#[tokio::test]
async fn what_the_client_says_counts_only_if_the_client_is_trusted_itself() {
    let (gateway, backend) = behind("[trust]\nproxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n").await;
    let lines =
        "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Request-ID: theirs\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n");
    for (source, chain, proto) in [
        ("203.0.113.9", "203.0.113.9", "http"),
        ("10.1.2.3", "198.51.100.7, 10.1.2.3", "https"),
    ] {
        let line = format!("PROXY TCP4 {source} 10.0.0.1 12345 443\r\n");
        let mut conn = Conn::open(&gateway.public).await;
        assert_eq!(conn.ask(format!("{line}{request}")).await.status, 200);
        let seen = backend.seen(|log| log.requests.last().cloned()).unwrap();
        assert_eq!(seen.header("x-forwarded-for"), Some(chain));
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto));
        let theirs = seen.header("x-request-id") == Some("theirs");
        assert_eq!(theirs, proto == "https");
    }
}

#[tokio::test]
async fn whom_the_header_does_not_name_has_not_the_word_of_the_proxy() {
    let (gateway, backend) = behind(TRUST).await;
    let lines =
        "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Request-ID: theirs\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n");
    let unix = block(0x21, 0x31, &[b'/'; 216]);
    for header in [&b"PROXY UNKNOWN\r\n"[..], &block(0x20, 0, &[]), &unix] {
        let mut conn = Conn::open(&gateway.public).await;
        let all = [header, request.as_bytes()].concat();
        assert_eq!(conn.ask(all).await.status, 200);
        let seen = backend.seen(|log| log.requests.last().cloned()).unwrap();
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        assert_ne!(seen.header("x-request-id"), Some("theirs"));
    }
}

#[tokio::test]
async fn with_client_ip_proxy_protocol_no_header_names_the_client() {
    let trust = "[trust]\nproxies = [\"0.0.0.0/0\"]\nclient_ip = \"proxy-protocol\"\n";
    let (gateway, backend) = behind(trust).await;
    let request = "GET / HTTP/1.1\r\nHost: site.test\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask(format!("{LINE}{request}")).await.status, 200);
    let seen = backend.request(0).await;
    assert_eq!(seen.header("x-forwarded-for"), Some("203.0.113.9"));
}

#[tokio::test]
async fn who_is_not_trusted_or_sends_no_good_header_is_closed_and_counted() {
    let (gateway, backend) = behind(TRUST).await;
    let bad: [&[u8]; 5] = [
        GET.as_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        &block(0x21, 0x11, &[1; 11]),
        &block(0x11, 0x11, &[1; 12]),
    ];
    for bytes in bad {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(bytes).await;
        conn.send(GET).await;
        assert!(conn.rest().await.is_empty(), "{bytes:?}");
    }
    refused(&gateway, "header", 5).await;
    drop(Conn::open(&gateway.public).await);
    refused(&gateway, "left", 1).await;
    let stranger = "[trust]\nproxies = [\"10.0.0.0/8\", \"unix:\"]\n";
    let (closed, _) = behind(stranger).await;
    let mut conn = Conn::open(&closed.public).await;
    conn.send(LINE).await;
    conn.send(GET).await;
    assert!(conn.rest().await.is_empty());
    refused(&closed, "untrusted", 1).await;
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let limits = "[limits]\nheader_timeout = \"200ms\"\n";
    let (gateway, _backend) = behind(&format!("{TRUST}{limits}")).await;
    let mut silent = Conn::open(&gateway.public).await;
    let mut half = Conn::open(&gateway.public).await;
    half.send("PROXY TCP4 203").await;
    assert!(silent.rest().await.is_empty());
    assert!(half.rest().await.is_empty());
    refused(&gateway, "timeout", 2).await;
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let certificate = Certificate::new();
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let to = gateway::everything_to(&backend.address, "");
    let text = format!("{TRUST}{}{to}", certificate.table());
    let gateway = Gateway::start_with("proxy_protocol = true\ntls = \"main\"", &text).await;
    let client = certificate.client(&TLS13, &["http/1.1"]);
    let mut socket = tcp(&gateway.public).await;
    // Both in one packet: the handshake begins right behind the header.
    socket.write_all(&block6()).await.unwrap();
    let name = ServerName::try_from("site.test").unwrap();
    let connecting = TlsConnector::from(Arc::clone(&client)).connect(name, socket);
    let stream = within("a handshake", connecting).await.unwrap();
    assert_eq!(Conn::over(stream).ask(GET).await.status, 200);
    let seen = backend.request(0).await;
    assert_eq!(seen.header("x-forwarded-for"), Some("2001:db8::9"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    // Plain HTTP behind a header is told so.
    let mut plain = Conn::open(&gateway.public).await;
    let answer = plain.ask(format!("{LINE}{GET}")).await;
    assert_eq!(
        (answer.status, answer.text()),
        (400, "plain HTTP on a TLS port\n")
    );
}

#[tokio::test]
async fn streams_and_limits_know_the_client_of_the_header() {
    let route = "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true, per_ip = 1 }\n";
    let gateway = Gateway::start_with("proxy_protocol = true", &format!("{TRUST}{route}")).await;
    let stream = "GET /events/ HTTP/1.1\r\nHost: site.test\r\nAccept: text/event-stream\r\n\r\n";
    let line = |last| format!("PROXY TCP4 203.0.113.{last} 10.0.0.1 12345 443\r\n{stream}");
    let mut open = Vec::new();
    for (last, status) in [(1, 200), (1, 429), (2, 200)] {
        let mut conn = Conn::open(&gateway.public).await;
        assert_eq!(conn.ask_head(line(last)).await, status);
        open.push(conn);
    }
    let mut publisher = gateway.publisher().await;
    let streams = publisher.get("/v1/streams").await.json();
    let mut addresses: Vec<_> = streams["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| stream["address"].as_str().unwrap().to_owned())
        .collect();
    addresses.sort();
    assert_eq!(addresses, ["203.0.113.1", "203.0.113.2"]);
    // A listener without the key takes no header.
    let mut plain = EventSource::open(&gateway.public_unix, "/events/").await;
    publisher.text("news", "hello").await;
    assert_eq!(plain.next().await.data, "hello");
    assert!(!open[0].is_silent_for(Duration::from_secs(5)).await);
}
