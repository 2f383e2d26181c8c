//! `gateway.toml` -> checked settings of every module, all mistakes at once. Floor 8.
//!
//! [`load`] is called by `cli` at the start and by `app` at a reload. The file is read into a tree with places (see
//! `reader`), its strings are filled from the environment, and each area (`listen`, `upstream`, `route`, …) turns its
//! part into the settings of the module it is for. Nothing below imports this module; nothing is validated again later.

mod acme;
mod compress;
mod edge;
mod fixed;
mod grip;
mod later;
mod lines;
mod listen;
mod notify;
mod observe;
mod passwords;
mod problem;
mod publish;
mod reader;
mod record;
mod redis;
mod route;
mod scalar;
mod servers;
mod show;
mod show_edge;
mod show_upstream;
mod site;
mod sse;
mod statics;
mod substitute;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod trust;
mod upstream;
mod values;

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use toml::de::DeTable;

pub use acme::ways;
pub use lines::route_lines;
pub use notify::Notify;
pub use observe::MetricsSettings;
pub use problem::{ConfigError, Problem};
pub use show::{show, show_route};
pub use substitute::{Environment, Process};

use crate::base::log;
use crate::domain::ByteSize;
use crate::limits::ClientRate;
use crate::proxy::{
    AccessSettings, BasicAuthSettings, Finish, Fixed, MaintenanceSettings, Redirect, Trust,
};
use crate::routes::{ChannelTemplate, Table};
use crate::tokens::Tokens;
use crate::wire::cors;
use crate::wire::host::HostRule;
use crate::{ask, history, server, stream};
use reader::{Report, Section};
use sse::Sse;

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[limits]` and `server.max_connections`.
    pub server: server::Settings,
    /// `[listen.*]` in the order of the file; at least one is public.
    pub listen: Vec<server::Listen>,
    /// `[tls.*]` in the order of the file.
    pub tls: Vec<Arc<crate::tls::Settings>>,
    /// `server.hosts`. Default: every host.
    pub hosts: Vec<HostRule>,
    /// `server.workers`: threads. Default 0, one per CPU.
    pub workers: usize,
    /// `server.drain`: how long the end may take. Default 25 s.
    pub drain: Duration,
    /// `server.drain_spread`: over what time of it streams are ended. Default 20 s, or `drain` if that is shorter.
    pub drain_spread: Duration,
    /// `[trust]`.
    pub trust: Trust,
    /// `limits.rate` and `limits.burst`: requests of one client, over all routes. Default no limit.
    pub rate: Option<ClientRate>,
    /// `limits.buffers_memory`, `limits.buffers_files` and `server.temp`.
    pub buffers: crate::upstream::Room,
    /// `[upstream.*]` in the order of the file.
    pub upstreams: Vec<crate::upstream::Settings>,
    /// `[[route]]`; the upstreams they name exist.
    pub routes: Table<RouteTarget>,
    /// `[sse]`, as far as it is about the log.
    pub history: history::Settings,
    /// `[sse]`, as far as it is about streams: the defaults of the routes.
    pub stream: stream::Settings,
    /// `sse.notify`. Default none.
    pub notify: Option<Notify>,
    /// `[publish]` without its tokens.
    pub publish: crate::publish::Settings,
    /// `publish.tokens`.
    pub tokens: Tokens,
    /// `[redis]`. Default none.
    pub redis: Option<crate::redis::Settings>,
    /// `limits.connections`: of one client. Default no limit.
    pub connections: Option<NonZeroUsize>,
    /// `log.request_id`: the header with the id of a request. Default `X-Request-ID`.
    pub request_id: HeaderName,
    /// `[metrics]`.
    pub metrics: MetricsSettings,
    /// `console.enabled`: whether there is a console at `/` of an internal listener. Default yes.
    pub console: bool,
    /// `[log]` without `access` and `request_id`.
    pub log: log::Settings,
    /// `log.access`. Default none.
    pub access: Option<AccessSettings>,
    /// `[headers]`, `errors.pages` and `[compress]`. Default nothing.
    pub finish: Finish,
    /// `errors.maintenance`. Default none.
    pub maintenance: Option<MaintenanceSettings>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTarget {
    /// What is done.
    pub kind: RouteKind,
    /// The largest body of a request. Default `limits.body`.
    pub body_limit: ByteSize,
    /// Requests of one client. Default no limit.
    pub rate: Option<ClientRate>,
    /// `basic_auth`: who may see it. Default everybody.
    pub basic_auth: Option<BasicAuthSettings>,
    /// `cors` of a route that is no stream: which pages of other origins may read it. Unset: Django says it.
    pub cors: Option<cors::Rules>,
    /// `internal`: whether only `X-Accel-Redirect` leads here. Default no; only of `static`.
    pub internal: bool,
    /// `compress`: whether its answers may be. Default yes.
    pub compress: bool,
}

/// The kinds of routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteKind {
    /// `proxy`: the request goes to Django.
    Proxy {
        /// The name of the upstream.
        upstream: String,
        /// What is taken off the beginning of the path, without a slash at the end. Default nothing.
        strip: Option<Box<str>>,
        /// Whether `Upgrade: websocket` goes through. Default true.
        websocket: bool,
        /// `record`: how its event streams are recorded. Unset: they pass through.
        record: Option<crate::record::Settings>,
    },
    /// `sse.ask`: a stream, if Django allows it.
    Ask {
        /// The name of the upstream that is asked.
        upstream: String,
        /// How.
        ask: ask::Settings,
        /// How the stream behaves.
        stream: stream::Settings,
    },
    /// `sse.token`: a stream for whoever has a token of the site.
    Token {
        /// What a good token is, and where it is looked for.
        token: ask::TokenSettings,
        /// How the stream behaves.
        stream: stream::Settings,
    },
    /// `sse.channels` with `public = true`: a stream for everybody.
    Public {
        /// At least one; their variables are names of the path.
        channels: Vec<ChannelTemplate>,
        /// How the stream behaves.
        stream: stream::Settings,
    },
    /// `redirect`: another address.
    Redirect(Redirect),
    /// `respond`: always the same.
    Respond(Fixed),
    /// `static`: files of a folder.
    Static {
        /// What is served, and how.
        files: crate::files::Settings,
        /// The variable of the path that names the file; `None`: the whole path does.
        variable: Option<Box<str>>,
    },
}

/// Reads the file at `path`.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, &Process).map_err(|problems| ConfigError::Invalid {
        path: path.to_owned(),
        problems,
    })
}

/// The listeners that the file at `path` names, whatever mistakes it has: for who asks a gateway that runs, and has read
/// the file when it was right.
pub fn listeners(path: &Path) -> io::Result<Vec<server::Listen>> {
    let text = std::fs::read_to_string(path)?;
    let (tree, errors) = DeTable::parse_recoverable(&text);
    let report = Report::new(&text, &Process, &errors);
    Ok(Section::document(&report, tree.get_ref(), build).listen)
}

/// Reads the text of a file; on failure all mistakes in the order of their places.
pub fn parse(text: &str, environment: &dyn Environment) -> Result<Config, Vec<Problem>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let report = Report::new(text, environment, &errors);
    let config = Section::document(&report, tree.get_ref(), build);
    let problems = report.finish();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

fn build(document: &mut Section<'_>) -> Config {
    if let Some(value) = document.required("version") {
        value.version();
    }
    let mut server = server::Settings::default();
    let mut buffers = crate::upstream::Room::default();
    let site = site::server(document, &mut server, &mut buffers);
    let trust = trust::trust(document);
    let site::Limits {
        body,
        rate,
        connections,
    } = site::limits(document, &mut server, &mut buffers);
    let site::Log {
        settings: log,
        access,
        request_id,
    } = site::log(document, &trust);
    let metrics = observe::metrics(document);
    let console = observe::console(document);
    let upstreams = upstream::upstreams(document, &site.hosts);
    let Sse {
        stream,
        memory,
        notify,
    } = sse::sse(document, &upstreams);
    let publish = publish::publish(document, body, memory);
    let redis = redis::redis(document, publish.settings.max_event);
    let certificates = tls::certificates(document);
    let listen = listen::listeners(document, publish.written, &certificates);
    trust::needs_header(document, &trust, &listen);
    certificates.check(&listen);
    let routes = route::routes(document, &upstreams, &stream, body);
    let finish = edge::finish(document);
    let (mut finish, maintenance) = edge::errors(document, finish);
    finish.compress = compress::compress(document);
    Config {
        server,
        listen,
        tls: certificates.finish(),
        hosts: site.hosts,
        workers: site.workers,
        drain: site.drain,
        drain_spread: site.drain_spread,
        trust,
        rate,
        connections,
        request_id,
        metrics,
        console,
        buffers,
        upstreams,
        history: sse::history(memory, &stream, &routes),
        routes,
        stream,
        notify,
        publish: publish.settings,
        tokens: Tokens::new(publish.tokens),
        redis,
        log,
        access,
        finish,
        maintenance,
    }
}
