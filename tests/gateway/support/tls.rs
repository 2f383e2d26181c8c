//! Certificates for the gateway and for its clients, and clients that trust it or only look.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore};
use rustls::{SignatureScheme, SupportedProtocolVersion};
use tempfile::TempDir;
use tidegate::server::Address;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// Both versions, each alone.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate that nobody but itself has signed, and its key.
pub struct Certificate {
    files: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// One of `site.test`.
    pub fn new() -> Self {
        Self::of(&["site.test"])
    }

    /// One of these names.
    pub fn of(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name, text| std::fs::write(files.path().join(name), text).unwrap();
        write("cert.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        let der = made.cert.der().clone();
        Self { files, der }
    }

    /// The table `[tls.main]`, to which keys may be added.
    pub fn table(&self) -> String {
        self.named("main")
    }

    /// The table of this name.
    pub fn named(&self, name: &str) -> String {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let (cert, key) = (cert.display(), key.display());
        format!("[tls.{name}]\ncert = \"{cert}\"\nkey = \"{key}\"\n")
    }

    /// `cert.pem` or `key.pem`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Puts another certificate in the place of this one, which is still what clients of this one trust.
    pub fn replace_by(&self, other: &Self) {
        for name in ["cert.pem", "key.pem"] {
            let new = self.path("new");
            std::fs::copy(other.path(name), &new).unwrap();
            std::fs::rename(new, self.path(name)).unwrap();
        }
    }

    /// Whether this is the one that was shown on this connection.
    pub fn is_shown(&self, stream: &TlsStream<TcpStream>) -> bool {
        let shown = stream.get_ref().1.peer_certificates();
        shown.unwrap().first() == Some(&self.der)
    }

    /// A client that trusts this certificate, speaks this one version, and offers these protocols. It keeps tickets.
    pub fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let mut config = self.trusting(version).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        Arc::new(config)
    }

    /// A client that is somebody, and trusts this certificate.
    pub fn known_client(
        &self,
        version: &'static SupportedProtocolVersion,
        who: &Known,
    ) -> Arc<ClientConfig> {
        let (der, key) = (who.der.clone(), who.key.serialize_der());
        let config = self.trusting(version);
        let config = config.with_client_auth_cert(vec![der], PrivateKeyDer::Pkcs8(key.into()));
        Arc::new(config.unwrap())
    }

    fn trusting(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
    }
}

/// Who signs the certificates of clients.
pub struct Authority {
    files: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// The certificate of a client, and its key.
pub struct Known {
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let files = tempfile::tempdir().unwrap();
        let made = params.self_signed(&key).unwrap();
        std::fs::write(files.path().join("ca.pem"), made.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { files, issuer }
    }

    /// The line `client_ca`.
    pub fn line(&self) -> String {
        let path = self.files.path().join("ca.pem");
        format!("client_ca = \"{}\"\n", path.display())
    }

    /// A client that it has signed, and whose certificate ends in this year.
    pub fn client(&self, year: i32) -> Known {
        let mut params = CertificateParams::new(vec!["client.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Known { der, key }
    }
}

/// Takes whatever certificate it is shown, to have a look at it.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A new client each time that asks for this name (an address is not said in the handshake), and takes any certificate.
pub async fn look(address: &Address, name: &str) -> TlsStream<TcpStream> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = connector.connect(name, tcp(address).await);
    within("a handshake", connecting).await.unwrap()
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
