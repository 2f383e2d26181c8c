//! A connection to Redis, on which it lets this gateway in: over TCP, TLS or a unix socket; the host itself, one of
//! several, or whom a sentinel names.
//!
//! Everything here is within `Settings::patience`.

use std::io;
use std::sync::Arc;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{RedisConnectionInfo, cmd};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Settings;
use super::address::{Address, Host, Login, Target};
use super::error::Lost;
use super::paced::{Paced, Tap};

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection that can subscribe, and the tap of its socket.
pub(super) async fn dial(settings: &Settings) -> Result<(PubSub, Tap), Lost> {
    let address = &settings.address;
    let dialled = async {
        let socket = socket(address).await?;
        let tap = Tap::new();
        let paced = Paced::new(socket, tap.clone());
        let pubsub = PubSub::new(&login(address.login.as_ref()), paced).await?;
        Ok((pubsub, tap))
    };
    timeout(settings.patience, dialled)
        .await
        .unwrap_or(Err(Lost::Late(settings.patience)))
}

async fn socket(address: &Address) -> Result<Box<dyn Socket>, Lost> {
    match &address.target {
        Target::Unix(path) => {
            let unreachable = |source| Lost::Unreachable {
                to: path.display().to_string(),
                source,
            };
            let socket = UnixStream::connect(path).await.map_err(unreachable)?;
            Ok(Box::new(socket))
        }
        Target::Hosts(hosts) => any(hosts, address.tls).await,
        Target::Sentinels(sentinels, master) => {
            let master = master_of(sentinels, address.tls, master).await?;
            connect(&master, address.tls).await
        }
    }
}

/// A connection to one of `hosts`, tried in an order of chance: who is away must not cost its time always.
async fn any(hosts: &[Host], tls: bool) -> Result<Box<dyn Socket>, Lost> {
    let mut failed = Lost::Ended;
    for host in shuffled(hosts) {
        match connect(host, tls).await {
            Ok(socket) => return Ok(socket),
            Err(lost) => failed = lost,
        }
    }
    Err(failed)
}

/// The master as one of `sentinels` names it.
async fn master_of(sentinels: &[Host], tls: bool, master: &str) -> Result<Host, Lost> {
    let mut failed = Lost::Ended;
    for sentinel in shuffled(sentinels) {
        match ask(sentinel, tls, master).await {
            Ok(named) => return Ok(named),
            Err(lost) => failed = lost,
        }
    }
    Err(failed)
}

fn shuffled(hosts: &[Host]) -> Vec<&Host> {
    let mut hosts: Vec<_> = hosts.iter().collect();
    fastrand::shuffle(&mut hosts);
    hosts
}

async fn connect(host: &Host, tls: bool) -> Result<Box<dyn Socket>, Lost> {
    let unreachable = |source: io::Error| Lost::Unreachable {
        to: host.to_string(),
        source,
    };
    let stream = TcpStream::connect((host.name.as_str(), host.port))
        .await
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    if !tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.name.clone());
    let name = name.map_err(|source| Lost::Name(host.name.clone(), source))?;
    // The files of hundreds of authorities: not for a thread on which streams wait.
    let config = spawn_blocking(client_config).await;
    let connector = TlsConnector::from(config.unwrap_or(Err(Lost::Untrusting))?);
    let stream = connector.connect(name, stream).await.map_err(unreachable)?;
    Ok(Box::new(stream))
}

/// Trusts whom this machine trusts. Read for each connection: what is renewed meanwhile counts.
fn client_config() -> Result<Arc<ClientConfig>, Lost> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Lost::Untrusting);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for every version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Asks a sentinel for the master. Without a login: a sentinel has users of its own.
async fn ask(sentinel: &Host, tls: bool, master: &str) -> Result<Host, Lost> {
    let socket = connect(sentinel, tls).await?;
    let nobody = login(None);
    let (mut conn, driver) = MultiplexedConnection::new(&nobody, socket).await?;
    let mut question = cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(master);
    let answer = question.query_async::<Option<(String, u16)>>(&mut conn);
    let answer = tokio::select! {
        biased;
        answer = answer => answer?,
        () = driver => return Err(Lost::Ended),
    };
    let (name, port) = answer.ok_or_else(|| Lost::NoMaster(master.into()))?;
    Ok(Host { name, port })
}

/// What is said first. Neither the database is chosen nor the library named: for channels the one means nothing, and a
/// user who may only subscribe may do no other.
fn login(login: Option<&Login>) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(Login { user, password }) = login {
        info = info.set_password(password);
        if let Some(user) = user {
            info = info.set_username(user);
        }
    }
    info
}
