//! TLS on a listener: what is configured, and from it what rustls serves with.
//!
//! `config` reads the files, so that a wrong one is told at its place; `server` asks for a [`ServerConfig`] once for each
//! listener. No client certificates, and nothing is kept of a session: whoever comes back brings a ticket.

mod identity;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

pub use identity::{Chain, Identity, InvalidChain, InvalidKey, Key, Mismatch};

/// HTTP/2 as ALPN calls it (RFC 9113, section 3.1).
pub const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// `[tls.<name>]`.
#[derive(Debug)]
pub struct Settings {
    /// The name in the configuration.
    pub name: String,
    /// The file of the certificates.
    pub cert: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
    /// The oldest version that is spoken. Default 1.2.
    pub min_version: MinVersion,
    /// What was in the files.
    pub identity: Identity,
}

impl Settings {
    /// What rustls serves a listener with. Tickets are of this one listener and process; their keys change every six
    /// hours, and last for twelve.
    pub fn server_config(&self, http2: bool) -> Arc<ServerConfig> {
        let versions = match self.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12][..],
            MinVersion::Tls13 => &[&TLS13],
        };
        let protocols: &[&[u8]] = if http2 { &[H2, HTTP1] } else { &[HTTP1] };
        let certificate = SingleCertAndKey::from(self.identity.certified());
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider has cipher suites for either version")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificate));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().expect("the operating system gives random bytes");
        Arc::new(config)
    }
}
