//! A scripted backend: it records the very bytes it was sent and answers, or fails, as a test says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use socket2::SockRef;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::script::{Reply, Request, Script, Step};
use super::within;

/// What the backend saw so far.
#[derive(Debug, Default)]
pub struct Log {
    pub requests: Vec<Request>,
    pub connections: Vec<Connection>,
    pub at_once: usize,
    pub most_at_once: usize,
}

#[derive(Debug, Default)]
pub struct Connection {
    /// All bytes, in order.
    pub bytes: Vec<u8>,
    /// Whether the gateway has closed it.
    pub closed: bool,
    /// How its TLS began, if it has any.
    pub tls: Option<Tls>,
}

/// What a handshake agreed on.
#[derive(Debug)]
pub struct Tls {
    pub name: Option<String>,
    pub protocol: Option<Vec<u8>>,
    pub resumed: bool,
}

struct Shared {
    script: Mutex<Script>,
    early: bool,
    tls: Option<TlsAcceptor>,
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let done = change(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        done
    }
}

enum Place {
    Tcp(std::net::SocketAddr),
    Unix(
        PathBuf,
        #[expect(dead_code, reason = "held for its drop")] TempDir,
    ),
}

enum State {
    Listening(JoinSet<()>),
    /// For TCP: the port, bound but not listening, so that nobody else gets it.
    Down(Option<TcpSocket>),
}

/// The backend. Its connections die with it.
pub struct Backend {
    /// As `upstream.servers` names it.
    pub address: String,
    place: Place,
    shared: Arc<Shared>,
    state: State,
}

