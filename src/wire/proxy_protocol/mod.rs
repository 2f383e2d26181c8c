//! The header of the PROXY protocol, with which a proxy that passes a connection on says whose it is.
//!
//! Both versions of haproxy's `proxy-protocol.txt`: a line of text, or a binary block. `server` gives [`Reader::feed`] what
//! the socket has, and is told how much of it belongs to the header; whatever comes after it is not looked at. What the
//! proxy adds about TLS, its own name or a checksum (TLVs) is skipped.
//!
//! Bounds: 107 bytes of text; 4 KiB in binary, of which only the addresses are kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How the binary version begins; no text of HTTP and no record of TLS does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How the text version begins.
const TEXT: &[u8] = b"PROXY ";
/// The longest line, its end included.
const LONGEST_LINE: usize = 107;
/// The signature, version and command, family, and a length.
const FIXED: usize = 16;
/// The longest binary header. Proxies send some hundred bytes, with a client's certificate in it a few thousand.
const LONGEST: usize = 4096;
/// Addresses and ports of two IPv6 peers.
const ADDRESSES: usize = 36;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Somebody's that the proxy knows by address.
    Client(SocketAddr),
    /// The proxy's own, as for a health check, or one of which it knows no address.
    Proxy,
}

/// Bytes that are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither version begins so.
    #[error("there is no PROXY protocol header")]
    Missing,
    /// A text that is not as it should be.
    #[error("the line of the PROXY protocol is damaged")]
    Line,
    /// A line or a block that goes on for too long.
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// Another version of the binary header, or another command.
    #[error("this version or command of the PROXY protocol is not known")]
    Version,
    /// A family or protocol that does not exist, or fewer bytes than its addresses have.
    #[error("the addresses of the PROXY protocol header are damaged")]
    Addresses,
}

/// Reads one header, in as many parts as it comes.
#[derive(Debug, Default)]
pub struct Reader {
    /// What was taken, without what is skipped.
    seen: Vec<u8>,
    /// Bytes that belong to the header and are not looked at.
    skip: usize,
}

impl Reader {
    /// Looks at what comes next. The number of bytes that belong to the header, which are not to be given again; and once it
    /// is whole, whose connection it is.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Source>), Malformed> {
        let mut taken = 0;
        loop {
            let want = self.want(bytes.get(taken..).unwrap_or_default())?;
            if want == 0 {
                return self.finish().map(|source| (taken, Some(source)));
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            let part = rest.get(..want).unwrap_or(rest);
            if part.is_empty() {
                return Ok((taken, None));
            }
            taken += part.len();
            self.take(part);
        }
    }

    /// How many bytes the header still has as far as is known, of which `rest` comes next; 0 if it is whole.
    fn want(&self, rest: &[u8]) -> Result<usize, Malformed> {
        let have = self.seen.len();
        if have < SIGNATURE.len() {
            // Both versions are longer than this.
            let begun = |form: &[u8]| self.seen.iter().zip(form).all(|(seen, form)| seen == form);
            let possible = begun(&SIGNATURE) || begun(TEXT);
            return possible
                .then_some(SIGNATURE.len() - have)
                .ok_or(Malformed::Missing);
        }
        if !self.is_binary() {
            return self.want_of_line(rest);
        }
        if have < FIXED {
            return Ok(FIXED - have);
        }
        let length = self.length()?;
        let kept = length.min(ADDRESSES);
        if have < FIXED + kept {
            return Ok(FIXED + kept - have);
        }
        Ok(length - kept - self.skip)
    }

    fn want_of_line(&self, rest: &[u8]) -> Result<usize, Malformed> {
        let have = self.seen.len();
        if !self.seen.starts_with(TEXT) {
            return Err(Malformed::Missing);
        }
        if self.seen.contains(&b'\n') {
            return Ok(0);
        }
        if have >= LONGEST_LINE {
            return Err(Malformed::TooLong);
        }
        let end = rest.iter().position(|&byte| byte == b'\n');
        let whole = end.map_or_else(|| rest.len().max(1), |end| end + 1);
        Ok(whole.min(LONGEST_LINE - have))
    }

