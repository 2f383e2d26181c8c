//! A certificate that the gateway has made itself.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::support::tls::{look, tcp};
use crate::support::{Backend, Conn, Gateway, Reply};
use crate::support::{gateway, within};

#[tokio::test]
async fn one_of_our_own_is_for_its_names_and_addresses_and_no_others() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let table = "[tls.main]\nself_signed = [\"localhost\", \"127.0.0.1\"]\n";
    let rest = gateway::everything_to(&backend.address, "");
    let gateway = Gateway::start_with("tls = \"main\"", &format!("{table}{rest}")).await;

    // Whoever trusts what is shown, as a person who clicks it away.
    let seen = look(&gateway.public, "localhost").await;
    let shown = seen.get_ref().1.peer_certificates().unwrap()[0].clone();
    let mut roots = RootCertStore::empty();
    roots.add(shown).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    for (name, good) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("site.test", false),
        ("127.0.0.2", false),
    ] {
        let server = ServerName::try_from(name).unwrap();
        let connecting = connector.connect(server, tcp(&gateway.public).await);
        let connected = within("a handshake", connecting).await;
        assert_eq!(connected.is_ok(), good, "{name}");
        if let Ok(stream) = connected {
            let ask = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
            assert_eq!(Conn::over(stream).ask(ask).await.text(), "fine");
        }
    }
}
