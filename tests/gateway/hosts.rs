//! Which sites are served, and whose word about the client counts.

use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway};

async fn asked(gateway: &Gateway, host: &str) -> Answer {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Conn::open(&gateway.public).await.ask(request).await
}

#[tokio::test]
async fn a_host_that_is_not_served_gets_421_and_never_reaches_django() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let hosts = "[server]\nhosts = [\"example.com\", \".wild.test\"]\n";
    let text = format!("{hosts}{}", gateway::everything_to(&backend.address, ""));
    let gateway = Gateway::start(&text).await;
    for host in [
        "evil.test",
        "example.com.evil.test",
        "xexample.com",
        "www.example.com",
        "xwild.test",
        "127.0.0.1",
    ] {
        assert_eq!(asked(&gateway, host).await.status, 421, "{host}");
    }
    assert_eq!(backend.count(), 0);
    for host in [
        "example.com",
        "EXAMPLE.com",
        "example.com:8080",
        "wild.test",
        "a.wild.test",
        "a.b.wild.test",
    ] {
        assert_eq!(asked(&gateway, host).await.status, 200, "{host}");
        assert_eq!(
            backend.seen(|log| log
                .requests
                .last()
                .unwrap()
                .header("host")
                .unwrap()
                .to_owned()),
            host
        );
    }
}

#[tokio::test]
async fn a_client_that_is_not_trusted_is_the_client_whatever_it_says() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let lines = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                 X-Forwarded-Port: 443\r\nX-Real-IP: 6.6.6.6\r\nX-Request-ID: mine\r\nForwarded: for=6.6.6.6\r\n";
    for address in [&gateway.public, &gateway.public_unix] {
        let request = format!("GET / HTTP/1.1\r\nHost: site.test:8000\r\n{lines}\r\n");
        assert_eq!(Conn::open(address).await.ask(request).await.status, 200);
    }
    for number in 0..2 {
        let request = backend.request(number).await;
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(request.header("x-forwarded-proto"), Some("http"));
        assert_eq!(request.header("x-forwarded-host"), Some("site.test:8000"));
        assert_eq!(request.header("x-forwarded-port"), Some("8000"));
        assert_ne!(request.header("x-request-id"), Some("mine"));
        assert_eq!(request.header("forwarded"), None);
    }
}

#[tokio::test]
async fn a_trusted_peer_is_believed_as_far_as_the_chain_of_trust_goes() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let trust = "[trust]\nproxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    let gateway = Gateway::start(&format!(
        "{trust}{}",
        gateway::everything_to(&backend.address, "")
    ))
    .await;
    let lines = "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-For: 10.1.1.1\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\nX-Request-ID: theirs-1\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: inner.test\r\n{lines}\r\n");
    Conn::open(&gateway.public).await.ask(&request).await;
    let seen = backend.request(0).await;
    // What the client itself claimed, 6.6.6.6, must not stand in the place of the client.
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("203.0.113.9, 10.1.1.1, 127.0.0.1")
    );
    assert_eq!(seen.header("x-real-ip"), Some("203.0.113.9"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.test"));
    assert_eq!(seen.header("x-forwarded-port"), Some("443"));
    assert_eq!(seen.header("x-request-id"), Some("theirs-1"));
    assert_eq!(seen.header("host"), Some("inner.test"));
    // A unix socket is not among the networks.
    Conn::open(&gateway.public_unix).await.ask(&request).await;
    assert_eq!(
        backend.request(1).await.header("x-forwarded-proto"),
        Some("http")
    );
}

#[tokio::test]
async fn a_unix_socket_is_trusted_where_the_file_says_so() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let trust = "[trust]\nproxies = [\"unix:\"]\n";
    let gateway = Gateway::start(&format!(
        "{trust}{}",
        gateway::everything_to(&backend.address, "")
    ))
    .await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    Conn::open(&gateway.public_unix).await.ask(request).await;
    let seen = backend.request(0).await;
    assert_eq!(seen.header("x-real-ip"), Some("203.0.113.9"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    Conn::open(&gateway.public).await.ask(request).await;
    assert_eq!(
        backend.request(1).await.header("x-real-ip"),
        Some("127.0.0.1")
    );
}
