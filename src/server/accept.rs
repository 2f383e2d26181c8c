//! Listening and accepting.
//!
//! An accept loop never ends because of an error: for want of descriptors or memory it pauses, while the streams that
//! are open live on. It owns its connections, and notices if one of them panics.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::admit::{admit, introduced};
use super::handshake::Speech;
use super::hold::{Holders, Occupied};
use super::io::Socket;
use super::{Address, Listen, Server, conn};
use crate::base::handler::{Handler, Holdable};
use crate::base::metrics::Counted;
use crate::base::systemd;
use crate::domain::{ConnId, ConnInfo, Peer};

/// Connections the kernel keeps for us until we accept them.
const BACKLOG: u32 = 4096;

/// How long a connection is silent before the kernel asks whether its peer is there.
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// What the kernel keeps unsent for one connection.
const UNSENT: u32 = 128 << 10;
/// Who may connect to a unix socket: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    entrance: Entrance,
    socket: Bound,
}

/// How connections begin on a listener. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    /// The listener's name.
    pub(super) name: Arc<str>,
    /// Whether a header of the PROXY protocol comes before all else.
    pub(super) behind_proxy: bool,
    speech: Speech,
    redirect_https: Option<u16>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    /// The file goes first, so that what another process puts in its place stays. `None` if it is not ours to remove.
    Unix(
        #[expect(dead_code, reason = "held for its drop")] Option<Unlink>,
        UnixListener,
    ),
}

/// Removes the socket file when the listener goes.
#[derive(Debug)]
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // Somebody else may have removed it; either way it is gone.
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (listen.{name})")]
pub struct BindError {
    /// The listener's name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// The reason.
    #[source]
    pub source: io::Error,
}

impl Listener {
    /// Binds the address, or takes what systemd has bound, which may be several. A unix socket that a dead process left
    /// behind is replaced, a live one is not.
    pub async fn bind(listen: &Listen) -> Result<Vec<Self>, BindError> {
        let bound = match &listen.address {
            Address::Tcp(address) => tcp(*address).map(|socket| vec![Bound::Tcp(socket)]),
            Address::Unix(path) => unix(path)
                .await
                .map(|socket| vec![Bound::Unix(Some(Unlink(path.clone())), socket)]),
            Address::Systemd(name) => passed(name, !listen.tls.is_empty()),
        };
        let refused = |source| BindError {
            name: listen.name.clone(),
            address: listen.address.to_string(),
            source,
        };
        let entrance = Entrance {
            name: listen.name.as_str().into(),
            behind_proxy: listen.proxy_protocol,
            speech: Speech::new(listen),
            redirect_https: listen.redirect_https,
        };
        let listener = |socket| Self {
            entrance: entrance.clone(),
            socket,
        };
        Ok(bound.map_err(refused)?.into_iter().map(listener).collect())
    }

    /// Where it listens; the port is the real one.
    pub fn address(&self) -> Address {
        match &self.socket {
            Bound::Tcp(socket) => {
                Address::Tcp(socket.local_addr().expect("a bound socket has an address"))
            }
            Bound::Unix(_, socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                Address::Unix(path.unwrap_or_else(|| Path::new("")).to_owned())
            }
        }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.entrance.name
    }

    /// The port that clients come in on.
    fn port(&self) -> Option<u16> {
        match self.address() {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) | Address::Systemd(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.socket {
            Bound::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                Ok((Socket::Tcp(socket), Peer::Tcp(peer)))
            }
            Bound::Unix(_, listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Socket::Unix(socket), Peer::Unix))
            }
        }
    }
}

fn tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What systemd has bound under this name.
fn passed(name: &str, tls: bool) -> io::Result<Vec<Bound>> {
    let sockets = systemd::take(name).map_err(io::Error::other)?;
    let bound = sockets.into_iter().map(|socket| match socket {
        systemd::Socket::Tcp(socket) => TcpListener::from_std(socket).map(Bound::Tcp),
        systemd::Socket::Unix(_) if tls => Err(io::Error::other("TLS on a unix socket")),
        systemd::Socket::Unix(socket) => {
            UnixListener::from_std(socket).map(|socket| Bound::Unix(None, socket))
        }
    });
    bound.collect()
}

