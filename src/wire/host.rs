//! Which site a request is for: the authority as text, as a value, and the rules of `server.hosts`.
//!
//! `proxy` and the internal listener call [`of_request`] once per request and answer 400 to an error; `config` reads
//! [`HostRule`]s. Invariant: what [`parse`] takes, Django's `ALLOWED_HOSTS` check reads in the same way (a `_` in a name
//! excepted, which Django refuses by itself).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Version;
use http::header::HOST;

/// The longest name of the DNS.
const LONGEST: usize = 253;

/// A host, and the port if the client named one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// In lower case, without a trailing dot; an IPv6 address in its shortest form, in brackets.
    pub name: String,
    /// `None`: the scheme's own.
    pub port: Option<u16>,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why it is not clear which site a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No Host and no authority.
    #[error("the request names no host")]
    Missing,
    /// More than one Host.
    #[error("the request names several hosts")]
    Several,
    /// No host by our grammar.
    #[error("the host of the request is not valid")]
    Invalid,
    /// Host and the authority of the target differ.
    #[error("the host differs from the authority of the target")]
    Disagree,
    /// An empty scheme, which only HTTP/2 can say.
    #[error("the request names no scheme")]
    Scheme,
}

/// Reads `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`; `None` for anything else, user information included.
pub fn parse(text: &str) -> Option<Host> {
    let (name, port) = read(text)?;
    let name = match name {
        Name::V6(address) => format!("[{address}]"),
        Name::Dns(name) => name.to_ascii_lowercase(),
    };
    Some(Host { name, port })
}

/// The port that `text` names, if it is a host as [`parse`] reads it.
pub fn port_of(text: &str) -> Result<Option<u16>, HostError> {
    let (_, port) = read(text).ok_or(HostError::Invalid)?;
    Ok(port)
}

enum Name<'t> {
    V6(Ipv6Addr),
    Dns(&'t str),
}

fn read(text: &str) -> Option<(Name<'_>, Option<u16>)> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (Name::V6(address.parse().ok()?), port)
    } else {
        let name = text.bytes().position(|b| b == b':').unwrap_or(text.len());
        let (name, port) = text.split_at_checked(name)?;
        (Name::Dns(dns_name(name)?), port)
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        None if port.is_empty() => None,
        _ => return None,
    };
    Some((name, port))
}

fn dns_name(text: &str) -> Option<&str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    // Labels, none of them empty, with dots between them.
    let mut before = b'.';
    for byte in name.bytes() {
        let fits = match byte {
            b'.' => before != b'.',
            b'-' | b'_' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return None;
        }
        before = byte;
    }
    (name.len() <= LONGEST && before != b'.').then_some(name)
}

/// Whether the host names this machine itself: `localhost` and below, 127.0.0.0/8, `[::1]`. Other spellings of such an
/// address (`127.1`, `0x7f000001`) are not, so that a doubt refuses.
pub fn is_loopback(host: &Host) -> bool {
    let name = host.name.as_str();
    let address = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    match address {
        Some(address) => address.to_canonical().is_loopback(),
        None => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// The host of a request, and its text as the client wrote it: from the one valid `Host` of HTTP/1, or `:authority` of
/// HTTP/2 (else its one `Host`, RFC 9113, 8.3.1). Where both are given, or the target of HTTP/1 is absolute, they must
/// agree: RFC 9112, 3.2.2 prefers the target, but Django would be told the other.
pub fn of_request(parts: &http::request::Parts) -> Result<(Host, String), HostError> {
    let mut lines = parts.headers.get_all(HOST).iter();
    let header = match (lines.next(), lines.next()) {
        (_, Some(_)) => return Err(HostError::Several),
        (first, None) => first
            .map(|value| value.to_str().map_err(|_| HostError::Invalid))
            .transpose()?,
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if parts.uri.scheme_str().is_some_and(str::is_empty) {
        return Err(HostError::Scheme);
    }
    let read = |text: &str| parse(text).ok_or(HostError::Invalid);
    let text = match (header, authority) {
        (Some(header), Some(authority)) => {
            let scheme = parts.uri.scheme_str();
            let (one, other) = (read(header)?, read(authority)?);
            if one.name != other.name || port(&one, scheme) != port(&other, scheme) {
                return Err(HostError::Disagree);
            }
            header
        }
        (Some(header), None) => header,
        (None, Some(authority)) if parts.version >= Version::HTTP_2 => authority,
        (None, _) => return Err(HostError::Missing),
    };
    Ok((read(text)?, text.to_owned()))
}

fn port(host: &Host, scheme: Option<&str>) -> Option<u16> {
    host.port.or(match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    })
}

/// An entry of `server.hosts`, as in Django's `ALLOWED_HOSTS`. Ports do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// `*`: every host.
    Any,
    /// `example.com`: this one. As [`Host::name`].
    Exact(String),
    /// `.example.com`: this one (kept without the dot) and everything below.
    Below(String),
}

/// A text that is no entry of `server.hosts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// The rules have no ports.
    #[error("a host rule has no port")]
    Port,
    /// Neither a name nor an address.
    #[error("a host is \"*\", \"example.com\", \".example.com\", \"10.0.0.1\" or \"[::1]\"")]
    Name,
}

