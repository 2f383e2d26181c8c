//! A certificate authority of a test's own, and servers with its certificates.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

use super::tls::VERSIONS;

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, files }
    }

    /// The file of this name. `ca.pem` is always there.
    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// The key `tls` that trusts it, with more keys.
    pub fn trusted(&self, more: &str) -> String {
        format!("tls = {{ ca = \"{}\"{more} }}", self.file("ca.pem"))
    }

    /// A certificate for `name` and its key, as DER, and as `cert.pem` and `key.pem`.
    pub fn issue(&self, name: &str, expired: bool) -> (Vec<u8>, Vec<u8>) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if expired {
            params.not_after = date_time_ymd(2001, 1, 1);
            params.not_before = date_time_ymd(2000, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file("cert.pem"), cert.pem()).unwrap();
        std::fs::write(self.file("key.pem"), key.serialize_pem()).unwrap();
        (cert.der().to_vec(), key.serialize_der())
    }

    /// What a server called `name` serves with.
    pub fn server(&self, name: &str) -> ServerConfig {
        self.server_with(name, false, &VERSIONS)
    }

    pub fn server_with(
        &self,
        name: &str,
        expired: bool,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let (cert, key) = self.issue(name, expired);
        let cert = vec![CertificateDer::from(cert)];
        let builder = builder.with_no_client_auth();
        let mut config = builder
            .with_single_cert(cert, PrivatePkcs8KeyDer::from(key).into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// One that wants a certificate of this authority.
    pub fn strict_server(&self, name: &str) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(default_provider());
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let (cert, key) = self.issue(name, false);
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&VERSIONS)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from(cert)],
                PrivatePkcs8KeyDer::from(key).into(),
            )
            .unwrap()
    }
}
