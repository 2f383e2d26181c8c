//! The public service: finds the route of a request, then forwards it or opens a stream.
//!
//! `server` calls it for each request on a public listener. What no request may carry is refused first (host, target,
//! method); the path is decoded once, and the route rule, the ask and the channel all see that one text.

mod access;
mod basic;
mod body;
mod compress;
mod effects;
pub mod explain;
mod files;
mod finish;
mod fixed;
mod forward;
mod grip;
mod hints;
mod maintenance;
mod record;
mod redirect;
pub mod respond;
mod settings;
mod site;
mod stream;
mod tunnel;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, Version, request};
use hyper::body::Incoming;

use crate::ask::{Asker, TokenCheck};
use crate::base::handler::{Handler, MOST_FIELDS};
use crate::base::live::Live;
use crate::base::metrics::{CounterBy, Registry, StatusCounters};
use crate::domain::{ByteSize, ConnInfo, Peer, RequestId};
use crate::hub::Hub;
use crate::limits::{ClientLimit, Slots};
use crate::publish::Publisher;
use crate::record::Recorder;
use crate::routes::{Captures, ChannelTemplate};
use crate::stream::{Body, Limit, Streams};
use crate::tls::Challenges;
use crate::upstream::{Head, Rebuilt, Upstream, Vouched};
use crate::wire::cors;
use crate::wire::forwarded::Proto;
use crate::wire::headers;
use crate::wire::path;

pub use access::{AccessLog, Logged};
use basic::Checks;
pub use basic::{BasicAuth, BasicAuthSettings};
use body::{Leftovers, Unread};
pub use compress::Compress;
use compress::{Asked, Compressor};
use effects::Effects;
pub use files::Static;
use finish::Told;
pub use finish::{Finish, Hsts, Page};
pub use fixed::{Fixed, Redirect};
pub use grip::Holding;
use hints::Hints;
pub use maintenance::{Maintenance, MaintenanceSettings};
pub use redirect::RedirectError;
use redirect::Redirects;
use respond::Refusal;
pub use settings::*;
pub use site::Site;
use site::target_of;
use tunnel::Tunnels;

/// What a route does.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where its requests go.
    pub kind: Kind,
    /// The longest request body: 413 above.
    pub body_limit: ByteSize,
    /// How often a client may come here: 429 beyond. Default no limit.
    pub rate: Option<ClientLimit>,
    /// Who may see it, by name and password. Default everybody.
    pub basic_auth: Option<Arc<BasicAuth>>,
    /// Which pages of other origins may read it. Unset: Django says it. A stream has this among its own settings.
    pub cors: Option<cors::Rules>,
    /// Whether only Django's answers lead here, and to a client there is no such route. Default no.
    pub internal: bool,
    /// Whether its answers may be compressed. Default yes.
    pub compress: bool,
}

