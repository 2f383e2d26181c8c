//! Where the gateway listens and how long a client may take.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ByteSize;
use crate::tls;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
    /// Sockets that systemd has bound and passes under this name.
    Systemd(String),
}

impl Address {
    /// Whether only processes of this machine can connect.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
            // It is not known before the socket is there.
            Self::Systemd(_) => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// Who is served on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Clients: the routes.
    Public,
    /// Django and the operator: publishing, metrics.
    Internal,
}

/// `[listen.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The name in the configuration and in logs.
    pub name: String,
    /// Where.
    pub address: Address,
    /// For whom. Default public.
    pub role: Role,
    /// Whether HTTP/2 is spoken: over TLS by ALPN, on a plain port by prior knowledge (RFC 9113 section 3.3). Default
    /// true.
    pub http2: bool,
    /// Whether a connection begins with a header of the PROXY protocol, from a trusted peer. Default false.
    pub proxy_protocol: bool,
    /// Where requests are sent on to, by 308: this port for https. Unset: they are served.
    pub redirect_https: Option<u16>,
    /// The certificates for TLS, which is only for TCP: the one for the name that a client says, else the first. They go
    /// with each other. Empty: no TLS.
    pub tls: Vec<Arc<tls::Settings>>,
}

impl Listen {
    /// Whether only clients with a certificate are let in.
    pub fn is_certified(&self) -> bool {
        let mut tls = self.tls.iter();
        tls.any(|certificate| certificate.clients.is_some())
    }
}

/// The limits of all listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Open client connections of all listeners together; at the limit accepting pauses. Default 200,000.
    pub max_connections: usize,
    /// The longest head of a request. Default 32 KiB.
    pub header: ByteSize,
    /// From the first byte of a head (or from the accept) to its last; the same once more for a TLS handshake before
    /// it. Default 10 s.
    pub header_timeout: Duration,
    /// The longest time without progress while a body is being read or an answer written. Default 30 s.
    pub body_idle: Duration,
    /// How long a connection without a request stays open. Default 75 s.
    pub keepalive: Duration,
    /// Whether held streams over HTTP/1.1 are written to their sockets past the HTTP library; else a stream is an answer as
    /// any other. Default yes.
    pub fast_path: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 200_000,
            header: ByteSize::kib(32),
            header_timeout: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            keepalive: Duration::from_secs(75),
            fast_path: true,
        }
    }
}