impl HostRule {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let below = text.strip_prefix('.');
        let host = parse(below.unwrap_or(text)).ok_or(InvalidHost::Name)?;
        match below {
            _ if host.port.is_some() => Err(InvalidHost::Port),
            Some(_) if host.name.starts_with('[') => Err(InvalidHost::Name),
            Some(_) => Ok(Self::Below(host.name)),
            None => Ok(Self::Exact(host.name)),
        }
    }

    /// Whether the rule lets `host` in.
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => *name == host.name,
            Self::Below(domain) => host
                .name
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_read_strictly() {
        for (text, name, port) in [
            ("Example.COM", "example.com", None),
            ("example.com.:8000", "example.com", Some(8000)),
            ("a_b", "a_b", None),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[0:0::1]:443", "[::1]", Some(443)),
            ("[::FFFF:1.2.3.4]", "[::ffff:1.2.3.4]", None),
        ] {
            assert_eq!(
                parse(text),
                Some(Host {
                    name: name.to_owned(),
                    port
                }),
                "{text}"
            );
        }
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a,b",
            "a@b",
            "u:p@a",
            "a:",
            "a:b",
            "a:+80",
            "a:65536",
            "a:80:80",
            "[::1",
            "::1",
            "[a]",
            "[::1]x",
            "[::1%25lo]",
            "ä",
            "a/b",
            "a\\b",
            "a%41",
            " a",
            "a\t",
            "a#b",
            "a?b",
            "\0",
            ":80",
            "[]",
            &"n".repeat(254),
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn loopback_has_few_spellings() {
        let loopback = |text| is_loopback(&parse(text).unwrap());
        for text in [
            "localhost:80",
            "a.LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(loopback(text), "{text}");
        }
        for text in [
            "example.com",
            "notlocalhost",
            "localhost.a",
            "127.1",
            "0x7f000001",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!loopback(text), "{text}");
        }
    }

    #[test]
    fn rules_are_those_of_allowed_hosts() {
        let lets_in = |rule, host| {
            HostRule::parse(rule)
                .unwrap()
                .matches(&parse(host).unwrap())
        };
        assert!(
            lets_in("*", "x")
                && lets_in("Example.com", "example.com:8000")
                && lets_in("[::1]", "[0::1]")
        );
        assert!(
            lets_in(".example.com", "example.com") && lets_in(".example.com", "a.b.example.com.")
        );
        assert!(
            !lets_in("example.com", "a.example.com") && !lets_in(".example.com", "badexample.com")
        );
        assert_eq!(HostRule::parse("a:80"), Err(InvalidHost::Port));
        for rule in ["", ".", "*.a", "http://a", ".[::1]", "a b"] {
            assert_eq!(HostRule::parse(rule), Err(InvalidHost::Name), "{rule}");
        }
    }

    fn asked(version: Version, target: &str, hosts: &[&str]) -> Result<(Host, String), HostError> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        of_request(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_is_for_exactly_one_host() {
        let named = |text: &str| Ok((parse(text).unwrap(), text.to_owned()));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(asked(version, "/", &["A:1"]), named("A:1"));
            assert_eq!(asked(version, "/", &[]), Err(HostError::Missing));
            assert_eq!(asked(version, "/", &["a", "a"]), Err(HostError::Several));
            for bad in ["", "a, b", "a@b", "\u{e4}"] {
                assert_eq!(asked(version, "/", &[bad]), Err(HostError::Invalid));
            }
            assert_eq!(asked(version, "http://a/", &["A:80"]), named("A:80"));
            assert_eq!(
                asked(version, "http://a/", &["a:443"]),
                Err(HostError::Disagree)
            );
            assert_eq!(
                asked(version, "http://b/", &["a"]),
                Err(HostError::Disagree)
            );
            assert_eq!(
                asked(version, "http://u@a/", &["a"]),
                Err(HostError::Invalid)
            );
        }
        assert_eq!(
            asked(Version::HTTP_2, "https://a:8443/", &[]),
            named("a:8443")
        );
        assert_eq!(
            asked(Version::HTTP_11, "http://a/", &[]),
            Err(HostError::Missing)
        );
    }

    proptest! {
        #[test]
        fn a_host_reads_back(text in "[a-zA-Z0-9._:\\[\\]-]{0,12}|\\[[0-9a-f:.]{2,12}\\](:[0-9]{1,6})?|.{0,8}") {
            if let Some(host) = parse(&text) {
                prop_assert_eq!(parse(&host.to_string()), Some(host));
            }
        }
    }
}
