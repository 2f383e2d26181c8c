//! What TLS holds back: a client takes nothing, so that the last bytes stay with us, and nothing is written after them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::activity::Activity;
use super::handshake::{Speech, Versions};
use super::io::{ClientIo, Socket};
use super::{Metrics, Server, Settings};
use crate::base::metrics::Registry;
use crate::domain::ConnId;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).unwrap();
    let (cert, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], PrivateKeyDer::Pkcs8(key.into()))
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// Both ends of a connection over which little fits.
async fn narrow(settings: Settings) -> (ClientIo, TlsStream<TcpStream>) {
    let (server_config, client_config) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    let (near, far) = tokio::join!(
        listener.accept(),
        client.connect(listener.local_addr().unwrap())
    );
    let near = near.unwrap().0;
    SockRef::from(&near).set_send_buffer_size(4096).unwrap();

    let metrics = Metrics::new(&Registry::default());
    let server = Server::new(settings.clone(), &metrics);
    let speech = Speech::over(server_config);
    let connector = TlsConnector::from(client_config);
    let name = ServerName::try_from("site.test").unwrap();
    let (begun, client) = tokio::join!(
        speech.begin(&server.0, Socket::Tcp(near), ConnId(0)),
        connector.connect(name, far.unwrap())
    );
    let (socket, versions) = begun.unwrap();
    assert_eq!(versions, Versions::Http1);
    let activity = Arc::new(Activity::default());
    let io = ClientIo::new(socket, versions, activity, &settings, metrics.refusals());
    (io, client.unwrap())
}

/// Writes until no more is taken; how much was.
async fn fill(io: &mut ClientIo) -> usize {
    let mut taken = 0;
    std::future::poll_fn(|cx| {
        while let Poll::Ready(more) = Pin::new(&mut *io).poll_write(cx, &[b'x'; 1000]) {
            taken += more.unwrap();
        }
        Poll::Ready(())
    })
    .await;
    taken
}

#[tokio::test]
async fn a_flush_sends_what_tls_holds_back() {
    let (mut io, mut client) = narrow(Settings::default()).await;
    let mut read = vec![0; fill(&mut io).await];
    let both = async { tokio::join!(io.flush(), client.read_exact(&mut read)) };
    let (flushed, all) = timeout(PATIENCE, both).await.unwrap();
    flushed.unwrap();
    all.unwrap();
}

#[tokio::test]
async fn the_end_sends_what_tls_holds_back_and_a_close_notify() {
    let (mut io, mut client) = narrow(Settings::default()).await;
    let taken = fill(&mut io).await;
    let reading = async move {
        let mut read = Vec::new();
        // Without a close_notify this were an error.
        client.read_to_end(&mut read).await.unwrap();
        read.len()
    };
    let both = async { tokio::join!(io.shutdown(), reading) };
    let (ended, read) = timeout(PATIENCE, both).await.unwrap();
    ended.unwrap();
    assert_eq!(read, taken);
}

#[tokio::test]
async fn a_flush_and_an_end_that_stall_are_given_up() {
    let settings = Settings {
        body_idle: Duration::from_millis(100),
        ..Settings::default()
    };
    let (mut io, _client) = narrow(settings.clone()).await;
    fill(&mut io).await;
    let flushed = timeout(PATIENCE, io.flush()).await.unwrap();
    assert_eq!(flushed.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let (mut io, _client) = narrow(settings).await;
    fill(&mut io).await;
    let ended = timeout(PATIENCE, io.shutdown()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_still_sending_is_not_cut_off_from_its_answer() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let metrics = Metrics::new(&Registry::default());
    let mut io = ClientIo::new(
        Socket::Unix(near),
        Versions::Http1,
        Arc::new(Activity::default()),
        &Settings::default(),
        metrics.refusals(),
    );
    let mut closing = Box::pin(async { io.shutdown().await });
    for _ in 0..4 {
        far.write_all(b"more").await.unwrap();
        assert!(timeout(Duration::from_secs(1), &mut closing).await.is_err());
    }
    // As long as nothing more comes.
    timeout(PATIENCE, closing).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_is_alive_while_all_its_accept_loops_are() {
    let server = Server::new(Settings::default(), &Metrics::new(&Registry::default()));
    let alive = || timeout(PATIENCE, server.alive());
    // Without listeners there is nothing that could be stuck.
    alive().await.unwrap();
    server.0.listeners.fetch_add(1, Ordering::Relaxed);
    assert!(alive().await.is_err());
    let mut pulse = server.0.pulse.subscribe();
    let turn = async {
        pulse.changed().await.unwrap();
        pulse.borrow_and_update().add_permits(1);
    };
    tokio::join!(alive(), turn).0.unwrap();
    assert!(alive().await.is_err());
    // What has been told to stop need not be alive.
    server.stop();
    alive().await.unwrap();
}
