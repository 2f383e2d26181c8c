//! Several certificates on one listener: whose name a client says, and what it is shown.

use crate::support::tls::{Certificate, look, try_connect};
use crate::support::{Backend, Conn, Gateway, Reply};
use crate::support::{gateway, until};

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_says() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let certificates = [
        Certificate::of(&["site.test", "www.site.test"]),
        Certificate::of(&["shop.test"]),
        Certificate::of(&["*.shop.test", "*.site.test", "Other.Test"]),
    ];
    let tables = certificates.iter().zip(["main", "shop", "all"]);
    let tables: String = tables.map(|(one, name)| one.named(name)).collect();
    let rest = gateway::everything_to(&backend.address, "");
    let listen = "tls = [\"main\", \"shop\", \"all\"]";
    let gateway = Gateway::start_with(listen, &format!("{tables}{rest}")).await;
    for (name, expected) in [
        ("site.test", 0),
        ("www.site.test", 0),
        ("SHOP.test", 1),
        ("a.shop.test", 2),
        ("a.site.test", 2),
        ("other.test", 2),
        ("a.b.shop.test", 0),
        ("elsewhere.test", 0),
        // An address is no name: nothing is said.
        ("127.0.0.1", 0),
    ] {
        let stream = look(&gateway.public, name).await;
        assert!(certificates[expected].is_shown(&stream), "{name}");
        // Which host is asked for is a matter of the request alone.
        let ask = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
        assert_eq!(Conn::over(stream).ask(ask).await.text(), "fine");
    }
}

#[tokio::test]
async fn who_came_for_another_protocol_is_refused() {
    let certificate = Certificate::new();
    let text = format!(
        "{}{}",
        certificate.table(),
        gateway::everything_to("127.0.0.1:1", "")
    );
    let gateway = Gateway::start_with("tls = \"main\"", &text).await;
    // What is answered to HTTP must not be taken for an answer of FTP (ALPACA). No challenge of ACME is known here either.
    for protocols in [&["ftp", "imap"][..], &["acme-tls/1"], &["h3"]] {
        let client = certificate.client(&rustls::version::TLS13, protocols);
        let error = try_connect(&gateway.public, &client).await.unwrap_err();
        assert!(
            error.to_string().contains("NoApplicationProtocol"),
            "{error}"
        );
    }
    let mut publisher = gateway.publisher().await;
    let name = "tidegate_tls_handshake_failures_total{reason=\"incompatible\"}";
    until(name, async || publisher.metric(name).await == 3).await;
}
