//! Addresses as they are written on the command line: of a listener, or of a public event stream.
//!
//! Read by `main` and `tail`. Only what the client can reach is an address; no credentials in it.

use std::fmt;
use std::path::PathBuf;

use hyper::Uri;
use hyper::header::HeaderValue;

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `http://host:port`.
    Tcp {
        /// Name or address, an IPv6 address without its brackets.
        host: String,
        /// The port; 80 if the URL names none.
        port: u16,
        /// The `Host` header.
        authority: HeaderValue,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

/// An address or a token that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTarget {
    /// Neither of the two forms.
    #[error("an address is written http://host:port or unix:/path")]
    Form,
    /// A path where only the listener itself is meant.
    #[error("the address of a listener has no path")]
    Path,
    /// TLS, which these commands do not speak.
    #[error("https is not supported here: name a listener without TLS")]
    Tls,
    /// A token with characters that no header can carry.
    #[error("the token contains characters that no header can carry")]
    Token,
}

impl Target {
    /// Reads `http://host:port` or `unix:/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidTarget> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(InvalidTarget::Form)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        match Self::with_path(text)? {
            (target, path) if path == "/" => Ok(target),
            _ => Err(InvalidTarget::Path),
        }
    }

    /// Reads any `http://` URL: its server, and its path with the query.
    pub(crate) fn with_path(url: &str) -> Result<(Self, String), InvalidTarget> {
        let uri: Uri = url.parse().map_err(|_| InvalidTarget::Form)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(InvalidTarget::Tls),
            _ => return Err(InvalidTarget::Form),
        }
        let authority = uri.authority().ok_or(InvalidTarget::Form)?;
        let host = authority.host();
        // Credentials in a URL would end up in the Host header.
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(InvalidTarget::Form);
        }
        // `port_u16` alone would take a wrong port for none.
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => 80,
            _ => authority.port_u16().ok_or(InvalidTarget::Form)?,
        };
        let target = Self::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| InvalidTarget::Form)?,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok((target, path.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "http://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "http://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for (text, shown) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://localhost/", "http://localhost:80"),
            ("http://[::1]:9090", "http://[::1]:9090"),
            ("unix:/run/t.sock", "unix:/run/t.sock"),
            ("unix:t.sock", "unix:t.sock"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown);
        }
        let (target, path) = Target::with_path("http://a.example:81/x/?y=1#z").unwrap();
        assert_eq!(target.to_string(), "http://a.example:81");
        assert_eq!(path, "/x/?y=1");
        assert_eq!(Target::with_path("http://a").unwrap().1, "/");
    }

    #[test]
    fn what_cannot_be_reached_is_no_address() {
        for (text, why) in [
            ("", InvalidTarget::Form),
            ("unix:", InvalidTarget::Form),
            ("127.0.0.1:9090", InvalidTarget::Form),
            ("/path", InvalidTarget::Form),
            ("ftp://a", InvalidTarget::Form),
            ("http://user:word@a", InvalidTarget::Form),
            ("http://a:b", InvalidTarget::Form),
            ("http://a:65536", InvalidTarget::Form),
            ("http://a/\n", InvalidTarget::Form),
            ("https://a", InvalidTarget::Tls),
            ("http://a/x", InvalidTarget::Path),
            ("http://a/?x", InvalidTarget::Path),
        ] {
            assert_eq!(Target::parse(text), Err(why), "{text:?}");
        }
    }
}
