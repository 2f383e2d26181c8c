//! From the configuration to the route table: names become the things they name.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::StartError;
use crate::ask::{self, Asker, TokenCheck};
use crate::base::access::Writer;
use crate::base::metrics::Registry;
use crate::config::{Config, RouteKind};
use crate::console::Console;
use crate::hub::Hub;
use crate::internal::Internal;
use crate::limits::{ClientLimit, Slots};
use crate::notify::{self, Notifier};
use crate::proxy::{self, AccessLog, AccessSettings, BasicAuth, Holding, Kind, Recorded, Route};
use crate::publish::Publisher;
use crate::record::{self, Recorder};
use crate::redis::Subscriber;
use crate::routes::{Entry, Table};
use crate::stream;
use crate::stream::grip::{self, Links};
use crate::upstream::{self, Upstream};
use crate::wire::host::HostRule;

/// What holds for all routes.
pub(super) fn proxy(config: &Config) -> proxy::Settings {
    proxy::Settings {
        hosts: config.hosts.clone(),
        trust: config.trust.clone(),
        body_idle: config.server.body_idle,
        session_cookies: session_cookies(config),
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
        | RouteKind::Respond(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What writes the access log, and what is told of each request; `None` if there is to be none.
pub(super) fn access(
    config: &Config,
    registry: &Registry,
) -> Result<Option<(Writer, AccessLog)>, StartError> {
    let Some(AccessSettings { to, format }) = &config.access else {
        return Ok(None);
    };
    let writer = Writer::start(to.clone(), registry).map_err(|source| StartError::AccessLog {
        to: to.clone(),
        source,
    })?;
    let log = AccessLog::new(writer.lines(), *format);
    Ok(Some((writer, log)))
}

/// Who tells Django of presence; `None` if it is not to be told.
pub(super) fn notifier(
    config: &Config,
    upstreams: &HashMap<String, Upstream>,
    hub: &Hub,
    registry: &Registry,
) -> Option<Notifier> {
    let told = config.notify.as_ref()?;
    let host = config.hosts.iter().find_map(|rule| match rule {
        HostRule::Exact(name) | HostRule::Below(name) => Some(name.clone()),
        HostRule::Any => None,
    });
    let settings = notify::Settings {
        path: told.path.clone(),
        secret: told.secret.clone(),
        leave_after: told.leave_after,
        host: host.unwrap_or_else(|| "localhost".to_owned()),
    };
    let upstream = named(upstreams, &told.upstream);
    Some(Notifier::start(settings, upstream, hub, registry))
}

/// Who listens to Redis; `None` if there is nothing to listen to.
pub(super) fn subscriber(config: &Config, hub: &Hub, registry: &Registry) -> Option<Subscriber> {
    let settings = config.redis.clone()?;
    let listens = !settings.listen.is_empty();
    listens.then(|| Subscriber::start(settings, hub.clone(), registry))
}

fn named(upstreams: &HashMap<String, Upstream>, name: &str) -> Upstream {
    upstreams
        .get(name)
        .expect("a checked configuration names upstreams that exist")
        .clone()
}

/// What follows the links of each upstream whose answers may be held.
pub(super) fn links(
    upstreams: &HashMap<String, Upstream>,
    registry: &Registry,
) -> HashMap<String, Links> {
    let metrics = grip::Metrics::new(registry);
    let links = upstreams.iter().filter_map(|(name, upstream)| {
        let grip = upstream.settings().grip.clone()?;
        let links = Links::new(upstream.clone(), grip, metrics.clone());
        Some((name.clone(), links))
    });
    links.collect()
}

/// What answers on internal listeners.
pub(super) fn internal(
    config: &Config,
    publisher: &Publisher,
    console: Console,
    registry: &Registry,
) -> Internal {
    let key = |settings: &upstream::Settings| settings.grip.as_ref()?.key.clone();
    let keys = config.upstreams.iter().filter_map(key).collect();
    let tokens = config.tokens.clone();
    Internal::new(tokens, keys, publisher.clone(), console, registry)
}

/// What counts the clients that a rate could not tell apart, over all rates.
pub(super) fn newcomers(registry: &Registry) -> Counter {
    registry.counter(
        "rate_newcomers",
        "Requests of clients for which a rate had no room, so that they share one",
    )
}

/// The routes. Asks to one upstream share one budget, whichever route they come from.
pub(super) fn routes(
    config: &Config,
    upstreams: &HashMap<String, Upstream>,
    links: &HashMap<String, Links>,
    registry: &Registry,
    newcomers: &Counter,
) -> Table<Route> {
    let metrics = ask::Metrics::new(registry);
    let mut budgets: HashMap<String, Slots> = HashMap::new();
    let named = |name: &str| named(upstreams, name);
    let entries = config.routes.entries().iter().map(|entry| {
        let kind = match &entry.target.kind {
            RouteKind::Proxy {
                upstream,
                strip,
                websocket,
                record,
            } => Kind::Forward {
                upstream: named(upstream),
                strip: strip.clone(),
                websocket: *websocket,
                record: record.clone().map(|settings| {
                    let stream = of_route(&entry.name, &config.stream);
                    Arc::new(Recorded { settings, stream })
                }),
                grip: links.get(upstream).map(|links| Holding {
                    links: links.clone(),
                    stream: of_route(&entry.name, &config.stream),
                }),
            },
            RouteKind::Public { channels, stream } => Kind::Public {
                channels: channels.clone(),
                settings: of_route(&entry.name, stream),
            },
            RouteKind::Token { token, stream } => Kind::Token {
                check: TokenCheck::new(token.clone(), &metrics),
                settings: of_route(&entry.name, stream),
            },
            RouteKind::Ask {
                upstream,
                ask,
                stream,
            } => {
                let budget = budgets
                    .entry(upstream.clone())
                    .or_insert_with(|| Slots::new(ask.at_once))
                    .clone();
                let longest = stream.longest_initial_state;
                let asker = Asker::new(named(upstream), budget, ask, longest, &metrics);
                Kind::Ask {
                    asker,
                    settings: of_route(&entry.name, stream),
                }
            }
            RouteKind::Redirect(redirect) => Kind::Redirect(redirect.clone()),
            RouteKind::Respond(fixed) => Kind::Respond(fixed.clone()),
        };
        let basic_auth = entry.target.basic_auth.clone();
        let basic_auth = basic_auth.map(|settings| BasicAuth::new(settings, newcomers.clone()));
        let rate = entry.target.rate;
        let limit = rate.map(|rate| ClientLimit::new(rate, newcomers.clone()));
        Entry {
            name: entry.name.clone(),
            pattern: entry.pattern.clone(),
            target: Route {
                kind,
                body_limit: entry.target.body_limit,
                rate: limit,
                basic_auth: basic_auth.map(Arc::new),
                cors: entry.target.cors.clone(),
            },
        }
    });
    Table::new(entries.collect())
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
