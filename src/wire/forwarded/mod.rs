//! Who the client is and what it asked for, as Django is told: the `X-Forwarded-*` headers in and out.
//!
//! `proxy` calls [`forwarded`] on the client's headers *before* they are stripped and [`Forwarded::apply`] after, and
//! [`client`] where nothing but the address matters. A
//! peer that is not trusted is the client, whatever it says. A trusted one is believed as far as the chain of trusted
//! addresses goes and not a step further: Django code likes to take the leftmost address, so what the client itself
//! claimed must not stand there. Invariant: every value is valid as a header, and the chain begins with the client.

use std::net::{IpAddr, SocketAddr};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::host;

/// The chain of addresses.
pub const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme.
pub const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host.
pub const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The port.
pub const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// The client's address.
pub const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The scheme the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Proto {
    /// The scheme as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that need not be named.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Which header of a trusted peer names the client. That peer is whom the PROXY protocol names, where it is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientIpHeader {
    /// The chain, read from the right.
    XForwardedFor,
    /// A header with one address, as `cf-connecting-ip` or `true-client-ip`. Without a good value the peer is the
    /// client: who names such a header need not keep `X-Forwarded-For` honest.
    Named(HeaderName),
    /// None: the client is whom the PROXY protocol names, or else the peer.
    ProxyProtocol,
}

/// What this process knows by itself.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Whether the connection is encrypted up to here.
    pub tls: bool,
    /// The port it came in on. Counts only if `host` is no host: behind a port mapping it is not the one the client
    /// used, which is that of `host`, or else its scheme's own.
    pub local_port: Option<u16>,
    /// The request's host as the client wrote it.
    pub host: &'a str,
}

/// What Django is told of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address, for `X-Real-IP`, limits and logs.
    pub client: IpAddr,
    /// `X-Forwarded-For`: the client, then the trusted proxies, the peer last.
    pub chain: String,
    /// The scheme the client used.
    pub proto: Proto,
    /// The host the client asked for.
    pub host: String,
    /// The port the client used.
    pub port: u16,
}

/// Reads the client's `headers` as far as `peer` is trusted.
pub fn forwarded(
    headers: &HeaderMap,
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    own: Own<'_>,
    client_header: &ClientIpHeader,
) -> Forwarded {
    let peer = peer.to_canonical();
    let believed = trusted(peer);
    let (client, chain) = if believed {
        let chain = chain(headers, peer, trusted, client_header);
        let texts: Vec<_> = chain.iter().copied().map(text).collect();
        (chain.first().copied().unwrap_or(peer), texts.join(", "))
    } else {
        (peer, text(peer))
    };
    let told = |name: HeaderName| {
        if believed {
            single(headers, &name)
        } else {
            None
        }
    };
    let proto =
        told(PROTO)
            .and_then(proto)
            .unwrap_or(if own.tls { Proto::Https } else { Proto::Http });
    let (host, of_host) = told(HOST)
        .and_then(|text| Some((text, host::port_of(text).ok()?)))
        .unwrap_or_else(|| (own.host, host::port_of(own.host).unwrap_or(own.local_port)));
    let port = told(PORT).and_then(port);
    let port = port.or(of_host).unwrap_or_else(|| proto.port());
    Forwarded {
        client,
        chain,
        proto,
        host: host.to_owned(),
        port,
    }
}

/// An address as text. The usual kind is written by hand, for every request is told its own.
fn text(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity(15);
    for (place, octet) in v4.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

/// The client of [`forwarded`], also for a request that names no valid host.
pub fn client(
    headers: &HeaderMap,
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    client_header: &ClientIpHeader,
) -> IpAddr {
    let peer = peer.to_canonical();
    let chain = chain(headers, peer, trusted, client_header);
    chain.first().copied().unwrap_or(peer)
}

impl Forwarded {
    /// The client's address as text: the chain begins with it.
    pub fn client_text(&self) -> &str {
        let end = self.chain.bytes().position(|byte| byte == b',');
        end.and_then(|end| self.chain.get(..end))
            .unwrap_or(&self.chain)
    }

    /// Sets `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `X-Real-IP`.
    pub fn apply(&self, headers: &mut HeaderMap) {
        put(headers, FOR, &self.chain);
        put(headers, PROTO, self.proto.as_str());
        put(headers, HOST, &self.host);
        put(headers, PORT, &self.port.to_string());
        put(headers, REAL_IP, self.client_text());
    }
}

/// A value that could not stand in a header must not leave an older one in its place.
fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

/// The client first and `peer` last.
fn chain(
    headers: &HeaderMap,
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    client_header: &ClientIpHeader,
) -> Vec<IpAddr> {
    match client_header {
        _ if !trusted(peer) => vec![peer],
        ClientIpHeader::ProxyProtocol => vec![peer],
        ClientIpHeader::XForwardedFor => walk(headers, peer, trusted),
        ClientIpHeader::Named(name) => match single(headers, name).and_then(address) {
            Some(client) if client != peer => vec![client, peer],
            _ => vec![peer],
        },
    }
}

/// The addresses of `X-Forwarded-For` from the right, up to and including the first that is not trusted, and the peer;
/// then turned round. Whatever is no address ends the walk: nobody we trust vouches for what lies beyond.
fn walk(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let mut chain = vec![peer];
    let lines = headers.get_all(FOR).iter().collect::<Vec<_>>();
    let entries = lines
        .into_iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|&b| b == b','));
    for entry in entries {
        let Some(found) = std::str::from_utf8(entry).ok().and_then(address) else {
            break;
        };
        chain.push(found);
        if !trusted(found) {
            break;
        }
    }
    chain.reverse();
    chain
}

/// The value of a header that is given exactly once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim),
        _ => None,
    }
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`; an IPv4 address in an IPv6 one is the IPv4 address.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => text
            .parse()
            .or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip()))
            .ok()?,
    };
    Some(address.to_canonical())
}

/// A list is not taken: which of its members the client used, no standard says. Traefik says `wss` of a WebSocket.
fn proto(text: &str) -> Option<Proto> {
    match text.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(Proto::Http),
        "https" | "wss" => Some(Proto::Https),
        _ => None,
    }
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

#[cfg(test)]
mod tests;
