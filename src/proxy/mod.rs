//! The public service: finds the route of a request, then forwards it or opens a stream.
//!
//! `server` calls it for each request on a public listener. What no request may carry is refused first (host, target,
//! method); the path is decoded once, and the route rule, the ask and the channel all see that one text.

mod access;
mod body;
mod effects;
mod forward;
mod grip;
mod record;
pub mod respond;
mod settings;
mod site;
mod stream;
mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, Request, Response, request};
use hyper::body::Incoming;

use crate::ask::{Asker, TokenCheck};
use crate::base::handler::{Handler, MOST_FIELDS};
use crate::base::live::Live;
use crate::base::metrics::{CounterBy, Registry, StatusCounters};
use crate::base::seldom::Seldom;
use crate::domain::{ByteSize, ConnInfo, Peer, RequestId, is_local};
use crate::hub::Hub;
use crate::limits::{ClientLimit, Slots};
use crate::publish::Publisher;
use crate::record::Recorder;
use crate::routes::{Captures, ChannelTemplate};
use crate::stream::{Body, Limit, Streams};
use crate::upstream::{Head, Rebuilt, Upstream, Vouched};
use crate::wire::cors;
use crate::wire::forwarded::ClientIpHeader;
use crate::wire::host;
use crate::wire::path;

use access::Entry;
pub use access::{AccessLog, Logged};
use effects::Effects;
pub use grip::Holding;
use respond::Refusal;
pub use settings::*;
pub use site::Site;
use tunnel::Tunnels;

/// How often the log says that a proxy in front may not have been named.
const HINTS: Duration = Duration::from_secs(60);

/// How many bodies without a length are gathered in memory at the same time.
const GATHERED_IN_MEMORY: usize = 64;

/// What a route does.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where its requests go.
    pub kind: Kind,
    /// The longest request body: 413 above.
    pub body_limit: ByteSize,
    /// How often a client may come here: 429 beyond. Default no limit.
    pub rate: Option<ClientLimit>,
}

/// The kinds of routes.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `proxy`.
    Forward {
        /// Where to.
        upstream: Upstream,
        /// Whether WebSockets pass.
        websocket: bool,
        /// How streams are recorded; `None`: they pass through.
        record: Option<Arc<Recorded>>,
        /// How answers are held that say so; `None`: what they say is taken off.
        grip: Option<Holding>,
    },
    /// `sse = { channels, public = true }`.
    Public {
        /// The channels, with variables of the path.
        channels: Vec<ChannelTemplate>,
        /// How the streams behave.
        settings: Arc<crate::stream::Settings>,
    },
    /// `sse = { token }`.
    Token {
        /// What verifies tokens.
        check: TokenCheck,
        /// How the streams behave.
        settings: Arc<crate::stream::Settings>,
    },
    /// `sse = { ask }`.
    Ask {
        /// Who asks.
        asker: Asker,
        /// How the streams behave.
        settings: Arc<crate::stream::Settings>,
    },
}

/// `record` of a route.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Who shares a recording, and for how long it is there.
    pub settings: crate::record::Settings,
    /// How the streams on it behave.
    pub stream: Arc<crate::stream::Settings>,
}

/// What the service works with.
#[derive(Debug)]
pub struct Collaborators {
    /// What opens streams.
    pub streams: Streams,
    /// What records the streams of views.
    pub recorder: Recorder,
    /// Where those streams are.
    pub hub: Hub,
    /// What publishes for views.
    pub publisher: Publisher,
    /// How many WebSockets there may be at once.
    pub tunnels: Slots,
}

/// The public service.
#[derive(Debug)]
pub struct Proxy {
    site: Live<Site>,
    streams: Streams,
    recorder: Recorder,
    hub: Hub,
    effects: Effects,
    tunnels: Tunnels,
    /// Bodies that may be gathered in memory; more go to temp files at once.
    gathered: Slots,
    hints: Seldom,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    answered: StatusCounters,
    failed: CounterBy,
    limited: CounterBy,
}

