//! TLS on a listener: what is configured, and from it what rustls serves with. And towards a server: `client`.
//!
//! `config` reads the files, so that a wrong one is told at its place; `server` asks for a [`ServerConfig`] once for each
//! listener; [`Renewal`] puts a new certificate behind a name while all that goes on. Nothing is kept of a session:
//! whoever comes back brings a ticket.

mod challenges;
mod client;
mod clients;
mod facts;
mod files;
mod identity;
mod renewal;
mod resolver;
mod source;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

pub use challenges::{ACME_TLS, Challenge, Challenges, Round};
pub use client::{Client, ClientFiles, HandshakeError, InvalidRoots, Roots};
pub use clients::{Clients, InvalidClients};
pub use facts::{Standing, Validity};
pub use files::Files;
pub use identity::{Chain, Identity, InvalidChain, InvalidKey, Key, Mismatch};
pub use renewal::Renewal;
pub use source::{Acme, ExternalAccount, SelfSigned, Source};

use crate::base::live::Live;
use resolver::Resolver;

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
    /// Where the certificate comes from.
    pub source: Source,
    /// The oldest version that is spoken. Default 1.2.
    pub min_version: MinVersion,
    /// `client_ca`: whose clients may connect. Unset: everybody's, and no client is asked for a certificate.
    pub clients: Option<Clients>,
    /// What is served; `None` while there is none yet.
    pub identity: Live<Option<Identity>>,
}

impl Settings {
    /// Whether a listener may have both: what is agreed upon before it is known which of them is meant is the same.
    pub fn goes_with(&self, other: &Self) -> bool {
        self.min_version == other.min_version && self.clients == other.clients
    }

    /// Makes what we make ourselves, before anybody is served.
    pub fn prepare(&self) {
        match &self.source {
            Source::Files(_) | Source::Acme(_) => {}
            Source::SelfSigned(names) => {
                self.identity.set(Some(names.make()));
                tracing::warn!(tls = self.name, %names, "Certificate made by ourselves: for trying out only");
            }
        }
    }

    /// `acme`, if the certificate comes from there.
    pub fn acme(&self) -> Option<&Acme> {
        match &self.source {
            Source::Acme(acme) => Some(acme),
            Source::Files(_) | Source::SelfSigned(_) => None,
        }
    }
}

/// Two are the same whatever certificate they have by now: that is looked after anyway.
impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.source == other.source && self.goes_with(other)
    }
}

impl Eq for Settings {}

/// What rustls serves a listener with that has these certificates; `None` if there are none. Each goes with the first.
/// Tickets are of this one listener and process; their keys change every six hours, and last for twelve.
pub fn server_config(certificates: &[Arc<Settings>], http2: bool) -> Option<Arc<ServerConfig>> {
    let first = certificates.first()?;
    let versions = match first.min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12][..],
        MinVersion::Tls13 => &[&TLS13],
    };
    let mut protocols = if http2 { vec![H2, HTTP1] } else { vec![HTTP1] };
    let acme = certificates.iter().filter_map(|settings| settings.acme());
    let looked = acme.filter(|acme| acme.challenge != Some(Challenge::Http01));
    let challenges: Vec<_> = looked.map(|acme| acme.challenges.clone()).collect();
    if !challenges.is_empty() {
        protocols.push(ACME_TLS);
    }
    let identities = certificates
        .iter()
        .map(|settings| settings.identity.clone());
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites for either version");
    let builder = match &first.clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
        None => builder.with_no_client_auth(),
    };
    let resolver = Resolver::new(identities.collect(), challenges);
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().expect("the operating system gives random bytes");
    Some(Arc::new(config))
}
