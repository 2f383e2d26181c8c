//! How a connection begins: over TLS with a handshake, and with what that says about the versions of HTTP.
//!
//! `conn` calls [`Speech::begin`] in the connection's own task, so that a slow handshake holds up nobody else. Limits:
//! `header_timeout` for all of it, and the server's end. A client that begins with plain HTTP is told what is wrong.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{Error as TlsError, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::io::Socket;
use super::{Inner, Listen};
use crate::domain::ConnId;
use crate::tls::{self, ACME_TLS, H2};
use crate::wire::guard::Guard;

/// How long a client may take to read that it should have spoken TLS.
const LINGER: Duration = Duration::from_secs(2);

/// What TLS takes before the socket has taken it: one whole record. Its progress within that is seen by nobody, so with
/// more a client that reads slowly but steadily would pass for one that has stalled.
const UNSENT: usize = 16 << 10;

/// What somebody is told who speaks plain HTTP where TLS is spoken.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 25\r\nConnection: close\r\n\r\nplain HTTP on a TLS port\n";

/// How a listener is spoken with. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Speech {
    http2: bool,
    /// Unset: plain.
    tls: Option<Arc<ServerConfig>>,
    /// Whether there is no handshake without a certificate of the client.
    certified: bool,
}

/// What may be spoken on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1.1 or HTTP/2, as the first bytes say.
    Either,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the client was too slow")]
    Timeout,
    #[error("the client left")]
    Left(#[source] io::Error),
    #[error("the client speaks plain HTTP")]
    PlainHttp,
    #[error("the client does not speak TLS")]
    NotTls(#[source] io::Error),
    #[error("there is no version, cipher or protocol in common")]
    Incompatible(#[source] io::Error),
    #[error("the client has no certificate by which it is known here")]
    Unknown(#[source] io::Error),
    #[error("the client refused")]
    Refused(#[source] io::Error),
    #[error("there is no certificate to show")]
    NoCertificate(#[source] io::Error),
    #[error("the client broke the rules of TLS")]
    Violation(#[source] io::Error),
}

impl Speech {
    pub(super) fn new(listen: &Listen) -> Self {
        Self {
            http2: listen.http2,
            tls: tls::server_config(&listen.tls, listen.http2),
            certified: listen.is_certified(),
        }
    }

    /// TLS with HTTP/2 and HTTP/1.1.
    #[cfg(test)]
    pub(super) const fn over(tls: Arc<ServerConfig>) -> Self {
        Self {
            http2: true,
            tls: Some(tls),
            certified: false,
        }
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether whoever gets through is known by its certificate.
    pub(super) const fn is_certified(&self) -> bool {
        self.certified
    }

    /// Does what comes before HTTP; `None` if that came to nothing.
    pub(super) async fn begin(
        self,
        server: &Inner,
        socket: Socket,
        id: ConnId,
    ) -> Option<(Socket, Versions)> {
        let (socket, tls) = match (socket, self.tls) {
            (Socket::Tcp(socket), Some(tls)) => (socket, tls),
            (socket, _) if self.http2 => return Some((socket, Versions::Either)),
            (socket, _) => return Some((socket, Versions::Http1)),
        };
        // In a box that is gone afterwards, for it is larger than what a connection needs later.
        let patience = server.settings.load().header_timeout;
        let handshake = Box::pin(timeout(patience, shake(socket, tls)));
        let done = tokio::select! {
            // The handshake first: one that is done is served, and told of the end as others are.
            biased;
            done = handshake => done.unwrap_or(Err(Failure::Timeout)),
            () = server.finish.cancelled() => return None,
        };
        match done {
            Ok(begun) => begun,
            Err(failure) => {
                let reason = failure.reason();
                let count = server
                    .metrics
                    .handshakes
                    .get_or_create(&[("reason", reason)]);
                count.inc();
                let error: &(dyn StdError + 'static) = &failure;
                tracing::debug!(conn.id = %id, reason, error, "TLS handshake failed");
                None
            }
        }
    }
}

impl Versions {
    /// Whether what the guard has seen so far may be spoken.
    pub(super) const fn allow(self, guard: &Guard) -> bool {
        match self {
            Self::Either => true,
            Self::Http1 => !guard.is_http2(),
            Self::Http2 => guard.is_http2() || guard.is_undecided(),
        }
    }
}

/// `None` is a handshake that was all the client came for.
async fn shake(
    socket: TcpStream,
    tls: Arc<ServerConfig>,
) -> Result<Option<(Socket, Versions)>, Failure> {
    let mut first = [0];
    if socket.peek(&mut first).await.map_err(Failure::Left)? == 1
        && first.iter().all(u8::is_ascii_uppercase)
    {
        refuse(socket).await;
        return Err(Failure::PlainHttp);
    }
    let handshake = TlsAcceptor::from(tls).accept_with(socket, |connection| {
        connection.set_buffer_limit(Some(UNSENT));
    });
    let mut stream = Box::new(handshake.await.map_err(Failure::from)?);
    let versions = match stream.get_ref().1.alpn_protocol() {
        // Somebody looks whether a name is ours, and has seen it: nothing may be said on such a connection (RFC 8737,
        // section 3).
        Some(ACME_TLS) => {
            // Whoever has left has seen it too.
            let _told = stream.shutdown().await;
            return Ok(None);
        }
        Some(H2) => Versions::Http2,
        _ => Versions::Http1,
    };
    Ok(Some((Socket::Tls(stream), versions)))
}

/// Answers plain HTTP. What the client still sends is read, or the kernel would answer it with a reset, and ours might be
/// lost with it.
async fn refuse(mut socket: TcpStream) {
    let told = async {
        socket.write_all(PLAIN).await?;
        socket.shutdown().await?;
        let mut scratch = [0; 1024];
        while socket.read(&mut scratch).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whoever leaves without reading it needs no answer.
    let _told = timeout(LINGER, told).await;
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match tls {
            None => Self::Left(error),
            Some(TlsError::InvalidMessage(_)) => Self::NotTls(error),
            Some(TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol) => {
                Self::Incompatible(error)
            }
            Some(TlsError::NoCertificatesPresented | TlsError::InvalidCertificate(_)) => {
                Self::Unknown(error)
            }
            // Of all that may be said in words it is the one that can happen here.
            Some(TlsError::General(_)) => Self::NoCertificate(error),
            Some(TlsError::AlertReceived(_)) => Self::Refused(error),
            Some(_) => Self::Violation(error),
        }
    }
}

impl Failure {
    /// The label of the metric.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Left(_) => "left",
            Self::PlainHttp => "plain_http",
            Self::NotTls(_) => "not_tls",
            Self::Incompatible(_) => "incompatible",
            Self::Unknown(_) => "client_certificate",
            Self::Refused(_) => "refused",
            Self::NoCertificate(_) => "no_certificate",
            Self::Violation(_) => "violation",
        }
    }
}
