//! `client_ca`: only clients with a certificate are let in.

use std::io;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::AsyncReadExt;

use crate::support::tls::{Authority, Certificate, VERSIONS, connect, try_connect};
use crate::support::{Backend, Conn, EventSource, Gateway, Reply};
use crate::support::{gateway, streaming, until, within};

const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// Whether the gateway ends a connection of this client without a word of HTTP. A client of TLS 1.3 is done with its
/// handshake before its certificate is looked at.
async fn is_refused(gateway: &Gateway, client: &Arc<ClientConfig>) -> bool {
    let Ok(mut stream) = try_connect(&gateway.public, client).await else {
        return true;
    };
    let mut rest = Vec::new();
    let read: io::Result<_> = within("the end", stream.read_to_end(&mut rest)).await;
    read.is_err() && rest.is_empty()
}

#[tokio::test]
async fn a_client_without_a_certificate_of_ours_never_reaches_http() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let (certificate, authority) = (Certificate::new(), Authority::new());
    let table = format!("{}{}", certificate.table(), authority.line());
    let rest = gateway::everything_to(&backend.address, "");
    let gateway = Gateway::start_with("tls = \"main\"", &format!("{table}{rest}")).await;

    let (ours, strangers) = (authority.client(2090), Authority::new().client(2090));
    let ended = authority.client(2020);
    for version in VERSIONS {
        let client = certificate.known_client(version, &ours);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = connect(&gateway.public, &client).await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
            assert_eq!(Conn::over(stream).ask(GET).await.text(), "fine");
        }
        for stranger in [
            certificate.client(version, &[]),
            certificate.known_client(version, &strangers),
            certificate.known_client(version, &ended),
        ] {
            assert!(is_refused(&gateway, &stranger).await);
        }
    }
    assert_eq!(backend.count(), 4);
    let mut publisher = gateway.publisher().await;
    let name = "tidegate_tls_handshake_failures_total{reason=\"client_certificate\"}";
    until(name, async || publisher.metric(name).await == 6).await;
}

#[tokio::test]
async fn who_has_a_certificate_publishes_without_a_token_by_any_name() {
    let (certificate, authority) = (Certificate::new(), Authority::new());
    let (main, known) = (certificate.named("main"), certificate.named("known"));
    let text = format!(
        "{main}{known}{}[listen.known]\naddress = \"127.0.0.1:0\"\nrole = \"internal\"\ntls = \"known\"\n\
         [listen.plain]\naddress = \"127.0.0.1:0\"\nrole = \"internal\"\ntls = \"main\"\n{}",
        authority.line(),
        streaming::ROUTES
    );
    let gateway = Gateway::start(&text).await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let post = |lines: &str| {
        format!(
            "POST /v1/channels/news/events HTTP/1.1\r\nHost: gateway.internal:9090\r\n\
             Content-Type: text/plain\r\nContent-Length: 3\r\n{lines}\r\none"
        )
    };
    let client = certificate.known_client(&TLS13, &authority.client(2090));
    let mut conn = Conn::over(connect(&gateway.address("known"), &client).await);
    // A browser may have a certificate too, and any page it shows may use it.
    let page = conn.ask(post("Origin: https://evil.test\r\n")).await;
    assert_eq!(page.status, 403);
    assert_eq!(conn.ask(post("")).await.status, 200);
    assert_eq!(source.next().await.data, "one");

    let client = certificate.client(&TLS12, &[]);
    let mut conn = Conn::over(connect(&gateway.address("plain"), &client).await);
    assert_eq!(conn.ask(post("")).await.status, 403);
}
