//! A certificate and its private key, out of PEM files.
//!
//! Whoever has an [`Identity`] has a key that fits its certificate, and knows whose it is and when it ends. Nothing here
//! says or prints what is in a key.

use std::fmt;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::error::X509Error;

use super::facts::{Facts, Name, Validity};

/// A certificate, and those after it that lead towards a root.
#[derive(Debug, Clone)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    /// Of the first.
    facts: Facts,
}

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidChain {
    /// There is none.
    #[error("there is no certificate in this file")]
    Absent,
    /// It is not PEM.
    #[error("the PEM of this file is damaged")]
    Pem(#[source] pem::Error),
    /// The first one cannot be read.
    #[error("the first certificate of this file is not X.509 version 3, or damaged")]
    Unreadable(#[source] rustls::Error),
    /// The first one does not say clearly whose it is.
    #[error("the names or the dates of the first certificate of this file are damaged")]
    Unclear(#[source] X509Error),
}

impl Chain {
    /// Reads all certificates of a PEM file; what else is in it is passed over.
    pub fn from_pem(text: &str) -> Result<Self, InvalidChain> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(InvalidChain::Pem)?;
        let first = certificates.first().ok_or(InvalidChain::Absent)?;
        ParsedCertificate::try_from(first).map_err(InvalidChain::Unreadable)?;
        let facts = Facts::read(first).map_err(InvalidChain::Unclear)?;
        Ok(Self {
            certificates,
            facts,
        })
    }
}

/// A private key.
#[derive(Clone)]
pub struct Key(Arc<dyn SigningKey>);

/// A private key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKey {
    /// There is none.
    #[error("there is no private key in this file")]
    Absent,
    /// It needs a password.
    #[error("the private key in this file is encrypted")]
    Encrypted,
    /// It is not PEM.
    #[error("the PEM of this file is damaged")]
    Pem(#[source] pem::Error),
    /// It is damaged, or of a kind that cannot sign for TLS.
    #[error(
        "the private key is damaged, or none of RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519"
    )]
    Unusable(#[source] rustls::Error),
}

impl Key {
    /// Reads the first private key of a PEM file; what else is in it is passed over.
    pub fn from_pem(text: &str) -> Result<Self, InvalidKey> {
        let key = match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(key) => key,
            // PKCS #8 says it in the line that begins it, older forms in a header that is damage to who reads only PEM.
            Err(_) if text.contains("ENCRYPTED") => return Err(InvalidKey::Encrypted),
            Err(pem::Error::NoItemsFound) => return Err(InvalidKey::Absent),
            Err(error) => return Err(InvalidKey::Pem(error)),
        };
        any_supported_type(&key)
            .map(Self)
            .map_err(InvalidKey::Unusable)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A certificate with its key. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    facts: Arc<Facts>,
}

/// A key that is not that of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this key does not belong to the certificate")]
pub struct Mismatch;

impl Identity {
    /// Puts the two together, if they belong together.
    pub fn new(chain: Chain, key: Key) -> Result<Self, Mismatch> {
        let certified = CertifiedKey::new(chain.certificates, key.0);
        match certified.keys_match() {
            // Of a kind of key that cannot be compared the first handshake tells.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self {
                certified: Arc::new(certified),
                facts: Arc::new(chain.facts),
            }),
            Err(_) => Err(Mismatch),
        }
    }

    /// When the certificate is good.
    pub fn validity(&self) -> Validity {
        self.facts.validity
    }

    /// Whether the certificate is for the host of this name.
    pub fn is_for(&self, host: &str) -> bool {
        let fits = |name: &Name| name.fits(host);
        self.facts.names.iter().any(fits)
    }

    /// The certificate itself.
    pub fn first(&self) -> Option<&CertificateDer<'static>> {
        self.certified.cert.first()
    }

    /// Whether the other has the very same certificates.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity")
            .field(&self.certified.cert)
            .finish()
    }
}
