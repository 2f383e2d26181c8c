//! What a configuration was made into. A reload makes the next one with it: what stays the same stays the same thing, with
//! its connections, its queue and what was counted; the rest is new.
//!
//! Kept are upstreams with equal settings, the places of those who follow links where `grip` is equal, the budget of asks of an
//! upstream (which takes another size), routes that are equal in all they are made of, and else their rates.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::build;
use crate::ask;
use crate::base::access::{Destination, Lines};
use crate::base::metrics::Registry;
use crate::config::{Config, RouteKind, RouteTarget};
use crate::files::Files;
use crate::limits::{Budget, ClientLimit, ClientRate};
use crate::proxy::{AccessLog, BasicAuth, Maintenance, Route, Site};
use crate::routes::{Entry, Table};
use crate::stream::grip::{self, Links};
use crate::upstream::{Buffers, Families, Room, Switch, Upstream};

/// What is made once and serves every configuration: metrics can be registered only once.
#[derive(Debug)]
pub(super) struct Lasting {
    families: Families,
    buffers: Buffers,
    maintenance: Switch,
    pub(super) asks: ask::Metrics,
    links: grip::Metrics,
    pub(super) files: Files,
    /// Counts the clients that a rate could not tell apart, over all rates.
    pub(super) newcomers: Counter,
    /// Where access lines go; `None` if there were to be none at the start.
    lines: Option<Lines>,
    /// Where that is.
    pub(super) lines_to: Option<Destination>,
}

/// The configuration, and what it was made into.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) upstreams: HashMap<String, Upstream>,
    pub(super) links: HashMap<String, Links>,
    budgets: HashMap<String, Budget>,
    routes: Table<Route>,
    rate: Option<ClientLimit>,
}

impl Lasting {
    pub(super) fn new(
        access: Option<(Lines, Destination)>,
        room: &Room,
        registry: &Registry,
    ) -> Self {
        let (lines, lines_to) = access.unzip();
        Self {
            families: Families::new(registry),
            buffers: Buffers::new(room, registry),
            maintenance: Switch::new(registry),
            asks: ask::Metrics::new(registry),
            links: grip::Metrics::new(registry),
            // Temp files have half of the descriptors that are not for clients, these a quarter.
            files: Files::new(room.most_open / 2, registry),
            newcomers: registry.counter(
                "rate_newcomers",
                "Requests of clients for which a rate had no room, so that they share one",
            ),
            lines,
            lines_to,
        }
    }

    pub(super) fn limit(&self, rate: ClientRate) -> ClientLimit {
        ClientLimit::new(rate, self.newcomers.clone())
    }
}

impl InForce {
    /// What `config` is made into, with what stays of `before`.
    pub(super) fn new(config: Config, lasting: &Lasting, before: Option<&Self>) -> Self {
        let when = config.maintenance.as_ref();
        let when = when.map(|maintenance| maintenance.when_file.clone());
        lasting.maintenance.configure(when);
        let upstreams = upstreams(&config, lasting, before);
        let rate = config.rate.map(|rate| {
            let known = before.filter(|before| before.config.rate == Some(rate));
            let known = known.and_then(|before| before.rate.clone());
            known.unwrap_or_else(|| lasting.limit(rate))
        });
        let mut made = Self {
            links: links(&upstreams, lasting, before),
            budgets: budgets(&config, before),
            upstreams,
            routes: Table::new(Vec::new()),
            rate,
            config,
        };
        made.routes = build::routes(&made, lasting, before);
        made
    }

    /// What requests find.
    pub(super) fn site(&self, lasting: &Lasting) -> Site {
        let access = self.config.access.as_ref().zip(lasting.lines.as_ref());
        let mut entries = self.routes.entries().iter();
        let maintenance = self.config.maintenance.clone();
        let maintenance =
            maintenance.map(|settings| Maintenance::new(settings, lasting.maintenance.clone()));
        Site {
            settings: build::proxy(&self.config),
            has_internal: entries.any(|entry| entry.target.internal),
            routes: self.routes.clone(),
            rate: self.rate.clone(),
            access: access.map(|(settings, lines)| AccessLog::new(lines.clone(), settings.format)),
            finish: self.config.finish.clone(),
            maintenance,
        }
    }

    pub(super) fn upstream(&self, name: &str) -> Upstream {
        let upstream = self.upstreams.get(name);
        upstream
            .expect("a checked configuration names upstreams that exist")
            .clone()
    }

