//! A certificate for the gateway, and clients that trust it.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tidegate::server::Address;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// Both versions, each alone.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate of `site.test` that nobody but itself has signed, and its key.
pub struct Certificate {
    files: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name, label, der: &[u8]| {
            let text = STANDARD.encode(der);
            let text = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
            std::fs::write(files.path().join(name), text).unwrap();
        };
        write("cert.pem", "CERTIFICATE", made.cert.der());
        write("key.pem", "PRIVATE KEY", &made.signing_key.serialize_der());
        let der = made.cert.der().clone();
        Self { files, der }
    }

    /// The table `[tls.main]`, to which keys may be added.
    pub fn table(&self) -> String {
        let path = |name| self.files.path().join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        format!("[tls.main]\ncert = \"{cert}\"\nkey = \"{key}\"\n")
    }

    /// A client that trusts this certificate, speaks this one version, and offers these protocols. It keeps tickets.
    pub fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        Arc::new(config)
    }
}

/// The bare connection.
pub async fn tcp(address: &Address) -> TcpStream {
    let Address::Tcp(address) = address else {
        panic!("TLS is for TCP")
    };
    within("connect", TcpStream::connect(address))
        .await
        .unwrap()
}

/// A connection after its handshake, or why there is none.
pub async fn try_connect(
    address: &Address,
    client: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("site.test").unwrap();
    let connector = TlsConnector::from(Arc::clone(client));
    within("a handshake", connector.connect(name, tcp(address).await)).await
}

pub async fn connect(address: &Address, client: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    try_connect(address, client).await.unwrap()
}
