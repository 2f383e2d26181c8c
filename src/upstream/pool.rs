//! Connections to one server: made, used by one request at a time, kept for a moment.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use rustix::io::Errno;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::balance::of_server;
use super::conn::{Conn, Socket};
use super::error::UpstreamError;
use super::lookup::Lookup;
use super::settings::Server;
use super::standing::{Fault, Standing};
use crate::base::sync::lock;
use crate::tls;

/// Idle connections kept for each server; more are closed.
const MOST_IDLE: usize = 64;

/// The connections to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    lookup: Lookup,
    /// What hands are shaken with; set for a server that is `https`.
    tls: Option<tls::Client>,
    /// Of its address.
    hash: u64,
    standing: Standing,
    idle: Mutex<Vec<Idle>>,
    in_flight: AtomicUsize,
    /// The requests in flight to all servers of the upstream.
    in_flight_of_all: Gauge,
}

#[derive(Debug)]
struct Idle {
    conn: Box<Conn>,
    since: Instant,
}

/// A connection in use, a guard of the count of requests in flight. Dropped, it closes the connection.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) conn: Box<Conn>,
    in_flight: InFlight,
}

#[derive(Debug)]
struct InFlight(Pool);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.0.in_flight_of_all.dec();
    }
}

impl Pool {
    pub(super) fn new(
        server: Server,
        tls: Option<tls::Client>,
        standing: Standing,
        in_flight_of_all: Gauge,
    ) -> Self {
        Self(Arc::new(Inner {
            hash: of_server(&server.to_string()),
            server,
            lookup: Lookup::default(),
            tls,
            standing,
            idle: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            in_flight_of_all,
        }))
    }

    #[cfg(test)]
    pub(super) fn for_tests(server: Server) -> Self {
        let standing = Standing::new("django", server.to_string(), &Gauge::default());
        Self::new(server, None, standing, Gauge::default())
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.0.standing
    }

    pub(super) fn hash(&self) -> u64 {
        self.0.hash
    }

    pub(super) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        lock(&self.0.idle).clear();
    }

    /// A connection that was idle for less than `reuse` until `now`, the most recently used first. Those that were idle
    /// for `kept`, which is no less, are closed: requests that come one by one use the last one only, and the others of
    /// a busier time would stay forever, most of them with an upstream that has long hung up.
    pub(super) fn idle(&self, reuse: Duration, kept: Duration, now: Instant) -> Option<Lease> {
        let mut idle = lock(&self.0.idle);
        let is_over = |idle: &Idle, longest| now.saturating_duration_since(idle.since) >= longest;
        if idle.first().is_some_and(|first| is_over(first, kept)) {
            // The one used longest ago stands first.
            let over = idle.partition_point(|idle| is_over(idle, kept));
            idle.drain(..over);
        }
        while let Some(Idle { mut conn, .. }) = idle.pop_if(|last| !is_over(last, reuse)) {
            if conn.is_silent() {
                let in_flight = self.count();
                return Some(Lease { conn, in_flight });
            }
        }
        None
    }

    /// A new connection within `patience`. `open` is asked for a token that is held for as long as it is there.
    pub(super) async fn connect(
        &self,
        patience: Duration,
        open: &TaskTracker,
    ) -> Result<Lease, UpstreamError> {
        let dialled = timeout(patience, self.dial(open)).await;
        let dialled = dialled.unwrap_or_else(|_| {
            let server = self.0.server.to_string();
            Err(UpstreamError::ConnectTimeout { server })
        });
        if let Err(error) = &dialled
            && !is_ours(error)
        {
            let now = Instant::now();
            self.0.standing.failed(Fault::Unreachable, now, error);
        }
        dialled
    }

    /// The same without a limit of time, and without telling the server's standing.
    pub(super) async fn dial(&self, open: &TaskTracker) -> Result<Lease, UpstreamError> {
        let in_flight = self.count();
        let socket = self.open().await?;
        let conn = Box::new(Conn::new(socket, open.token()));
        Ok(Lease { conn, in_flight })
    }

    async fn open(&self) -> Result<Socket, UpstreamError> {
        let server = || self.0.server.to_string();
        let unreachable = |source| UpstreamError::Connect {
            server: server(),
            source,
        };
        match &self.0.server {
            Server::Tcp(address) => self
                .tcp(address)
                .await
                .map(Socket::Tcp)
                .map_err(unreachable),
            Server::Unix(path) => {
                let socket = UnixStream::connect(path).await;
                socket.map(Socket::Unix).map_err(unreachable)
            }
            Server::Tls { address, name } => {
                let socket = self.tcp(address).await.map_err(unreachable)?;
                let tls = self.0.tls.as_ref();
                let tls = tls.expect("the settings have TLS where a server is https");
                let stream = tls.connect(name, socket).await;
                let stream = stream.map_err(|source| UpstreamError::Handshake {
                    server: server(),
                    source,
                })?;
                Ok(Socket::Tls(Box::new(stream)))
            }
        }
    }

    /// A name stands for all its addresses, which are tried in turn; it is looked up at each connect.
    async fn tcp(&self, address: &str) -> io::Result<TcpStream> {
        let addresses = self.0.lookup.addresses(address).await?;
        let socket = TcpStream::connect(&*addresses).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// A connection over `socket`.
    #[cfg(test)]
    pub(super) fn over(&self, socket: Socket, open: &TaskTracker) -> Lease {
        Lease {
            conn: Box::new(Conn::new(socket, open.token())),
            in_flight: self.count(),
        }
    }

    fn count(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight_of_all.inc();
        InFlight(self.clone())
    }
}

/// Whether we ourselves are out of descriptors, which is no fault of a server's.
pub(super) fn is_ours(error: &UpstreamError) -> bool {
    let UpstreamError::Connect { source, .. } = error else {
        return false;
    };
    let descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let code = source.raw_os_error();
    code.is_some_and(|code| descriptors.contains(&code))
}

impl Lease {
    pub(super) fn pool(&self) -> &Pool {
        &self.in_flight.0
    }

    /// Returns the connection; the answer must have been read to its end, which is `now`. What came after it, or an
    /// upstream that closes, ends the connection.
    pub(super) fn give_back(self, now: Instant) {
        let Self {
            mut conn,
            in_flight,
        } = self;
        conn.shrink();
        let mut idle = lock(&in_flight.0.0.idle);
        // Looked at under the lock: whoever closes the upstream clears the pool after that.
        if conn.can_be_kept() && idle.len() < MOST_IDLE {
            idle.push(Idle { conn, since: now });
        }
    }
}
