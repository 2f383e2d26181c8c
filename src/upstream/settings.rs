//! Where one upstream is and how long it may take.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;

use super::grip::Grip;
use crate::domain::ByteSize;
use crate::tls;

/// Servers of one upstream.
pub const MOST_SERVERS: usize = 64;

/// The address of one server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Server {
    /// `host:port`; the host may be a name, resolved at each connect.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `https://host:port`.
    Tls {
        /// `host:port`, as with TCP.
        address: String,
        /// The host, which the certificate must be for unless the upstream has a name of its own for it.
        name: ServerName<'static>,
    },
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tls { address, .. } => write!(f, "https://{address}"),
        }
    }
}

/// Which server a request goes to, of those that are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The one with the fewest requests in flight; ties take turns.
    #[default]
    LeastBusy,
    /// One after the other.
    RoundRobin,
    /// Always the same for a client (IPv6: for a /64), as long as it is well. Who has no address goes to the least busy.
    ClientIp,
}

/// `health`: what each server is asked regularly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked for. An answer of 2xx or 3xx is good.
    pub path: PathAndQuery,
    /// The `Host`.
    pub host: String,
    /// From one answer to the next question; jittered by a quarter. Default 5 s.
    pub every: Duration,
    /// How long connecting and the answer may take together. Default 5 s.
    pub timeout: Duration,
    /// After so many bad answers in a row a server is out. Default 3.
    pub fails: u32,
    /// After so many good ones in a row it is back. Default 1.
    pub passes: u32,
}

impl Health {
    /// The defaults for this question.
    pub const fn new(path: PathAndQuery, host: String) -> Self {
        Self {
            path,
            host,
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            fails: 3,
            passes: 1,
        }
    }
}

/// `[upstream.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name in the configuration, in logs and in metrics.
    pub name: String,
    /// From one to [`MOST_SERVERS`].
    pub servers: Vec<Server>,
    /// Which of them a request goes to. Default the least busy.
    pub balance: Balance,
    /// What they are asked regularly. Default unset: only what requests tell is known of them.
    pub health: Option<Health>,
    /// What hands are shaken with where a server is `https`; set if there is one.
    pub tls: Option<tls::Client>,
    /// To an open connection. Default 2 s.
    pub connect_timeout: Duration,
    /// From the last byte of the request to the first of the answer, between two parts of a body that is no event stream,
    /// and as long as nothing of a WebSocket is read. Default 65 s.
    pub response_timeout: Duration,
    /// How long an idle connection may be used again. Default 1.5 s, for gunicorn closes at 2 s.
    pub idle_reuse: Duration,
    /// How long a request is tried again while gunicorn restarts. Default 10 s.
    pub retry_for: Duration,
    /// Requests in flight at once; more wait in order. Set it to workers x threads, so that the queue is here and not in
    /// the socket's backlog. Default unset: no limit.
    pub max_in_flight: Option<NonZeroUsize>,
    /// How long a request waits for its turn. Default 10 s.
    pub queue_timeout: Duration,
    /// How much of a request body is gathered in memory before it is sent; the rest goes to a temp file. Default 1 MiB;
    /// `None`: a body with a length is passed on as it comes.
    pub buffer_request: Option<ByteSize>,
    /// How much of an answer is read ahead of its client into memory; the rest goes to a temp file. Default 1 MiB; `None`:
    /// it is read as the client takes it.
    pub buffer_response: Option<ByteSize>,
    /// Whether `SSE-Publish` headers of its answers are published. Default false.
    pub publish: bool,
    /// Whether its answers may be held in the way of GRIP, and how. Default unset: no.
    pub grip: Option<Grip>,
}

impl Settings {
    /// The defaults for the upstream `name` on `servers`.
    pub fn new(name: &str, servers: Vec<Server>) -> Self {
        Self {
            name: name.to_owned(),
            servers,
            balance: Balance::default(),
            health: None,
            tls: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(65),
            idle_reuse: Duration::from_millis(1500),
            retry_for: Duration::from_secs(10),
            max_in_flight: None,
            queue_timeout: Duration::from_secs(10),
            buffer_request: Some(ByteSize::mib(1)),
            buffer_response: Some(ByteSize::mib(1)),
            publish: false,
            grip: None,
        }
    }
}
