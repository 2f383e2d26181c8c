//! From the configuration to the route table: names become the things they name.

use std::sync::Arc;

use super::StartError;
use super::in_force::{InForce, Lasting};
use crate::ask::{Asker, TokenCheck};
use crate::base::access::Writer;
use crate::base::live::Live;
use crate::base::metrics::Registry;
use crate::base::random;
use crate::config::{self, Config, RouteKind, RouteTarget};
use crate::console::{Console, Readiness};
use crate::domain::Epoch;
use crate::history::Log;
use crate::hub::Hub;
use crate::internal::{Access, Places};
use crate::notify::{self, Notifier};
use crate::proxy::{self, AccessSettings, BasicAuth, Holding, Kind, Recorded, Route, Static};
use crate::record::{self, Recorder};
use crate::redis::Subscriber;
use crate::routes::{Entry, Table};
use crate::tls::{Challenge, Challenges};
use crate::tokens::keys::{Keyed, Keys};
use crate::upstream::Room;
use crate::wire::host::HostRule;
use crate::{server, stream, tls};

/// Connections to internal listeners, whose callers are few.
const INTERNAL_CONNECTIONS: usize = 4096;

/// What holds for all routes.
pub(super) fn proxy(config: &Config) -> proxy::Settings {
    proxy::Settings {
        hosts: config.hosts.clone(),
        trust: config.trust.clone(),
        connections: config.connections,
        request_id: config.request_id.clone(),
        body_idle: config.server.body_idle,
        session_cookies: session_cookies(config),
    }
}

/// The hub, on a log that begins now.
pub(super) fn hub(config: &Config, registry: &Registry) -> Hub {
    let epoch = Epoch::from_random(random::unguessable());
    let log = Log::new(config.history.clone(), epoch, registry);
    Hub::new(log, registry)
}

/// The room for bodies that wait: its temp files have half of the descriptors that are not for clients.
pub(super) fn room(config: &Config) -> Room {
    let reserved = usize::try_from(super::reserved_descriptors()).unwrap_or(usize::MAX);
    Room {
        most_open: reserved / 2,
        ..config.buffers.clone()
    }
}