/// A request that may be served.
struct Exchange<'a> {
    /// Without the headers where they are not needed any more.
    parts: request::Parts,
    client: IpAddr,
    incoming: Incoming,
    site: &'a Site,
    route: &'a Route,
    captures: Captures<'a>,
    /// Whether it becomes a WebSocket.
    upgrade: bool,
    rebuilt: Rebuilt,
}

/// What is told of a request while it is served, and outlives how it is answered.
struct Told {
    /// `None` without an access log.
    entry: Option<Entry>,
    /// `None` until a route with rules of its own was found.
    cors: Option<cors::Answer>,
}

impl Proxy {
    /// A service for these routes.
    pub fn new(site: Site, collaborators: Collaborators, registry: &Registry) -> Self {
        let Collaborators {
            streams,
            recorder,
            hub,
            publisher,
            tunnels,
        } = collaborators;
        let metrics = Metrics {
            answered: StatusCounters::new(
                &registry.counter_by("requests", "Requests on public listeners by status"),
            ),
            failed: registry.counter_by(
                "request_failures",
                "Requests that were not served, by who is at fault",
            ),
            limited: registry.counter_by(
                "requests_limited",
                "Requests refused because their client comes too often, by whose rate",
            ),
        };
        let site = Live::new(site);
        Self {
            effects: Effects::new(hub.clone(), publisher, site.clone(), registry),
            site,
            streams,
            recorder,
            hub,
            tunnels: Tunnels::new(tunnels, registry),
            gathered: Slots::new(GATHERED_IN_MEMORY),
            hints: Seldom::every(HINTS),
            metrics,
        }
    }

    /// What requests find that come from now on is this.
    pub fn replace(&self, site: Site) {
        self.site.set(site);
    }

    /// Waits for the WebSockets to end, and for the answers to requests whose clients have left; gives them up after
    /// `patience`.
    pub async fn close(&self, patience: Duration) {
        tokio::join!(self.tunnels.close(patience), self.effects.close(patience));
    }

    async fn serve(
        &self,
        site: &Site,
        request: Request<Incoming>,
        conn: &ConnInfo,
        id: &RequestId,
        told: &mut Told,
    ) -> Result<Response<Body>, Refusal> {
        let (mut parts, incoming) = request.into_parts();
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method(
                "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            ));
        }
        if parts.headers.len() > MOST_FIELDS {
            return Err(Refusal::TooManyFields);
        }
        let (host, text) = host::of_request(&parts).map_err(Refusal::Host)?;
        if !site.serves(&host) {
            return Err(Refusal::Misdirected);
        }
        let root = || PathAndQuery::from_static("/");
        let target = parts.uri.path_and_query().cloned().unwrap_or_else(root);
        let decoded = path::decode(target.path()).map_err(Refusal::Path)?;
        let (route, captures) = site.routes.find(&decoded).ok_or(Refusal::NoRoute)?;
        if let Some(entry) = &mut told.entry {
            entry.found(&route.name);
        }
        told.cors = route.target.kind.cors(&parts);
        if told
            .cors
            .as_ref()
            .is_some_and(cors::Answer::is_to_preflight)
        {
            return Ok(respond::preflight());
        }
        let forwarded = site.forwarded(&parts, conn, &text);
        self.count(site, &route.target, forwarded.client)?;
        let upgrade = route.target.kind.lets_pass(&parts, &incoming);
        // Only what streams and recordings are opened with is looked at again after it was stripped.
        let headers = match &route.target.kind {
            Kind::Forward { record: None, .. } => std::mem::take(&mut parts.headers),
            _ => parts.headers.clone(),
        };
        let mut head = Head::rebuild(parts.method.clone(), target.clone(), headers, &text);
        if let ClientIpHeader::Named(name) = &site.settings.trust.client_ip
            && !Vouched::says(name)
        {
            // Whoever reads it in Django takes it for ours.
            head.vouch(name, forwarded.client_text());
        }
        let log = self.hub.log();
        let exchange = Exchange {
            parts,
            client: forwarded.client,
            incoming,
            site,
            route: &route.target,
            captures,
            upgrade,
            rebuilt: Rebuilt {
                head,
                vouched: Some(Vouched {
                    forwarded,
                    id: id.clone(),
                    cursor: log.id(log.position()),
                }),
            },
        };
        self.dispatch(exchange).await
    }

