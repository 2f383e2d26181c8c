//! How many connections one client may have.

use crate::support::{Backend, Conn, Gateway, Reply, gateway, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";

async fn limited(listen: &str, text: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let to = gateway::everything_to(&backend.address, "");
    let text = format!("[limits]\nconnections = 2\n{text}\n{to}");
    (Gateway::start_with(listen, &text).await, backend)
}

async fn count(gateway: &Gateway) -> u64 {
    let metric = "tidegate_connections_refused_total{reason=\"client\"}";
    let mut publisher = gateway.publisher().await;
    publisher.metric(metric).await
}

#[tokio::test]
async fn one_more_than_a_client_may_have_is_closed_at_once() {
    let (gateway, backend) = limited("", "").await;
    let mut first = Conn::open(&gateway.public).await;
    let mut second = Conn::open(&gateway.public).await;
    assert_eq!(first.ask(GET).await.status, 200);
    assert_eq!(second.ask(GET).await.status, 200);
    let mut third = Conn::open(&gateway.public).await;
    third.send(GET).await;
    assert!(third.rest().await.is_empty());
    assert_eq!(count(&gateway).await, 1);
    // Those on a unix socket have no address.
    let mut near = Vec::new();
    for _ in 0..3 {
        let mut conn = Conn::open(&gateway.public_unix).await;
        assert_eq!(conn.ask(GET).await.status, 200);
        near.push(conn);
    }
    assert_eq!(first.ask(GET).await.status, 200);
    drop(second);
    until("a place", async || {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(GET).await;
        conn.try_head()
            .await
            .is_some_and(|answer| answer.status == 200)
    })
    .await;
    assert!(backend.count() >= 7);
}

#[tokio::test]
async fn a_held_stream_is_a_connection_of_its_client_to_its_end() {
    let route = "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";
    let gateway = Gateway::start(&format!("[limits]\nconnections = 1\n{route}")).await;
    let request = "GET /events/ HTTP/1.1\r\nHost: site.test\r\n\r\n";
    let mut stream = Conn::open(&gateway.public).await;
    assert_eq!(stream.ask_head(request).await, 200);
    let mut other = Conn::open(&gateway.public).await;
    other.send(request).await;
    assert!(other.rest().await.is_empty());
    drop(stream);
    until("a place", async || {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(request).await;
        conn.try_head().await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_websocket_is_a_connection_of_its_client_to_its_end() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(switch).echo()).await;
    let to = gateway::everything_to(&backend.address, "");
    let gateway = Gateway::start(&format!("[limits]\nconnections = 1\n{to}")).await;
    let request = "GET /ws/ HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut socket = Conn::open(&gateway.public).await;
    assert_eq!(socket.ask_head(request).await, 101);
    // Only the tunnel has the connection now.
    socket.send("there").await;
    assert_eq!(socket.bytes(5).await, b"there");
    let mut other = Conn::open(&gateway.public).await;
    other.send(request).await;
    assert!(other.rest().await.is_empty());
    assert_eq!(count(&gateway).await, 1);
    let mut publisher = gateway.publisher().await;
    until("it and the publisher's own are open", async || {
        publisher.metric("tidegate_connections_open").await == 2
    })
    .await;
    drop(socket);
    until("a place", async || {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(request).await;
        conn.try_head().await.is_some()
    })
    .await;
}

#[tokio::test]
async fn connections_of_trusted_proxies_are_not_counted() {
    let (gateway, _backend) = limited("", "[trust]\nproxies = [\"127.0.0.1\"]").await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut conn = Conn::open(&gateway.public).await;
        assert_eq!(conn.ask(GET).await.status, 200);
        open.push(conn);
    }
    assert_eq!(count(&gateway).await, 0);
}

#[tokio::test]
async fn behind_the_proxy_protocol_its_clients_are_counted_ipv6_by_network() {
    let trust = "[trust]\nproxies = [\"127.0.0.1\"]";
    let (gateway, _backend) = limited("proxy_protocol = true", trust).await;
    let line = |source: &str| format!("PROXY TCP6 {source} ::1 1 2\r\n{GET}");
    let mut open = Vec::new();
    for (source, served) in [
        ("2001:db8:1:2::1", true),
        ("2001:db8:1:2:ffff::1", true),
        ("2001:db8:1:2::3", false),
        ("2001:db8:1:3::1", true),
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(line(source)).await;
        let answer = conn.try_head().await;
        assert_eq!(answer.is_some(), served, "{source}");
        open.push(conn);
    }
    assert_eq!(count(&gateway).await, 1);
}
