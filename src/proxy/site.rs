//! What requests find: the routes, and the rules that hold for all of them.
//!
//! A [`Site`] never changes; a reload puts another in its place, and a request keeps the one it came to.

use std::net::{IpAddr, Ipv4Addr};

use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Version, request};

use super::finish::Finish;
use super::maintenance::Maintenance;
use super::respond::{self, Refusal};
use super::{AccessLog, Route, Settings};
use crate::base::random;
use crate::domain::{ConnInfo, Peer, RequestId};
use crate::limits::ClientLimit;
use crate::routes::Table;
use crate::stream::Body;
use crate::upstream::{Head, Rebuilt, Vouched};
use crate::wire::forwarded::{ClientIpHeader, Forwarded, Own, Proto, client, forwarded};
use crate::wire::headers::REQUEST_ID;
use crate::wire::host::{self, Host};
use crate::wire::path::PathError;

/// Where challenges of ACME are looked for.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Routes and rules.
#[derive(Debug)]
pub struct Site {
    /// What holds for all routes.
    pub settings: Settings,
    /// Where requests lead.
    pub routes: Table<Route>,
    /// Whether there is one that only Django's answers lead to: asked for each request, so it is looked for once.
    pub has_internal: bool,
    /// How often a client may come, over all routes: 429 beyond. Default no limit.
    pub rate: Option<ClientLimit>,
    /// What is told of each request that has ended. Default nothing.
    pub access: Option<AccessLog>,
    /// What is done to every answer. Default nothing.
    pub finish: Finish,
    /// Default none.
    pub maintenance: Option<Maintenance>,
}

impl Site {
    /// The host of a request, and its text as the client wrote it, if it is served.
    pub(super) fn host(&self, parts: &request::Parts) -> Result<(Host, String), Refusal> {
        let (host, text) = host::of_request(parts).map_err(Refusal::Host)?;
        if self.serves(&host) {
            Ok((host, text))
        } else {
            Err(Refusal::Misdirected)
        }
    }

    fn serves(&self, host: &Host) -> bool {
        self.settings.hosts.iter().any(|rule| rule.matches(host))
    }

    /// Whether it matters that somebody opens a page.
    pub(super) const fn looks_for_pages(&self) -> bool {
        !self.finish.pages.is_empty() || self.maintenance.is_some()
    }

    /// The id a trusted proxy gave, else a new one.
    pub(super) fn request_id<B>(&self, request: &Request<B>, conn: &ConnInfo) -> RequestId {
        let given = self.given_id(request.headers(), conn);
        given.unwrap_or_else(|| RequestId::from_random(random::quick()))
    }

    /// The id a trusted proxy gave.
    pub(super) fn given_id(&self, headers: &HeaderMap, conn: &ConnInfo) -> Option<RequestId> {
        let given = headers.get(&self.settings.request_id);
        let given = given.filter(|_| self.believes(conn))?;
        RequestId::parse(given.to_str().ok()?)
    }

    /// The way to the same over https, for a request that came over http to a listener that is there for nothing else.
    /// `None` if it is to be served: whoever makes certificates looks for its challenge by http (RFC 8555, section 8.3),
    /// and a trusted proxy that ends TLS itself says so.
    pub(super) fn to_https(
        &self,
        parts: &request::Parts,
        conn: &ConnInfo,
        host: (&Host, &str),
        path: &str,
    ) -> Option<Result<Response<Body>, Refusal>> {
        let port = conn.redirect_https?;
        let (host, text) = host;
        if path.starts_with(CHALLENGES) || self.forwarded(parts, conn, text).proto == Proto::Https {
            return None;
        }
        let port = (port != Proto::Https.port()).then_some(port);
        let name = host.name.clone();
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let to = format!("https://{}{target}", Host { name, port });
        Some(respond::redirect(StatusCode::PERMANENT_REDIRECT, to))
    }

    pub(super) fn forwarded(
        &self,
        parts: &request::Parts,
        conn: &ConnInfo,
        host: &str,
    ) -> Forwarded {
        let own = Own {
            tls: conn.tls,
            local_port: conn.local_port,
            host,
        };
        let trusted = self.trusted(conn);
        let client_ip = &self.settings.trust.client_ip;
        let read = |headers| forwarded(headers, conn.peer.ip(), &trusted, own, client_ip);
        let told = read(&parts.headers);
        // That of the request itself has been looked at.
        if told.host == host || host::parse(&told.host).is_some_and(|told| self.serves(&told)) {
            return told;
        }
        // Many proxies pass on what their client said here; a host that is not served must not reach Django by it.
        let mut headers = parts.headers.clone();
        headers.remove("x-forwarded-host");
        read(&headers)
    }

    /// A head with what we say of its client.
    pub(super) fn vouch(&self, mut head: Head, vouched: Vouched) -> Rebuilt {
        if let ClientIpHeader::Named(name) = &self.settings.trust.client_ip
            && !Vouched::says(name)
        {
            // Whoever reads it in Django takes it for ours.
            head.vouch(name, vouched.forwarded.client_text());
        }
        if vouched.id_header != REQUEST_ID {
            // The usual one is taken off always.
            head.headers.remove(&vouched.id_header);
        }
        let vouched = Some(vouched);
        Rebuilt { head, vouched }
    }

    /// Whether what the other end says is the word of a trusted proxy.
    pub(super) fn believes(&self, conn: &ConnInfo) -> bool {
        !conn.unnamed && self.settings.trust.trusts(conn.peer)
    }

    /// Whose words about the client count in a request that came by `conn`.
    fn trusted(&self, conn: &ConnInfo) -> impl Fn(IpAddr) -> bool {
        let trust = &self.settings.trust;
        // A peer on a unix socket stands as 127.0.0.1 in the chain, but is trusted as a unix socket only.
        let believed = self.believes(conn);
        let unix = conn.peer == Peer::Unix;
        move |ip| {
            believed
                && ((unix && ip == IpAddr::V4(Ipv4Addr::LOCALHOST))
                    || trust.proxies.iter().any(|net| net.contains(&ip)))
        }
    }

    /// Whose request it is, also if it will be refused.
    pub(super) fn client(&self, headers: &HeaderMap, conn: &ConnInfo) -> IpAddr {
        let trusted = self.trusted(conn);
        let client_ip = &self.settings.trust.client_ip;
        client(headers, conn.peer.ip(), trusted, client_ip)
    }
}

/// The path and the query of a request.
pub(super) fn target_of(parts: &request::Parts) -> Result<PathAndQuery, Refusal> {
    let root = || PathAndQuery::from_static("/");
    let target = parts.uri.path_and_query().cloned().unwrap_or_else(root);
    // HTTP/2 has no absolute target whose path may be left out; the library reads `?a=b` as if it were one.
    if parts.version >= Version::HTTP_2 && !target.as_str().starts_with('/') {
        return Err(Refusal::Path(PathError::Start));
    }
    Ok(target)
}
