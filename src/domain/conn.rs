//! Who is at the other end, and the identifiers of connections, requests, streams and users.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A process on this machine, through a unix socket.
    Unix,
}

impl Peer {
    /// The peer's IP address; a unix peer is this machine, so `127.0.0.1`.
    pub const fn ip(self) -> IpAddr {
        match self {
            Self::Tcp(address) => address.ip().to_canonical(),
            Self::Unix => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

/// Whether `address` is of this machine or of a private network: more often a proxy's than a client's on the internet.
pub const fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// The number of a client connection within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a client connection before its first request.
#[derive(Debug, Clone, Copy)]
pub struct ConnInfo {
    /// Its number.
    pub id: ConnId,
    /// The other end; where the PROXY protocol is spoken, the client that it names.
    pub peer: Peer,
    /// The port it came in on; `None` for a unix socket.
    pub local_port: Option<u16>,
    /// Whether it is encrypted up to this process.
    pub tls: bool,
    /// The port for https to which its requests are sent on instead of being served; `None`: they are served.
    pub redirect_https: Option<u16>,
    /// Whether its client has shown a certificate by which the listener knows it.
    pub certified: bool,
    /// Whether a proxy began it for somebody whom its PROXY protocol header does not name: what comes is not the proxy's
    /// own word, though the peer is the proxy.
    pub unnamed: bool,
}

/// The name of one request in logs, towards Django (`X-Request-ID`) and in error answers: 1 to 128 visible ASCII
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// A new id out of random bits: 32 hexadecimal digits.
    pub fn from_random(bits: u128) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 32];
        for (place, byte) in text.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            for (place, digit) in place.iter_mut().zip([byte >> 4, byte & 0xf]) {
                *place = HEX.get(usize::from(digit)).copied().unwrap_or_default();
            }
        }
        let text = std::str::from_utf8(&text).unwrap_or_default();
        Self(text.into())
    }

    /// An id given by a trusted proxy; `None` if it does not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of one open stream: 32 hexadecimal digits, not to be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u128);

impl StreamId {
    /// A new id out of random bits.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits)
    }

    /// Reads the 32 digits; `None` if `text` is not such an id.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The user that Django named in `SSE-User`: 1 to 200 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// Checks length and characters; `None` if `text` does not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=200).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.into()))
    }

    /// The user as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids_read_back_and_nothing_else_does() {
        let id = StreamId::from_random(0xfeed);
        assert_eq!(StreamId::parse(&id.to_string()), Some(id));
        for other in [
            "",
            "feed",
            "+0000000000000000000000000000001",
            "0000000000000000000000000000FEED",
        ] {
            assert_eq!(StreamId::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_addresses_that_are_not_on_the_internet_are_local() {
        let local = |text: &str| is_local(text.parse().unwrap());
        for near in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(local(near), "{near}");
        }
        for far in ["8.8.8.8", "172.32.0.1", "2001:db8::1"] {
            assert!(!local(far), "{far}");
        }
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_an_ipv4_peer() {
        let peer = Peer::Tcp("[::ffff:10.1.2.3]:99".parse().unwrap());
        assert_eq!(peer.ip().to_string(), "10.1.2.3");
    }
}
