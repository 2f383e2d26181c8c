//! A certificate is replaced while the gateway runs.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rustls::HandshakeKind;
use rustls::version::TLS13;

use crate::support::http2::Http2;
use crate::support::tls::{Certificate, connect, look};
use crate::support::{Conn, EventSource, Gateway, Publisher};
use crate::support::{streaming, until, within};

const FAILURES: &str = "tidegate_tls_reload_failures_total{tls=\"main\"}";
const EXPIRY: &str = "tidegate_tls_certificate_expiry_seconds{tls=\"main\"}";

async fn streaming_with(certificate: &Certificate) -> (Gateway, Publisher) {
    let text = format!("{}{}", certificate.table(), streaming::ROUTES);
    let gateway = Gateway::start_with("tls = \"main\"", &text).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

/// Waits until it is this certificate that new clients are shown.
async fn shown(gateway: &Gateway, certificate: &Certificate) {
    until("the new certificate", async || {
        gateway.look_at_certificates();
        certificate.is_shown(&look(&gateway.public, "site.test").await)
    })
    .await;
}

#[tokio::test]
async fn new_connections_get_the_new_one_and_open_ones_go_on() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let (gateway, mut publisher) = streaming_with(&old).await;

    let client = old.client(&TLS13, &["http/1.1"]);
    let conn = Conn::over(connect(&gateway.public, &client).await);
    let Ok(mut source) = EventSource::try_over(conn, "/events/", "").await else {
        panic!()
    };
    let http2 = old.client(&TLS13, &["h2"]);
    let mut http2 = Http2::over(connect(&gateway.public, &http2).await).await;
    let request = Request::get("https://site.test/events/").body(Full::<Bytes>::default());
    let mut body = http2.begin(request.unwrap()).await.unwrap().into_body();

    old.replace_by(&new);
    shown(&gateway, &new).await;
    let trusting = new.client(&TLS13, &["http/1.1"]);
    connect(&gateway.public, &trusting).await;
    // A ticket is not of a certificate, but of the listener.
    let again = connect(&gateway.public, &client).await;
    let kind = again.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));

    publisher.text("news", "after").await;
    assert_eq!(source.next().await.data, "after");
    let mut text = String::new();
    within("the event over HTTP/2", async {
        while !text.contains("data: after\n\n") {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    })
    .await;
    assert_eq!(publisher.metric(FAILURES).await, 0);
}

#[tokio::test]
async fn a_broken_pair_keeps_the_old_one_and_is_counted() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let (gateway, mut publisher) = streaming_with(&old).await;
    // The year 4096, as the tests have it.
    let expiry = publisher.metric(EXPIRY).await;
    assert!(expiry > 60_000_000_000, "{expiry}");
    assert_eq!(publisher.metric(FAILURES).await, 0);

    // The key is still that of the old one.
    std::fs::copy(new.path("cert.pem"), old.path("cert.pem")).unwrap();
    until("one failure", async || {
        gateway.look_at_certificates();
        publisher.metric(FAILURES).await == 1
    })
    .await;
    assert!(old.is_shown(&look(&gateway.public, "site.test").await));

    std::fs::copy(new.path("key.pem"), old.path("key.pem")).unwrap();
    shown(&gateway, &new).await;
    assert_eq!(publisher.metric(FAILURES).await, 1);
}