async fn unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Accepts until the server stops, then waits for the connections.
pub(super) async fn run<H: Handler>(server: Server, listener: Listener, handler: Arc<H>) {
    let mut tuned = server.0.settings.load().body_idle;
    tune(&listener, tuned);
    let local_port = listener.port();
    let entrance = listener.entrance.clone();
    let mut pulse = server.0.pulse.subscribe();
    // Who asked before this begun wants to know as well.
    pulse.mark_changed();
    let mut connections = JoinSet::new();
    // One for each thread of the runtime.
    let most = if server.0.settings.load().fast_path {
        Handle::current().metrics().num_workers()
    } else {
        0
    };
    let holders = Arc::new(Holders::new(server.clone(), most));
    let mut pause = Duration::ZERO;
    let mut resume = None;
    let mut waiting = None;
    loop {
        tokio::select! {
            // Stopping first; then what has ended, which may free a slot; then who asks whether we are alive; then who waits
            // for a slot; then new ones.
            biased;
            () = server.0.stop.cancelled() => break,
            Some(ended) = connections.join_next() => notice(&server, ended),
            Ok(()) = pulse.changed() => pulse.borrow_and_update().add_permits(1),
            slot = server.0.slots.wait(), if waiting.is_some() => {
                if let Some((socket, peer, share)) = waiting.take() {
                    let open = Counted::new(&server.0.metrics.open);
                    server.0.metrics.accepted.inc();
                    let body_idle = server.0.settings.load().body_idle;
                    if body_idle != tuned {
                        // What a reload has changed holds for those who come after this one.
                        tuned = body_idle;
                        tune(&listener, tuned);
                    }
                    let begun = Begun {
                        socket,
                        info: ConnInfo {
                            id: ConnId(server.0.next_conn.fetch_add(1, Ordering::Relaxed)),
                            peer,
                            local_port,
                            tls: entrance.speech.is_tls(),
                            certified: entrance.speech.is_certified(),
                            redirect_https: entrance.redirect_https,
                            unnamed: false,
                        },
                        occupied: Occupied::new(slot, open, share),
                    };
                    let (server, handler) = (server.clone(), Arc::clone(&handler));
                    let (entrance, holders) = (entrance.clone(), Arc::clone(&holders));
                    connections.spawn(begun.serve(server, entrance, handler, holders));
                }
            }
            accepted = next(&listener, resume), if waiting.is_none() => match accepted {
                Ok((socket, peer)) => {
                    (pause, resume) = (Duration::ZERO, None);
                    match admit(&server.0, &entrance, &*handler, peer) {
                        Ok(share) => waiting = Some((socket, peer, share)),
                        Err(refused) => refused.note(&server.0, &entrance, peer),
                    }
                }
                Err(error) => {
                    pause = after(&server, &listener, &error, pause);
                    resume = Some(Instant::now() + pause);
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        notice(&server, ended);
    }
}

/// A connection that has its place.
struct Begun {
    socket: Socket,
    info: ConnInfo,
    occupied: Occupied,
}

impl Begun {
    async fn serve<H: Handler>(
        mut self,
        server: Server,
        entrance: Entrance,
        handler: Arc<H>,
        holders: Arc<Holders<<H::Body as Holdable>::Held>>,
    ) {
        if entrance.behind_proxy {
            // In a box that is gone afterwards, for few connections need it.
            let header = Box::pin(introduced(&server.0, &*handler, &self.socket, self.info));
            match header.await {
                Ok((info, share)) => {
                    self.info = info;
                    self.occupied.take(share);
                }
                Err(refused) => return refused.note(&server.0, &entrance, self.info.peer),
            }
        }
        let info = Arc::new(self.info);
        let begun = (self.socket, self.occupied);
        let held = conn::run(server, begun, entrance.speech, info, handler, holders).await;
        if let Some(held) = held {
            held.hand_over();
        }
    }
}

/// The next client. At the limit one for each listener waits here and all others in the kernel: a listener that took its
/// slot before anybody came would keep it from the others.
async fn next(listener: &Listener, resume: Option<Instant>) -> io::Result<(Socket, Peer)> {
    // A moment, not a duration: connections that end meanwhile must not make the pause begin again.
    if let Some(resume) = resume {
        sleep_until(resume).await;
    }
    listener.accept().await
}

/// How long to pause after a failed accept: not at all if it was the client's fault, else 10 ms to 100 ms.
fn after(server: &Server, listener: &Listener, error: &io::Error, before: Duration) -> Duration {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        return Duration::ZERO;
    }
    if before.is_zero() {
        tracing::error!(listen = listener.name(), %error, "Accepting pauses");
    }
    server.0.metrics.pauses.inc();
    (before * 2).clamp(Duration::from_millis(10), Duration::from_millis(100))
}

/// Small writes go out at once. A peer that is gone without a word is noticed: by what it does not acknowledge for
/// `body_idle`, while little was written (`io` says why not later), by probes when there is nothing to acknowledge. The
/// kernel keeps little unsent, so that a client which reads slowly but steadily is seen to. Each accepted socket has all this
/// from the one that listens (Linux), which spares it four calls. A socket that refuses any of it works all the same.
fn tune(listener: &Listener, body_idle: Duration) {
    if let Bound::Tcp(socket) = &listener.socket {
        let socket = SockRef::from(socket);
        let _best_effort = socket.set_tcp_nodelay(true);
        let _best_effort = socket.set_tcp_user_timeout(Some(body_idle));
        let _best_effort = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER));
        let _best_effort = socket.set_tcp_notsent_lowat(UNSENT);
    }
}

fn notice(server: &Server, ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        server.0.metrics.panics.inc();
        tracing::error!(%error, "Connection panicked");
    }
}