/// The kinds of routes.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `proxy`.
    Forward {
        /// Where to.
        upstream: Upstream,
        /// What Django is not told of the beginning of the path: whole segments, without a slash at the end. Default nothing.
        strip: Option<Box<str>>,
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
    /// `redirect`.
    Redirect(Redirect),
    /// `respond`.
    Respond(Fixed),
    /// `static`.
    Static(Static),
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
    /// What is said to who looks whether names are ours.
    pub challenges: Vec<Challenges>,
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
    leftovers: Leftovers,
    checks: Checks,
    challenges: Vec<Challenges>,
    compressor: Compressor,
    hints: Hints,
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
    unread: &'a mut Unread,
    site: &'a Site,
    route: &'a Route,
    captures: Captures<'a>,
    /// Whether it becomes a WebSocket.
    upgrade: bool,
    rebuilt: Rebuilt,
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
            challenges,
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
            leftovers: Leftovers::new(),
            checks: Checks::new(registry),
            challenges,
            compressor: Compressor::new(registry),
            hints: Hints::new(),
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
        let (tunnels, effects) = (self.tunnels.close(patience), self.effects.close(patience));
        tokio::join!(tunnels, effects, self.leftovers.close());
    }

    async fn serve(
        &self,
        site: &Site,
        (mut parts, unread): (request::Parts, &mut Unread),
        conn: &ConnInfo,
        id: &RequestId,
        told: &mut Told,
    ) -> Result<Response<Body>, Refusal> {
        refuse_what_nobody_serves(&parts)?;
        // Before everything: who looks need not know the hosts, nor have a password, and follows no redirect to TLS.
        if let Some(answer) = self.challenge(&parts) {
            return Ok(answer);
        }
        let (host, text) = site.host(&parts)?;
        told.https = conn.tls;
        let target = target_of(&parts)?;
        let decoded = path::decode(target.path()).map_err(Refusal::Path)?;
        if let Some(answer) = site.to_https(&parts, conn, (&host, &text), &decoded) {
            return answer;
        }
        let (route, captures) = site.routes.find(&decoded).ok_or(Refusal::NoRoute)?;
        if let Some(entry) = &mut told.entry {
            entry.found(&route.name);
        }
        let route = &route.target;
        if route.internal {
            return Err(Refusal::NoRoute);
        }
        told.cors = route.cors(&parts);
        told.asked.take_if(|_| !route.compress);
        if told
            .cors
            .as_ref()
            .is_some_and(cors::Answer::is_to_preflight)
        {
            return Ok(respond::preflight());
        }
        let forwarded = site.forwarded(&parts, conn, &text);
        told.https = forwarded.proto == Proto::Https;
        self.count(site, route, forwarded.client)?;
        if route.is_guarded(site) {
            let admitted = self.admit(site, route, &mut parts, forwarded.client, told);
            let instead = Box::pin(admitted).await?;
            if let Some(answer) = instead {
                return Ok(answer);
            }
        }
        if let Some(answer) = route.kind.answer(&captures, &target) {
            return answer;
        }
        if let Kind::Static(files) = &route.kind {
            return Box::pin(files.serve(&parts, files.path(&decoded, &captures))).await;
        }
        let redirects = Redirects::of(site, &parts, conn);
        let upgrade = route.kind.lets_pass(&parts, unread.is_at_its_end());
        // Only what streams and recordings are opened with is looked at again after it was stripped.
        let headers = match &route.kind {
            Kind::Forward { record: None, .. } => std::mem::take(&mut parts.headers),
            _ => parts.headers.clone(),
        };
        let target = route.kind.sent(&target)?;
        let head = Head::rebuild(parts.method.clone(), target, headers, &text);
        let (client, log) = (forwarded.client, self.hub.log());
        let vouched = Vouched {
            forwarded,
            id: id.clone(),
            id_header: site.settings.request_id.clone(),
            cursor: log.id(log.position()),
        };
        let exchange = Exchange {
            parts,
            client,
            unread,
            site,
            route,
            captures,
            upgrade,
            rebuilt: site.vouch(head, vouched),
        };
        redirects.apply(site, self.dispatch(exchange).await?).await
    }

    /// The answer to who looks whether a name is ours, while it is to be looked for; else such a path is like any other.
    fn challenge(&self, parts: &request::Parts) -> Option<Response<Body>> {
        let mut answers = self.challenges.iter();
        let text = answers.find_map(|challenges| challenges.text(parts.uri.path()))?;
        matches!(parts.method, Method::GET | Method::HEAD).then(|| respond::challenge(text))
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
            // Were answered before anything was made ready for Django.
            Kind::Redirect(_) | Kind::Respond(_) | Kind::Static(_) => Err(Refusal::NoRoute),
        }
    }

    /// Whether a request may go on: `None`, or what it gets instead.
    async fn admit(
        &self,
        site: &Site,
        route: &Route,
        parts: &mut request::Parts,
        client: IpAddr,
        told: &mut Told,
    ) -> Result<Option<Response<Body>>, Refusal> {
        if let Some(maintenance) = &site.maintenance
            && route.kind.needs_django()
            && maintenance.is_on().await
        {
            told.shown.clone_from(&maintenance.settings.page);
            return maintenance.answer(&parts.method, &parts.headers).map(Some);
        }
        if let Some(auth) = &route.basic_auth {
            self.checks.admit(auth, &mut parts.headers, client).await?;
        }
        Ok(None)
    }

    /// Counts a request against the rates of its client, or refuses it.
    fn count(&self, site: &Site, route: &Route, client: IpAddr) -> Result<(), Refusal> {
        for (whose, limit) in [("all", &site.rate), ("route", &route.rate)] {
            let Some(limit) = limit else { continue };
            if let Err(wait) = limit.take(client) {
                let limited = &self.metrics.limited;
                limited.get_or_create(&[("rate", whose)]).inc();
                if route.kind.holds_streams() {
                    self.streams.count_refused(Limit::Rate);
                }
                return Err(Refusal::Rate(wait));
            }
        }
        Ok(())
    }
}

impl Handler for Proxy {
    type Body = Logged;

    fn trusts(&self, peer: Peer) -> bool {
        self.site.load().settings.trust.trusts(peer)
    }

    fn connections_of_client(&self) -> Option<NonZeroUsize> {
        self.site.load().settings.connections
    }

    async fn handle(&self, request: Request<Incoming>, conn: Arc<ConnInfo>) -> Response<Logged> {
        let site = self.site.load();
        let id = site.request_id(&request, &conn);
        let entry = site.access.as_ref().map(|log| {
            let client = site.client(request.headers(), &conn);
            log.begin(&request, client, &id)
        });
        let mut told = Told {
            entry,
            page: site.looks_for_pages() && headers::accepts_a_page(request.headers()),
            asked: site.finish.compress.as_ref().map(|_| Asked::of(&request)),
            ..Told::default()
        };
        let (parts, mut unread) = Unread::of(request);
        let served = (parts, &mut unread);
        let served = self.serve(&site, served, &conn, &id, &mut told).await;
        self.leftovers.see_to(unread);
        let refused = served.is_err();
        let mut response = served.unwrap_or_else(|refusal| {
            self.metrics
                .failed
                .get_or_create(&[("failure", refusal.failure().as_str())])
                .inc();
            refusal.log(&conn, &id);
            self.hints.limited(&site, &refusal, conn.peer);
            refusal.into_response(&site.settings.request_id, &id)
        });
        self.metrics.answered.count(response.status());
        told.finish(&site.finish, &self.compressor, &mut response, refused);
        response.map(|body| Logged::new(body, told.entry))
    }
}

/// Refuses methods and heads that no route is there for.
fn refuse_what_nobody_serves(parts: &request::Parts) -> Result<(), Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::NoMethod);
    }
    if parts.headers.len() > MOST_FIELDS {
        return Err(Refusal::TooManyFields);
    }
    if parts.version >= Version::HTTP_2 && headers::has_blank_ends(&parts.headers) {
        return Err(Refusal::BlankEnds);
    }
    Ok(())
}
