//! Who may connect at all: clients whose certificate one of ours has signed.
//!
//! Revocation is not looked at, so such a certificate should not live long.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

/// `client_ca`: every client must show a certificate that one of these has signed.
#[derive(Clone)]
pub struct Clients {
    /// The file they are in.
    pub ca: PathBuf,
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Two are the same if the same file had the same authorities.
impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        self.ca == other.ca && self.roots.roots == other.roots.roots
    }
}

/// Authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClients {
    /// There is none.
    #[error("there is no certificate in this file")]
    Absent,
    /// It is not PEM.
    #[error("the PEM of this file is damaged")]
    Pem(#[source] pem::Error),
    /// One of them cannot be read.
    #[error("a certificate of this file is not X.509 version 3, or damaged")]
    Unreadable(#[source] rustls::Error),
    /// They were read, and yet cannot be used.
    #[error("clients cannot be known by the certificates of this file")]
    Unusable(#[source] VerifierBuilderError),
}

impl Clients {
    /// Reads all certificates of a PEM file; what else is in it is passed over.
    pub fn from_pem(ca: PathBuf, text: &str) -> Result<Self, InvalidClients> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(InvalidClients::Pem)?;
            roots.add(certificate).map_err(InvalidClients::Unreadable)?;
        }
        if roots.is_empty() {
            return Err(InvalidClients::Absent);
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider)
            .build()
            .map_err(InvalidClients::Unusable)?;
        Ok(Self {
            ca,
            roots,
            verifier,
        })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clients").field(&self.ca).finish()
    }
}