    /// Those who ask this upstream share it, whichever route they come from.
    pub(super) fn budget(&self, upstream: &str) -> Budget {
        let budget = self.budgets.get(upstream);
        budget.expect("there is one for each that is asked").clone()
    }

    /// What `route` was made into, if it and all it is made of are as they are in `now`.
    pub(super) fn same(&self, route: &Entry<RouteTarget>, now: &Self) -> Option<Entry<Route>> {
        let known = self
            .config
            .routes
            .entries()
            .iter()
            .zip(self.routes.entries());
        let mut same = known.filter(|(known, _)| *known == route);
        let (_, made) = same.next()?;
        let is_same = |name| self.upstream(name).settings() == now.upstream(name).settings();
        let kind = &route.target.kind;
        let stays = kind.upstream().is_none_or(is_same)
            && (!kind.has_defaults() || self.config.stream == now.config.stream);
        stays.then(|| made.clone())
    }

    /// The rate of `route`, if it has the same.
    pub(super) fn same_rate(&self, route: &Entry<RouteTarget>) -> Option<ClientLimit> {
        let same = |known: &RouteTarget| known.rate == route.target.rate;
        self.alike(route, same)?.rate.clone()
    }

    /// Who is known by name and password at `route`, if it is for the same.
    pub(super) fn same_login(&self, route: &Entry<RouteTarget>) -> Option<Arc<BasicAuth>> {
        let same = |known: &RouteTarget| known.basic_auth == route.target.basic_auth;
        self.alike(route, same)?.basic_auth.clone()
    }

    fn alike(
        &self,
        route: &Entry<RouteTarget>,
        same: impl Fn(&RouteTarget) -> bool,
    ) -> Option<&Route> {
        let known = self.config.routes.entries().iter();
        let mut known = known.zip(self.routes.entries());
        let alike = known.find(|(known, _)| known.name == route.name && same(&known.target));
        alike.map(|(_, made)| &made.target)
    }
}

impl RouteKind {
    /// The upstream it names.
    fn upstream(&self) -> Option<&str> {
        match self {
            Self::Proxy { upstream, .. } | Self::Ask { upstream, .. } => Some(upstream),
            Self::Public { .. }
            | Self::Token { .. }
            | Self::Redirect(_)
            | Self::Respond(_)
            | Self::Static { .. } => None,
        }
    }

    /// Whether its streams go by `[sse]` as it stands, for it has no settings of its own.
    const fn has_defaults(&self) -> bool {
        matches!(self, Self::Proxy { .. })
    }
}

fn upstreams(
    config: &Config,
    lasting: &Lasting,
    before: Option<&InForce>,
) -> HashMap<String, Upstream> {
    let upstreams = config.upstreams.iter().map(|settings| {
        let known = before.and_then(|before| before.upstreams.get(&settings.name));
        let known = known.filter(|known| known.settings() == settings);
        let new = || {
            let Lasting {
                families,
                buffers,
                maintenance,
                ..
            } = lasting;
            Upstream::new(settings.clone(), families, buffers, maintenance)
        };
        (settings.name.clone(), known.cloned().unwrap_or_else(new))
    });
    upstreams.collect()
}

/// What follows the links of each upstream whose answers may be held.
fn links(
    upstreams: &HashMap<String, Upstream>,
    lasting: &Lasting,
    before: Option<&InForce>,
) -> HashMap<String, Links> {
    let links = upstreams.iter().filter_map(|(name, upstream)| {
        let grip = upstream.settings().grip.as_ref()?;
        let known = before.and_then(|before| before.links.get(name));
        let known = known.filter(|known| known.grip() == grip);
        let new = || Links::new(upstream.clone(), grip.clone(), lasting.links.clone());
        let links = known.map(|known| known.led_to(upstream));
        Some((name.clone(), links.unwrap_or_else(new)))
    });
    links.collect()
}

fn budgets(config: &Config, before: Option<&InForce>) -> HashMap<String, Budget> {
    let mut budgets = HashMap::new();
    for entry in config.routes.entries() {
        if let RouteKind::Ask { upstream, ask, .. } = &entry.target.kind {
            budgets.entry(upstream.clone()).or_insert_with(|| {
                let known = before.and_then(|before| before.budgets.get(upstream));
                let Some(known) = known else {
                    return Budget::new(ask.at_once);
                };
                known.resize(ask.at_once);
                known.clone()
            });
        }
    }
    budgets
}