/// The names of all cookies that open streams.
fn session_cookies(config: &Config) -> Vec<Box<str>> {
    let targets = config.routes.entries().iter().map(|entry| &entry.target);
    let holds = |name: &String| {
        let mut upstreams = config.upstreams.iter();
        upstreams.any(|upstream| upstream.name == *name && upstream.grip.is_some())
    };
    let names = targets.filter_map(|target| match &target.kind {
        RouteKind::Ask { stream, .. } => stream.session_cookie.clone(),
        RouteKind::Proxy {
            upstream, record, ..
        } if record.is_some() || holds(upstream) => config.stream.session_cookie.clone(),
        RouteKind::Proxy { .. }
        | RouteKind::Public { .. }
        | RouteKind::Token { .. }
        | RouteKind::Redirect(_)
        | RouteKind::Respond(_)
        | RouteKind::Static { .. } => None,
    });
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What writes the access log; `None` if there is to be none.
pub(super) fn access(config: &Config, registry: &Registry) -> Result<Option<Writer>, StartError> {
    let Some(AccessSettings { to, .. }) = &config.access else {
        return Ok(None);
    };
    let writer = Writer::start(to.clone(), registry);
    let failed = |source| StartError::AccessLog {
        to: to.clone(),
        source,
    };
    writer.map(Some).map_err(failed)
}

/// Who tells Django of presence; `None` if it is not to be told.
pub(super) fn notifier(made: &InForce, hub: &Hub, registry: &Registry) -> Option<Notifier> {
    let config = &made.config;
    let told = config.notify.as_ref()?;
    let settings = notify::Settings {
        path: told.path.clone(),
        secret: told.secret.clone(),
        leave_after: told.leave_after,
        sender: Live::new(sender(config)),
    };
    let upstream = made.upstream(&told.upstream);
    Some(Notifier::start(settings, upstream, hub, registry))
}

/// As whom Django is told.
pub(super) fn sender(config: &Config) -> notify::Sender {
    let host = config.hosts.iter().find_map(|rule| match rule {
        HostRule::Exact(name) | HostRule::Below(name) => Some(name.clone()),
        HostRule::Any => None,
    });
    notify::Sender {
        host: host.unwrap_or_else(|| "localhost".to_owned()),
        request_id: config.request_id.clone(),
    }
}

/// Who listens to Redis; `None` if there is nothing to listen to.
pub(super) fn subscriber(config: &Config, hub: &Hub, registry: &Registry) -> Option<Subscriber> {
    let settings = config.redis.clone()?;
    let listens = !settings.listen.is_empty();
    listens.then(|| Subscriber::start(settings, hub.clone(), registry))
}

/// What is said to who looks whether names are ours, of every table with ACME.
pub(super) fn challenges(config: &Config) -> Vec<Challenges> {
    let acme = config.tls.iter().filter_map(|settings| settings.acme());
    acme.map(|acme| acme.challenges.clone()).collect()
}

/// The tables with ACME, and how it can be looked whether their names are ours.
pub(super) fn ordered(config: &Config) -> Vec<(Arc<tls::Settings>, Vec<Challenge>)> {
    let tables = config
        .tls
        .iter()
        .filter(|settings| settings.acme().is_some());
    let with_ways = tables.map(|settings| {
        let ways = config::ways(settings, &config.listen);
        (Arc::clone(settings), ways)
    });
    with_ways.collect()
}

/// Who may call on internal listeners.
pub(super) fn admitted(config: &Config) -> Access {
    let held = config.upstreams.iter().filter_map(|settings| {
        let grip = settings.grip.as_ref()?;
        Some(Keyed {
            prefix: grip.prefix.as_str().into(),
            key: grip.key.clone(),
        })
    });
    Access {
        tokens: config.tokens.clone(),
        keys: Keys::new(held),
    }
}

/// Tells the operator that streams will be opened and that nobody can publish to them.
pub(super) fn look_for_publishers(config: &Config) {
    let mut routes = config.routes.entries().iter();
    let (upstreams, redis) = (&config.upstreams, config.redis.as_ref());
    let is_stream = |kind: &RouteKind| {
        matches!(
            kind,
            RouteKind::Ask { .. } | RouteKind::Public { .. } | RouteKind::Token { .. }
        )
    };
    let holds = upstreams.iter().any(|upstream| upstream.grip.is_some())
        || routes.any(|route| is_stream(&route.target.kind));
    let takes = config
        .listen
        .iter()
        .any(|listen| listen.role == server::Role::Internal)
        || redis.is_some_and(|redis| !redis.listen.is_empty())
        || upstreams.iter().any(|upstream| upstream.publish);
    if holds && !takes {
        let hint = "a listener with `role = \"internal\"` takes what Django publishes";
        tracing::warn!(hint, "Nobody can publish");
    }
}

/// What internal listeners tell.
pub(super) fn console(
    config: &Config,
    hub: &Hub,
    readiness: &Readiness,
    registry: &Registry,
) -> Console {
    let console = Console::new(hub.clone(), registry.clone(), readiness.clone());
    if config.metrics.per_channel {
        console.count_channels();
    }
    console
}

/// Where things are on internal listeners.
pub(super) fn places(config: &Config) -> Places {
    Places {
        metrics: config.metrics.path.clone(),
        here: config.console,
    }
}

/// The settings of internal listeners, whose callers are few.
pub(super) fn internal(settings: &server::Settings) -> server::Settings {
    server::Settings {
        max_connections: INTERNAL_CONNECTIONS,
        ..settings.clone()
    }
}

/// The routes, those of `before` where nothing has changed.
pub(super) fn routes(made: &InForce, lasting: &Lasting, before: Option<&InForce>) -> Table<Route> {
    let entries = made.config.routes.entries().iter().map(|entry| {
        if let Some(same) = before.and_then(|before| before.same(entry, made)) {
            return same;
        }
        let known = before.and_then(|before| before.same_rate(entry));
        let known_login = before.and_then(|before| before.same_login(entry));
        let login = entry.target.basic_auth.as_ref();
        let rate = entry.target.rate;
        Entry {
            name: entry.name.clone(),
            pattern: entry.pattern.clone(),
            target: Route {
                kind: kind(entry, made, lasting),
                body_limit: entry.target.body_limit,
                rate: rate.map(|rate| known.unwrap_or_else(|| lasting.limit(rate))),
                basic_auth: login.map(|settings| {
                    known_login.unwrap_or_else(|| {
                        Arc::new(BasicAuth::new(settings.clone(), lasting.newcomers.clone()))
                    })
                }),
                cors: entry.target.cors.clone(),
                internal: entry.target.internal,
                compress: entry.target.compress,
            },
        }
    });
    Table::new(entries.collect())
}

fn kind(entry: &Entry<RouteTarget>, made: &InForce, lasting: &Lasting) -> Kind {
    let config = &made.config;
    match &entry.target.kind {
        RouteKind::Proxy {
            upstream,
            strip,
            websocket,
            record,
        } => Kind::Forward {
            upstream: made.upstream(upstream),
            strip: strip.clone(),
            websocket: *websocket,
            record: record.clone().map(|settings| {
                let stream = of_route(&entry.name, &config.stream);
                Arc::new(Recorded { settings, stream })
            }),
            grip: made.links.get(upstream).map(|links| Holding {
                links: links.clone(),
                stream: of_route(&entry.name, &config.stream),
                strip: strip.clone(),
            }),
        },
        RouteKind::Public { channels, stream } => Kind::Public {
            channels: channels.clone(),
            settings: of_route(&entry.name, stream),
        },
        RouteKind::Token { token, stream } => Kind::Token {
            check: TokenCheck::new(token.clone(), &lasting.asks),
            settings: of_route(&entry.name, stream),
        },
        RouteKind::Ask {
            upstream,
            ask,
            stream,
        } => Kind::Ask {
            asker: Asker::new(
                made.upstream(upstream),
                made.budget(upstream),
                ask,
                stream.longest_initial_state,
                &lasting.asks,
            ),
            settings: of_route(&entry.name, stream),
        },
        RouteKind::Redirect(redirect) => Kind::Redirect(redirect.clone()),
        RouteKind::Respond(fixed) => Kind::Respond(fixed.clone()),
        RouteKind::Static { files, variable } => Kind::Static(Static {
            root: lasting.files.root(files.clone()),
            variable: variable.clone(),
            closed: entry.target.basic_auth.is_some(),
        }),
    }
}

fn of_route(name: &str, settings: &stream::Settings) -> Arc<stream::Settings> {
    Arc::new(stream::Settings {
        route: name.into(),
        ..settings.clone()
    })
}

/// What records views, at most as many of them as there may be connections.
pub(super) fn recorder(config: &Config, hub: &Hub, most: usize, registry: &Registry) -> Recorder {
    let most = record::MOST.min(most);
    Recorder::new(hub.clone(), most, config.publish.max_event, registry)
}
