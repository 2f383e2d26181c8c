//! TLS towards a server: whom we trust, what it must be called, and who we are if it asks.
//!
//! `config` reads the files, `upstream` shakes hands. There is no way not to verify. Sessions are resumed: each [`Client`]
//! keeps the tickets of its servers.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{HTTP1, Identity};

/// Those whose word counts about who somebody is.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

/// There is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// The file has no certificate.
    #[error("there is no certificate in this file")]
    Absent,
    /// It is not PEM.
    #[error("the PEM of this file is damaged")]
    Pem(#[source] pem::Error),
    /// One cannot be read.
    #[error("a certificate of this file is damaged")]
    Unreadable(#[source] rustls::Error),
    /// The machine has none.
    #[error("this machine trusts no certificate authority")]
    Machine,
}

impl Roots {
    /// All certificates of a PEM file, and nobody else.
    pub fn from_pem(text: &str) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(InvalidRoots::Pem)?;
            roots.add(certificate).map_err(InvalidRoots::Unreadable)?;
        }
        if roots.is_empty() {
            return Err(InvalidRoots::Absent);
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Whom this machine trusts. One of many that cannot be read is passed over.
    pub fn of_machine() -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(InvalidRoots::Machine);
        }
        Ok(Self(Arc::new(roots)))
    }
}

/// `tls` of an upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificates that are trusted. Unset: those of the machine.
    pub ca: Option<PathBuf>,
    /// The name in the servers' certificates. Unset: that of each server's address.
    pub name: Option<ServerName<'static>>,
    /// The certificate that is shown to a server that asks, and its key. Unset: none.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What hands are shaken with. Cheap to clone; all clones resume each other's sessions.
#[derive(Clone)]
pub struct Client {
    files: ClientFiles,
    roots: Roots,
    identity: Option<Identity>,
    config: Arc<ClientConfig>,
}

impl Client {
    /// Trusts `roots`, and shows `identity`; both were in these files.
    pub fn new(files: ClientFiles, roots: Roots, identity: Option<Identity>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for every version")
            .with_root_certificates(Arc::clone(&roots.0));
        let mut config = match &identity {
            Some(identity) => {
                let certificate = SingleCertAndKey::from(identity.certified());
                builder.with_client_cert_resolver(Arc::new(certificate))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Self {
            files,
            roots,
            identity,
            config: Arc::new(config),
        }
    }

    /// What it was made of.
    pub const fn files(&self) -> &ClientFiles {
        &self.files
    }

    /// Shakes hands over `socket` with whoever can prove to be `name`, or the one name of the settings.
    pub async fn connect(
        &self,
        name: &ServerName<'static>,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let name = self.files.name.as_ref().unwrap_or(name).clone();
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaken = connector.connect(name, socket).await;
        shaken.map_err(HandshakeError::from)
    }
}

impl PartialEq for Client {
    /// Whether the files and what was in them are the same; only one key belongs to a certificate.
    fn eq(&self, other: &Self) -> bool {
        let chain = |client: &Self| client.identity.as_ref().map(Identity::certified);
        let (ours, theirs) = (chain(self), chain(other));
        self.files == other.files
            && self.roots.0.roots == other.roots.0.roots
            && ours.as_ref().map(|ours| &ours.cert) == theirs.as_ref().map(|theirs| &theirs.cert)
    }
}

impl Eq for Client {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.files).finish()
    }
}

/// Why hands were not shaken.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Who signed the certificate is not trusted.
    #[error("its certificate is signed by nobody who is trusted here")]
    Issuer,
    /// The certificate is somebody else's.
    #[error("its certificate is for another name")]
    Name(#[source] rustls::Error),
    /// The certificate has expired.
    #[error("its certificate has expired")]
    Expired(#[source] rustls::Error),
    /// What it said, or what it did not want to hear.
    #[error("TLS failed")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("the connection ended in the handshake")]
    Broken(#[source] io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        let error = match error.downcast::<rustls::Error>() {
            Ok(error) => error,
            Err(error) => return Self::Broken(error),
        };
        match &error {
            rustls::Error::InvalidCertificate(why) => match why {
                // The latter is what an authority looks like that was made anew under its old name.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::Name(error),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired(error)
                }
                _ => Self::Tls(error),
            },
            _ => Self::Tls(error),
        }
    }
}
