//! From the configuration to the route table: names become the things they name.

use std::collections::HashMap;
use std::sync::Arc;

use super::StartError;
use crate::ask::{self, Asker};
use crate::base::access::Writer;
use crate::base::metrics::Registry;
use crate::config::{Config, RouteKind};
use crate::limits::Slots;
use crate::proxy::{self, AccessLog, AccessSettings, Kind, Recorded, Route};
use crate::routes::{Entry, Table};
use crate::stream;
use crate::upstream::Upstream;

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
    let names = targets.filter_map(|target| match &target.kind {
        RouteKind::Ask { stream, .. } => stream.session_cookie.clone(),
        RouteKind::Proxy {
            record: Some(_), ..
        } => config.stream.session_cookie.clone(),
        RouteKind::Proxy { record: None, .. } | RouteKind::Public { .. } => None,
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

/// The routes. Asks to one upstream share one budget, whichever route they come from.
pub(super) fn routes(
    config: &Config,
    upstreams: &HashMap<String, Upstream>,
    registry: &Registry,
) -> Table<Route> {
    let metrics = ask::Metrics::new(registry);
    let mut budgets: HashMap<String, Slots> = HashMap::new();
    let named = |name: &str| {
        upstreams
            .get(name)
            .expect("a checked route names an upstream that exists")
            .clone()
    };
    let entries = config.routes.entries().iter().map(|entry| {
        let kind = match &entry.target.kind {
            RouteKind::Proxy {
                upstream,
                websocket,
                record,
            } => Kind::Forward {
                upstream: named(upstream),
                websocket: *websocket,
                record: record.clone().map(|settings| {
                    let stream = of_route(&entry.name, &config.stream);
                    Arc::new(Recorded { settings, stream })
                }),
            },
            RouteKind::Public { channels, stream } => Kind::Public {
                channels: channels.clone(),
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
        };
        Entry {
            name: entry.name.clone(),
            pattern: entry.pattern.clone(),
            target: Route {
                kind,
                body_limit: entry.target.body_limit,
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
