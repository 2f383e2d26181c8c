//! Whose a connection is, and whether its client may have one more: before a byte of TLS or HTTP is read.
//!
//! `accept` asks [`admit`] at once. Where the PROXY protocol is spoken only a trusted peer gets further, and
//! [`introduced`] reads its header in the connection's own task. Not a byte after the header is taken off the socket.
//! Limits: `header_timeout` for the header, and the server's end. Whoever is refused is closed without a word, and counted:
//! an answer would cost more than they are worth.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;

use super::Inner;
use super::accept::Entrance;
use super::io::Socket;
use crate::base::handler::Handler;
use crate::domain::{ConnInfo, Peer};
use crate::limits::{Share, network};
use crate::wire::proxy_protocol::{Malformed, Reader, Source};

/// How often the log says that connections are refused which the operator may have meant to be served.
pub(super) const HINTS: Duration = Duration::from_secs(60);

/// What is looked at at once: all of nearly every header.
const AHEAD: usize = 256;

/// Why a connection is closed again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("the client has too many connections")]
    Client,
    #[error("a peer that is not in trust.proxies speaks for nobody")]
    Untrusted,
    #[error("the server stops")]
    Stopping,
    #[error("the proxy was too slow")]
    Timeout,
    #[error("the proxy left")]
    Left(#[source] io::Error),
    #[error(transparent)]
    Header(#[from] Malformed),
}

/// Whether a connection of `peer` may go on; its place among those of its client, if they are counted and known.
pub(super) fn admit<H: Handler>(
    server: &Inner,
    entrance: &Entrance,
    handler: &H,
    peer: Peer,
) -> Result<Option<Share<IpAddr>>, Refused> {
    if !entrance.behind_proxy {
        return place(server, handler, peer);
    }
    // The header will say whose it is.
    handler
        .trusts(peer)
        .then_some(None)
        .ok_or(Refused::Untrusted)
}

/// A place among the connections of the client at `peer`. Those of trusted proxies are not counted, for they are those of
/// many; nor those on unix sockets, which have no address.
fn place<H: Handler>(
    server: &Inner,
    handler: &H,
    peer: Peer,
) -> Result<Option<Share<IpAddr>>, Refused> {
    match handler.connections_of_client() {
        Some(most) if peer != Peer::Unix && !handler.trusts(peer) => server
            .shares
            .take(network(peer.ip()), most.get())
            .map(Some)
            .ok_or(Refused::Client),
        _ => Ok(None),
    }
}

/// Reads the header of the PROXY protocol: what is known of the connection with it, and its client's place.
pub(super) async fn introduced<H: Handler>(
    server: &Inner,
    handler: &H,
    socket: &Socket,
    mut info: ConnInfo,
) -> Result<(ConnInfo, Option<Share<IpAddr>>), Refused> {
    let limit = server.settings.load().header_timeout;
    let read = timeout(limit, header(socket));
    let source = tokio::select! {
        // A header that is there is read, and its client told of the end as others are.
        biased;
        read = read => read.unwrap_or(Err(Refused::Timeout))?,
        () = server.finish.cancelled() => return Err(Refused::Stopping),
    };
    let Source::Client(client) = source else {
        // The proxy itself, or somebody whom it cannot name and who must not speak with its authority.
        info.unnamed = true;
        return Ok((info, None));
    };
    info.peer = Peer::Tcp(client);
    let place = place(server, handler, info.peer)?;
    Ok((info, place))
}

async fn header(socket: &Socket) -> Result<Source, Refused> {
    let mut reader = Reader::default();
    let mut room = [0; AHEAD];
    loop {
        let shown = receive(socket, &mut room, RecvFlags::PEEK).await?;
        let seen = room.get(..shown).unwrap_or(&room);
        if seen.is_empty() {
            return Err(Refused::Left(io::ErrorKind::UnexpectedEof.into()));
        }
        let (mut belongs, source) = reader.feed(seen)?;
        while belongs > 0 {
            let part = room.get_mut(..belongs).unwrap_or_default();
            belongs -= receive(socket, part, RecvFlags::empty())
                .await?
                .min(belongs);
        }
        if let Some(source) = source {
            return Ok(source);
        }
    }
}

async fn receive(socket: &Socket, room: &mut [u8], flags: RecvFlags) -> Result<usize, Refused> {
    let received = match socket {
        Socket::Tcp(socket) => {
            let read = || Ok(recv(socket, &mut *room, flags)?.1);
            socket.async_io(Interest::READABLE, read).await
        }
        Socket::Unix(socket) => {
            let read = || Ok(recv(socket, &mut *room, flags)?.1);
            socket.async_io(Interest::READABLE, read).await
        }
        // Nothing but a bare socket was accepted.
        Socket::Tls(_) | Socket::Taken => Err(io::ErrorKind::Unsupported.into()),
    };
    received.map_err(Refused::Left)
}

impl Refused {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Untrusted => "untrusted",
            Self::Stopping => "stopping",
            Self::Timeout => "timeout",
            Self::Left(_) => "left",
            Self::Header(_) => "header",
        }
    }

    /// Counts it. A proxy that is refused is a proxy whose every client is: the log says so once in a while.
    pub(super) fn note(&self, server: &Inner, entrance: &Entrance, peer: Peer) {
        let listen = &*entrance.name;
        let reason = self.reason();
        let refused = &server.metrics.turned_away;
        refused.get_or_create(&[("reason", reason)]).inc();
        let error: &(dyn StdError + 'static) = self;
        let hint = match self {
            Self::Untrusted => "name the proxy in trust.proxies, or take `proxy_protocol` away",
            Self::Header(Malformed::Missing) => {
                "have the proxy send it, or take `proxy_protocol` away"
            }
            _ => {
                tracing::debug!(listen, client.addr = %peer.ip(), reason, error, "Connection refused");
                return;
            }
        };
        if server.hints.now() {
            tracing::warn!(listen, client.addr = %peer.ip(), error, hint, "Connections refused");
        }
    }
}