    /// Does what the route says. Only the usual way is not boxed: the others are longer, and every request would carry
    /// their size.
    async fn dispatch(&self, exchange: Exchange<'_>) -> Result<Response<Body>, Refusal> {
        let Exchange { route, upgrade, .. } = &exchange;
        match &route.kind {
            Kind::Forward { upstream, .. } if *upgrade => {
                Box::pin(self.tunnel(exchange, upstream)).await
            }
            Kind::Forward {
                upstream,
                record: Some(record),
                ..
            } if exchange.can_be_recorded() => {
                Box::pin(self.forward_recorded(exchange, upstream, record)).await
            }
            Kind::Forward { upstream, .. } => self.forward(exchange, upstream).await,
            Kind::Public { channels, settings } => {
                Box::pin(self.open_public(exchange, channels, settings)).await
            }
            Kind::Token { check, settings } => {
                Box::pin(self.open_token(exchange, check, settings)).await
            }
            Kind::Ask { asker, settings } => {
                Box::pin(self.open_asked(exchange, asker, settings)).await
            }
        }
    }

    /// Counts a request against the rates of its client, or refuses it.
    fn count(&self, site: &Site, route: &Route, client: IpAddr) -> Result<(), Refusal> {
        for (whose, limit) in [("all", &site.rate), ("route", &route.rate)] {
            let Some(limit) = limit else { continue };
            if let Err(wait) = limit.take(client) {
                let limited = &self.metrics.limited;
                limited.get_or_create(&[("rate", whose)]).inc();
                if !matches!(route.kind, Kind::Forward { .. }) {
                    self.streams.count_refused(Limit::Rate);
                }
                return Err(Refusal::Rate(wait));
            }
        }
        Ok(())
    }

    /// A limit that one client reached may be that of all clients of a proxy, if it is not known as one. Reads the peer's
    /// address, for that is the client where nobody is trusted.
    fn hint_at_proxy(&self, site: &Site, refusal: &Refusal, peer: Peer) {
        if refusal.is_limit_of_client()
            && is_local(peer.ip())
            && !site.settings.trust.trusts(peer)
            && self.hints.now()
        {
            tracing::warn!(
                client.addr = %peer.ip(),
                error = refusal as &dyn std::error::Error,
                hint = "behind a proxy? name it in trust.proxies",
                "Limit of one client reached"
            );
        }
    }
}

impl Handler for Proxy {
    type Body = Logged;

    async fn handle(&self, request: Request<Incoming>, conn: Arc<ConnInfo>) -> Response<Logged> {
        let site = self.site.load();
        let id = site.request_id(&request, &conn);
        let entry = site.access.as_ref().map(|log| {
            let client = site.client(request.headers(), &conn);
            log.begin(&request, client, &id)
        });
        let mut told = Told { entry, cors: None };
        let mut response = match self.serve(&site, request, &conn, &id, &mut told).await {
            Ok(response) => response,
            Err(refusal) => {
                self.metrics
                    .failed
                    .get_or_create(&[("failure", refusal.failure().as_str())])
                    .inc();
                refusal.log(&conn, &id);
                self.hint_at_proxy(&site, &refusal, conn.peer);
                refusal.into_response(&id)
            }
        };
        self.metrics.answered.count(response.status());
        // Every answer of the route, also a refusal: a page that may not read it could not tell it from a lost network.
        if let Some(cors) = told.cors {
            cors.write(response.headers_mut());
        }
        if let Some(entry) = &mut told.entry {
            entry.answered(response.status());
        }
        response.map(|body| Logged::new(body, told.entry))
    }
}