impl Backend {
    /// A backend on TCP.
    pub async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(false, false, None, script)
    }

    /// A backend on TCP that speaks TLS. Its connections end without a word, as those of gunicorn do.
    pub async fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::new(false, false, Some(config.into()), script)
    }

    /// A backend on a unix socket.
    pub async fn start_unix(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(true, false, None, script)
    }

    /// A backend that acts once it has the head of a request.
    pub async fn start_early(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(false, true, None, script)
    }

    fn new(
        unix: bool,
        early: bool,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            early,
            tls,
            log: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let (place, state) = if unix {
            let directory = tempfile::tempdir().unwrap();
            (
                Place::Unix(directory.path().join("backend.sock"), directory),
                State::Down(None),
            )
        } else {
            let socket = bound("127.0.0.1:0".parse().unwrap());
            (
                Place::Tcp(socket.local_addr().unwrap()),
                State::Down(Some(socket)),
            )
        };
        let address = match &place {
            Place::Tcp(address) if shared.tls.is_some() => format!("https://{address}"),
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path, _) => format!("unix:{}", path.display()),
        };
        let mut backend = Self {
            address,
            place,
            shared,
            state,
        };
        backend.up();
        backend
    }

    /// Listens again, on the same address.
    pub fn up(&mut self) {
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        match std::mem::replace(&mut self.state, State::Down(None)) {
            State::Down(Some(socket)) => {
                let listener = socket.listen(1024).unwrap();
                tasks.spawn(accept_tcp(listener, shared));
            }
            State::Down(None) => {
                let Place::Unix(path, _) = &self.place else {
                    panic!("a port is held")
                };
                let listener = UnixListener::bind(path).unwrap();
                tasks.spawn(accept_unix(listener, shared));
            }
            listening @ State::Listening(_) => {
                self.state = listening;
                return;
            }
        }
        self.state = State::Listening(tasks);
    }

    /// Dies as by `kill -9`: every connection ends, new ones are refused (or the socket's file is gone).
    pub async fn down(&mut self) {
        if let State::Listening(tasks) = &mut self.state {
            tasks.shutdown().await;
        }
        self.shared.change(|log| log.at_once = 0);
        self.state = State::Down(match &self.place {
            Place::Tcp(address) => Some(bound(*address)),
            Place::Unix(path, _) => {
                std::fs::remove_file(path).unwrap();
                None
            }
        });
    }

    /// From the next request on another script.
    pub fn script(&self, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// Looks at what was seen so far.
    pub fn seen<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(
            &self
                .shared
                .log
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub fn count(&self) -> usize {
        self.seen(|log| log.requests.len())
    }

    /// Waits until what was seen satisfies `condition`.
    pub async fn until(&self, what: &str, condition: impl Fn(&Log) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        within(what, async {
            while !self.seen(&condition) {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits for the request with this number, from 0.
    pub async fn request(&self, number: usize) -> Request {
        self.until("a request at the backend", |log| {
            log.requests.len() > number
        })
        .await;
        self.seen(|log| log.requests[number].clone())
    }
}

/// A port, bound and not listening: connecting to it is refused.
fn bound(address: std::net::SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn accept_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        // What follows an answer must not wait in the kernel until that is acknowledged.
        socket.set_nodelay(true).unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let Some(acceptor) = shared.tls.clone() else {
                return serve(socket, shared).await;
            };
            // Whoever trusts nobody here has gone.
            if let Ok(socket) = acceptor.accept(socket).await {
                serve(socket, shared).await;
            }
        });
    }
}

async fn accept_unix(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        connections.spawn(serve(socket, Arc::clone(&shared)));
    }
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the close that follows a reset, where there is such a thing.
    fn will_reset(&self) {}

    fn tls(&self) -> Option<Tls> {
        None
    }
}

impl Socket for TcpStream {
    fn will_reset(&self) {
        SockRef::from(self)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

impl Socket for UnixStream {}

impl Socket for TlsStream<TcpStream> {
    fn will_reset(&self) {
        self.get_ref().0.will_reset();
    }

    fn tls(&self) -> Option<Tls> {
        let session = self.get_ref().1;
        Some(Tls {
            name: session.server_name().map(str::to_owned),
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}

struct Serving<S> {
    socket: S,
    shared: Arc<Shared>,
    conn: usize,
    unread: Vec<u8>,
}

async fn serve<S: Socket>(socket: S, shared: Arc<Shared>) {
    let conn = shared.change(|log| {
        log.connections.push(Connection {
            tls: socket.tls(),
            ..Connection::default()
        });
        log.connections.len() - 1
    });
    let mut serving = Serving {
        socket,
        shared,
        conn,
        unread: Vec::new(),
    };
    while let Some(reply) = serving.request().await {
        let goes_on = serving.reply(reply).await;
        serving.shared.change(|log| log.at_once -= 1);
        if !goes_on {
            return;
        }
    }
}

impl<S: Socket> Serving<S> {
    /// Reads more; `false` if the gateway has closed.
    async fn fill(&mut self) -> bool {
        let before = self.unread.len();
        let open = matches!(self.socket.read_buf(&mut self.unread).await, Ok(1..));
        let (conn, new) = (self.conn, &self.unread[before..]);
        self.shared.change(|log| {
            log.connections[conn].bytes.extend_from_slice(new);
            log.connections[conn].closed |= !open;
        });
        open
    }

    /// The next request, and what to do with it.
    async fn request(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut request = Request {
            number: 0,
            conn: self.conn,
            head,
            body: Vec::new(),
        };
        if !self.shared.early {
            let length = request.length();
            while self.unread.len() < length {
                if !self.fill().await {
                    return None;
                }
            }
            request.body = self.unread.drain(..length).collect();
        }
        self.shared.change(|log| {
            request.number = log.requests.len();
            log.requests.push(request.clone());
            log.at_once += 1;
            log.most_at_once = log.most_at_once.max(log.at_once);
        });
        let script = Arc::clone(&*self.shared.script.lock().unwrap());
        Some(script(&request))
    }

    /// Whether another request may follow.
    async fn reply(&mut self, reply: Reply) -> bool {
        for step in reply.0 {
            let goes_on = match step {
                Step::Bytes(bytes) => self.say(&bytes).await,
                Step::Shutdown => self.socket.shutdown().await.is_ok(),
                Step::Wait(gate) => self.wait_for(gate.wait()).await,
                Step::Hang => self.wait_for(std::future::pending()).await,
                Step::Close => false,
                Step::Reset => {
                    self.socket.will_reset();
                    false
                }
                Step::Echo => self.echo().await,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    async fn say(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok() && self.socket.flush().await.is_ok()
    }

    /// Waits, and reads meanwhile; `false` if the gateway closes.
    async fn wait_for(&mut self, event: impl Future<Output = ()>) -> bool {
        let mut event = std::pin::pin!(event);
        loop {
            tokio::select! {
                () = event.as_mut() => return true,
                open = self.fill() => if !open { return false },
            }
        }
    }

    async fn echo(&mut self) -> bool {
        loop {
            let bytes = std::mem::take(&mut self.unread);
            if !self.say(&bytes).await || !self.fill().await {
                return false;
            }
        }
    }
}
