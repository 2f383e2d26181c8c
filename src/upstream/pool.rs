//! Connections to one server: made, used by one request at a time, kept for a moment.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::body::RequestBody;
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
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection in use, a guard of the count of requests in flight.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    _in_flight: InFlight,
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

    /// A connection that was idle for less than `longest`, the most recently used first.
    pub(super) fn idle(&self, longest: Duration) -> Option<Lease> {
        let in_flight = self.count();
        let mut idle = lock(&self.0.idle);
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() >= longest {
                // The rest has been idle for longer still.
                idle.clear();
            } else if sender.is_ready() {
                return Some(Lease {
                    sender,
                    _in_flight: in_flight,
                });
            }
        }
        None
    }

    /// A new connection.
    pub(super) async fn connect(
        &self,
        patience: Duration,
        drivers: &TaskTracker,
    ) -> Result<Lease, UpstreamError> {
        let in_flight = self.count();
        let server = || self.0.server.to_string();
        let opened = timeout(patience, self.open(drivers)).await;
        let reached = matches!(opened, Ok(Ok(_)));
        *lock(&self.0.avoided) = (!reached).then(|| Instant::now() + AVOID);
        let sender = match opened {
            Ok(Ok(sender)) => sender,
            Ok(Err(source)) => {
                return Err(UpstreamError::Connect {
                    server: server(),
                    source,
                });
            }
            Err(_) => return Err(UpstreamError::ConnectTimeout { server: server() }),
        };
        Ok(Lease {
            sender,
            _in_flight: in_flight,
        })
    }

    async fn open(&self, drivers: &TaskTracker) -> io::Result<SendRequest<RequestBody>> {
        match &self.0.server {
            Server::Tcp(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                handshake(socket, drivers).await
            }
            Server::Unix(path) => handshake(UnixStream::connect(path).await?, drivers).await,
        }
    }

    fn count(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

impl Lease {
    /// Returns the connection; the answer must have been read to its end.
    pub(super) fn give_back(self) {
        let Self {
            sender,
            _in_flight: in_flight,
        } = self;
        let mut idle = lock(&in_flight.0.0.idle);
        if !sender.is_closed() && idle.len() < MOST_IDLE {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}

async fn handshake<S>(socket: S, drivers: &TaskTracker) -> io::Result<SendRequest<RequestBody>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(socket))
        .await
        .map_err(io::Error::other)?;
    drivers.spawn(async move {
        // The request on the connection is told the same error; nobody else needs to know.
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "Upstream connection ended");
        }
    });
    Ok(sender)
}