    fn take(&mut self, part: &[u8]) {
        if self.is_binary() && self.seen.len() >= FIXED + ADDRESSES {
            self.skip += part.len();
        } else {
            self.seen.extend_from_slice(part);
        }
    }

    fn is_binary(&self) -> bool {
        self.seen.starts_with(&SIGNATURE)
    }

    /// The length of what comes after the fixed part, once that is there.
    fn length(&self) -> Result<usize, Malformed> {
        let field = self.seen.get(FIXED - 2..FIXED);
        let length = field
            .and_then(|field| field.try_into().ok())
            .map_or(0, u16::from_be_bytes);
        let length = usize::from(length);
        // What cannot be right is refused before it is waited for.
        self.command()?;
        if FIXED + length > LONGEST {
            return Err(Malformed::TooLong);
        }
        Ok(length)
    }

    fn finish(&self) -> Result<Source, Malformed> {
        if self.is_binary() {
            self.binary()
        } else {
            line(&self.seen)
        }
    }

    /// Whether the connection is somebody's for whom the proxy speaks.
    fn command(&self) -> Result<bool, Malformed> {
        match self.seen.get(SIGNATURE.len()) {
            Some(0x20) => Ok(false),
            Some(0x21) => Ok(true),
            _ => Err(Malformed::Version),
        }
    }

    fn binary(&self) -> Result<Source, Malformed> {
        if !self.command()? {
            // Whatever addresses there are, they mean nothing.
            return Ok(Source::Proxy);
        }
        let family = self.seen.get(SIGNATURE.len() + 1).copied();
        let addresses = self.seen.get(FIXED..).unwrap_or_default();
        match family {
            // QUIC comes by datagrams, and is as good a connection as any.
            Some(0x11 | 0x12) => v4(addresses),
            Some(0x21 | 0x22) => v6(addresses),
            // No address, or those of unix sockets: two of 108 bytes.
            Some(0x00) => Some(Source::Proxy),
            Some(0x31 | 0x32) => (self.length()? >= 216).then_some(Source::Proxy),
            _ => None,
        }
        .ok_or(Malformed::Addresses)
    }
}

/// An IPv4 address, that of the other side, and the ports of both.
fn v4(bytes: &[u8]) -> Option<Source> {
    let address: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    client(IpAddr::V4(Ipv4Addr::from(address)), bytes.get(8..12)?)
}

fn v6(bytes: &[u8]) -> Option<Source> {
    let address: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    client(IpAddr::V6(Ipv6Addr::from(address)), bytes.get(32..36)?)
}

fn client(address: IpAddr, ports: &[u8]) -> Option<Source> {
    let port = u16::from_be_bytes(ports.get(..2)?.try_into().ok()?);
    Some(Source::Client(SocketAddr::new(address, port)))
}

/// `PROXY TCP4 source destination port port`, or `PROXY UNKNOWN` and anything.
fn line(line: &[u8]) -> Result<Source, Malformed> {
    let read = || {
        let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        if line.contains('\r') {
            return None;
        }
        let mut words = line.strip_prefix("PROXY ")?.split(' ');
        let family = words.next()?;
        if family == "UNKNOWN" {
            return Some(Source::Proxy);
        }
        let [source, destination] = [words.next()?, words.next()?].map(|word| word.parse().ok());
        let (source, destination): (IpAddr, IpAddr) = (source?, destination?);
        let ports = [words.next()?, words.next()?].map(port);
        let fits = match family {
            "TCP4" => source.is_ipv4() && destination.is_ipv4(),
            "TCP6" => source.is_ipv6() && destination.is_ipv6(),
            _ => false,
        };
        let [Some(port), Some(_)] = ports else {
            return None;
        };
        (fits && words.next().is_none()).then(|| Source::Client(SocketAddr::new(source, port)))
    };
    read().ok_or(Malformed::Line)
}

/// A number without a sign and without zeros before it.
fn port(word: &str) -> Option<u16> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests;
