//! Which sites are served, whose word counts, and what the access log is.

use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::base::access::Destination;
use crate::domain::Peer;
use crate::wire::access::Format;
use crate::wire::forwarded::ClientIpHeader;
use crate::wire::headers::REQUEST_ID;
use crate::wire::host::HostRule;

/// Who may tell us the client's address: `[trust]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Networks of proxies. Default none.
    pub proxies: Vec<IpNet>,
    /// Whether peers on a unix socket are such proxies. Default no.
    pub unix: bool,
    /// Which of their headers names the client. Default `X-Forwarded-For`.
    pub client_ip: ClientIpHeader,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            proxies: Vec::new(),
            unix: false,
            client_ip: ClientIpHeader::XForwardedFor,
        }
    }
}

impl Trust {
    /// Whether `peer` is a trusted proxy.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.unix,
            Peer::Tcp(_) => self.proxies.iter().any(|net| net.contains(&peer.ip())),
        }
    }
}

/// `log.access`. Unset, there is no access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// Where lines go.
    pub to: Destination,
    /// Default combined.
    pub format: Format,
}

/// What holds for all routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The hosts that are served; any other gets 421. Default all.
    pub hosts: Vec<HostRule>,
    /// Default nobody.
    pub trust: Trust,
    /// How many connections one client may have. Unset: any number.
    pub connections: Option<NonZeroUsize>,
    /// The header with the id of a request: taken from trusted peers, sent to Django, and on our own answers. Default
    /// `X-Request-ID`.
    pub request_id: HeaderName,
    /// The longest pause within a request's body. Default 30 s.
    pub body_idle: Duration,
    /// The cookies of Django's session: an answer that deletes or changes one ends the streams opened with it.
    pub session_cookies: Vec<Box<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: vec![HostRule::Any],
            trust: Trust::default(),
            connections: None,
            request_id: REQUEST_ID,
            body_idle: Duration::from_secs(30),
            session_cookies: Vec::new(),
        }
    }
}
