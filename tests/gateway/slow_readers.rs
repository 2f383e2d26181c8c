//! Clients that read slowly, but steadily: `body_idle` is for those that take nothing (`limits`, `tls`,
//! `streams_delivering`).

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rustls::version::TLS13;
use tokio_rustls::TlsConnector;

use crate::support::http2::Http2;
use crate::support::slow::{Slow, tcp};
use crate::support::tls::Certificate;
use crate::support::{Backend, Conn, EventSource, Gateway, Reply, gateway, streaming, within};

const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
const LIMITS: &str = "[limits]\nbody_idle = \"4s\"\n";

/// What the client reads, which takes it eight seconds: more than `body_idle`.
const READ: usize = 320 << 10;

/// More than all buffers on the way have room for.
async fn backend() -> Backend {
    let reply = Reply::ok(&"x".repeat(32 << 20));
    Backend::start(move |_| reply.clone()).await
}

async fn before(backend: &Backend) -> Gateway {
    let rest = gateway::everything_to(&backend.address, "");
    Gateway::start(&format!("{LIMITS}{rest}")).await
}

#[tokio::test]
async fn over_http_1_none_is_cut_off() {
    let backend = backend().await;
    let gateway = before(&backend).await;
    let mut conn = Conn::over(Slow::new(tcp(&gateway.public).await));
    conn.send(GET).await;
    conn.bytes(READ).await;
}

#[tokio::test]
async fn over_http_2_none_is_cut_off() {
    let backend = backend().await;
    let gateway = before(&backend).await;
    let mut client = Http2::over(Slow::new(tcp(&gateway.public).await)).await;
    let request = Request::get("http://site.test/").body(Full::<Bytes>::default());
    let mut body = client.begin(request.unwrap()).await.unwrap().into_body();
    let mut read = 0;
    while read < READ {
        let frame = within("more of the body", body.frame()).await;
        read += frame.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test]
async fn over_tls_none_is_cut_off() {
    let backend = backend().await;
    let certificate = Certificate::new();
    let rest = gateway::everything_to(&backend.address, "");
    let text = format!("{}{LIMITS}{rest}", certificate.table());
    let gateway = Gateway::start_with("tls = \"main\"", &text).await;
    let client = certificate.client(&TLS13, &[]);
    let name = "site.test".try_into().unwrap();
    let connecting = TlsConnector::from(client).connect(name, tcp(&gateway.public).await);
    let stream = within("a handshake", connecting).await.unwrap();
    let mut conn = Conn::over(Slow::new(stream));
    conn.send(GET).await;
    conn.bytes(READ).await;
}

#[tokio::test]
async fn no_listener_of_a_stream_is_cut_off() {
    let (gateway, mut publisher) =
        streaming::site(&format!("history = {{ events = 16 }}\n{LIMITS}")).await;
    let conn = Conn::over(Slow::new(tcp(&gateway.public).await));
    let Ok(mut source) = EventSource::try_over(conn, "/events/", "").await else {
        panic!("no stream")
    };
    let big = "x".repeat(READ / 8);
    for _ in 0..10 {
        publisher.text("news", &big).await;
    }
    for _ in 0..10 {
        assert_eq!(source.next().await.data, big);
    }
}
