//! Connections to one server: made, used by one request at a time, kept for a moment.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::conn::{Conn, Socket};
use super::error::UpstreamError;
use super::settings::Server;
use crate::base::sync::lock;

/// Idle connections kept for each server; more are closed.
const MOST_IDLE: usize = 64;

/// How long a server that could not be reached is avoided while there are others.
const AVOID: Duration = Duration::from_secs(1);

/// The connections to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    idle: Mutex<Vec<Idle>>,
    in_flight: AtomicUsize,
    /// Until when others are preferred, because this one could not be reached.
    avoided: Mutex<Option<Instant>>,
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
    }
}

impl Pool {
    pub(super) fn new(server: Server) -> Self {
        Self(Arc::new(Inner {
            server,
            idle: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            avoided: Mutex::default(),
        }))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it could not be reached a moment ago.
    pub(super) fn is_avoided(&self) -> bool {
        lock(&self.0.avoided).is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn clear(&self) {
        lock(&self.0.idle).clear();
    }

    /// A connection that was idle for less than `longest` until `now`, the most recently used first.
    pub(super) fn idle(&self, longest: Duration, now: Instant) -> Option<Lease> {
        let mut idle = lock(&self.0.idle);
        while let Some(Idle { mut conn, since }) = idle.pop() {
            if now.saturating_duration_since(since) >= longest {
                // The rest has been idle for longer still.
                idle.clear();
            } else if conn.is_silent() {
                let in_flight = self.count();
                return Some(Lease { conn, in_flight });
            }
        }
        None
    }

    /// A new connection. `open` is asked for a token that is held for as long as it is there.
    pub(super) async fn connect(
        &self,
        patience: Duration,
        open: &TaskTracker,
    ) -> Result<Lease, UpstreamError> {
        let in_flight = self.count();
        let server = || self.0.server.to_string();
        let opened = timeout(patience, self.open()).await;
        let reached = matches!(opened, Ok(Ok(_)));
        *lock(&self.0.avoided) = (!reached).then(|| Instant::now() + AVOID);
        let socket = match opened {
            Ok(Ok(socket)) => socket,
            Ok(Err(source)) => {
                return Err(UpstreamError::Connect {
                    server: server(),
                    source,
                });
            }
            Err(_) => return Err(UpstreamError::ConnectTimeout { server: server() }),
        };
        let conn = Box::new(Conn::new(socket, open.token()));
        Ok(Lease { conn, in_flight })
    }

    async fn open(&self) -> io::Result<Socket> {
        Ok(match &self.0.server {
            Server::Tcp(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                Socket::Tcp(socket)
            }
            Server::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        })
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
        InFlight(self.clone())
    }
}

impl Lease {
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
