//! The request that `explain` is about: out of the command line, as it would come to a listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Uri, request};
use serde::Serialize;

use crate::cli::ExplainArgs;
use crate::config::Config;
use crate::domain::{ConnId, ConnInfo, Peer};
use crate::server::{Address, Listen, Role};
use crate::wire::host::HostRule;

/// Whom a request comes from if nobody says it: somebody out there (RFC 5737).
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// The request, and how it comes.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) parts: request::Parts,
    pub(super) conn: ConnInfo,
    pub(super) request: Described,
}

/// What is asked about.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    pub(super) method: String,
    pub(super) target: String,
    /// The listener it comes to.
    pub(super) listener: String,
    pub(super) tls: bool,
    /// The other end of the connection.
    pub(super) from: String,
    /// What to know of the choice of the listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<&'static str>,
}

/// Why it is not clear what is asked about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclear {
    /// No token of RFC 9110.
    #[error("{0:?} is no method")]
    Method(String),
    /// Neither an absolute `http` or `https` URL nor a path.
    #[error(
        "{0:?} is neither a path, as in /a/?b=c, nor a URL of http or https; what is no ASCII is written %C3%A4"
    )]
    Url(String),
    /// Not of the form of a header.
    #[error("{0:?} is no header, as in \"Cookie: a=b\"")]
    Header(String),
}

impl Wanted {
    pub(super) fn read(args: &ExplainArgs, config: &Config) -> Result<Self, Unclear> {
        let (method, url) = match &*args.request {
            [method, url] => (method.to_ascii_uppercase(), url),
            [url, ..] => ("GET".to_owned(), url),
            [] => return Err(Unclear::Url(String::new())),
        };
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| Unclear::Method(method.clone()))?;
        let url = Url::parse(url).ok_or_else(|| Unclear::Url(url.clone()))?;
        let (listen, note) = url.listener(config);
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.uri = Uri::from(url.target.clone());
        for header in &args.header {
            let (name, value) = header_of(header).ok_or_else(|| Unclear::Header(header.clone()))?;
            parts.headers.append(name, value);
        }
        if !parts.headers.contains_key(HOST) {
            let host = url.host.unwrap_or_else(|| first_host(&config.hosts));
            let value = HeaderValue::try_from(&host).map_err(|_| Unclear::Url(host))?;
            parts.headers.insert(HOST, value);
        }
        let conn = conn(listen, args.from);
        let request = Described {
            method: parts.method.to_string(),
            target: url.target.to_string(),
            listener: listen.map_or_else(String::new, |listen| listen.name.clone()),
            tls: conn.tls,
            from: match conn.peer {
                Peer::Tcp(address) => address.ip().to_string(),
                Peer::Unix => "a unix socket".to_owned(),
            },
            note,
        };
        Ok(Self {
            parts,
            conn,
            request,
        })
    }
}

/// What is left of a URL without its fragment, which no browser sends.
#[derive(Debug)]
struct Url {
    /// `None` for a path.
    https: Option<bool>,
    host: Option<String>,
    port: Option<u16>,
    target: PathAndQuery,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let text = text.split('#').next().unwrap_or_default();
        if text.starts_with('/') {
            let target = text.parse().ok()?;
            return Some(Self {
                https: None,
                host: None,
                port: None,
                target,
            });
        }
        let uri: Uri = text.parse().ok()?;
        let https = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        let port = uri.port_u16();
        if authority.contains('@') {
            return None;
        }
        let root = || PathAndQuery::from_static("/");
        Some(Self {
            https: Some(https),
            host: Some(authority.to_owned()),
            port: Some(port.unwrap_or(if https { 443 } else { 80 })),
            target: uri.path_and_query().cloned().unwrap_or_else(root),
        })
    }

    /// The public listener that such a request comes to, most likely; a checked configuration has one.
    fn listener<'c>(&self, config: &'c Config) -> (Option<&'c Listen>, Option<&'static str>) {
        let public = config.listen.iter();
        let public = public.filter(|listen| listen.role == Role::Public);
        let Some(https) = self.https else {
            // Where pages are served, which is over TLS if there is any.
            let found = public.min_by_key(|l| (l.tls.is_empty(), l.redirect_https.is_some()));
            return (found, None);
        };
        let found = public.min_by_key(|listen| {
            let wrong_port = port_of(listen) != self.port;
            (listen.tls.is_empty() == https, wrong_port)
        });
        let speaks = found.is_some_and(|listen| !listen.tls.is_empty());
        let note = match (https, speaks) {
            (true, false) => Some(
                "no listener speaks TLS: say by --from and -H what a proxy in front that does would say",
            ),
            (false, true) => Some("every listener speaks TLS"),
            (true, true) | (false, false) => None,
        };
        (found, note)
    }
}

fn port_of(listen: &Listen) -> Option<u16> {
    match &listen.address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) | Address::Systemd(_) => None,
    }
}

fn conn(listen: Option<&Listen>, from: Option<IpAddr>) -> ConnInfo {
    let tcp = |ip| Peer::Tcp(SocketAddr::new(ip, 0));
    let unix = listen.is_some_and(|listen| matches!(listen.address, Address::Unix(_)));
    let peer = match from {
        Some(ip) => tcp(ip),
        None if unix => Peer::Unix,
        None => tcp(SOMEBODY),
    };
    ConnInfo {
        id: ConnId(0),
        peer,
        local_port: listen.and_then(port_of),
        tls: listen.is_some_and(|listen| !listen.tls.is_empty()),
        redirect_https: listen.and_then(|listen| listen.redirect_https),
        certified: false,
        unnamed: false,
    }
}

/// A host that is served, if any is named.
fn first_host(rules: &[HostRule]) -> String {
    let named = rules.iter().find_map(|rule| match rule {
        HostRule::Exact(name) | HostRule::Below(name) => Some(name.clone()),
        HostRule::Any => None,
    });
    named.unwrap_or_else(|| "localhost".to_owned())
}

fn header_of(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_str(value.trim()).ok()?))
}
