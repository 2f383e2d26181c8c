//! The client towards Django: one [`Upstream`] for each `[upstream.<name>]`.
//!
//! `proxy` sends requests through it, `ask` its short questions. HTTP/1.1 over TCP, TLS and unix sockets, on connections of
//! its own: each carries one request at a time and goes back to the pool only when the answer was read to its end, so
//! a cancelled request can never leave its answer behind for somebody else.
//!
//! It may have several servers: `balance` chooses among them, by their `standing`, which requests and `health` tell.
//!
//! Bounds: idle connections per server (64), requests that wait for their turn ([`queue::MOST_WAITING`]), the time of each
//! step (`Settings`), what is gathered of bodies and read ahead of answers (`buffers`).

mod ahead;
mod answer;
mod backoff;
mod balance;
mod body;
mod buffers;
mod conn;
mod error;
mod exchange;
mod gather;
mod grip;
mod head;
mod health;
mod lookup;
mod pool;
mod queue;
mod send;
mod settings;
mod standing;
mod succession;
mod switch;
mod switched;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_ahead;
#[cfg(test)]
mod tests_sending;
mod vouched;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::base::metrics::{CounterByName, GaugeByName, HistogramBy, Registry};

pub use answer::AnswerBody;
pub use backoff::Backoff;
use balance::Chooser;
pub use body::{RequestBody, SeeTo, Streamed, Upload};
pub use buffers::{Buffers, Room};
pub use error::{AnswerError, GatherError, RequestBodyError, RequestBodyFault, UpstreamError};
pub use grip::Grip;
use grip::Signer;
pub use head::Head;
use pool::Pool;
use queue::Queue;
pub use send::Sent;
pub use settings::{Balance, Health, MOST_SERVERS, Server, Settings};
use standing::Standing;
pub use switch::Switch;
pub use switched::Switched;
pub use vouched::{CURSOR, Rebuilt, Vouched};

/// One upstream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    pools: Box<[Pool]>,
    chooser: Chooser,
    /// Who may be in flight, if there is a limit.
    queue: Option<Queue>,
    /// What signs requests whose answers may be held; `None` without `grip`.
    signer: Option<Signer>,
    /// The connections that are there, idle or in use, the tasks that check the servers, and those that read answers
    /// ahead.
    open: TaskTracker,
    /// Ends those tasks, at the latest when it is dropped.
    checks: CancellationToken,
    _checks: DropGuard,
    /// Who is there in its place, once it is retired.
    successor: ArcSwapOption<Self>,
    /// The room for bodies that wait.
    buffers: Buffers,
    maintenance: Switch,
    metrics: Metrics,
}

/// The metrics of all upstreams, told apart by the upstream's name.
#[derive(Debug, Clone)]
pub struct Families {
    seconds: HistogramBy,
    connects: CounterByName,
    retries: CounterByName,
    in_flight: GaugeByName,
    waiting: GaugeByName,
    servers_up: GaugeByName,
}

#[derive(Debug)]
struct Metrics {
    seconds: Histogram,
    connects: Counter,
    retries: Counter,
    in_flight: Gauge,
    waiting: Gauge,
    servers_up: Gauge,
}

impl Families {
    /// Registers them, once for all upstreams.
    pub fn new(registry: &Registry) -> Self {
        Self {
            seconds: registry.seconds_by(
                "upstream_response_duration_seconds",
                "From sending a request to the head of its answer",
            ),
            connects: registry.counter_by_name("upstream_connects", "Connections opened"),
            retries: registry.counter_by_name("upstream_retries", "Requests sent again"),
            in_flight: registry.gauge_by_name("upstream_in_flight", "Requests in flight"),
            waiting: registry.gauge_by_name(
                "upstream_waiting",
                "Requests that wait for their turn because of max_in_flight",
            ),
            servers_up: registry.gauge_by_name("upstream_servers_up", "Servers that are not out"),
        }
    }

    fn of(&self, upstream: &str) -> Metrics {
        let label = [("upstream", upstream.to_owned())];
        Metrics {
            seconds: self.seconds.get_or_create(&label).clone(),
            connects: self.connects.get_or_create(&label).clone(),
            retries: self.retries.get_or_create(&label).clone(),
            in_flight: self.in_flight.get_or_create(&label).clone(),
            waiting: self.waiting.get_or_create(&label).clone(),
            servers_up: self.servers_up.get_or_create(&label).clone(),
        }
    }
}

impl Upstream {
    /// An upstream without any connection yet. With `health` its servers are asked from now on, by tasks of the runtime
    /// this is called in. The buffers and the switch are those of all upstreams.
    pub fn new(
        settings: Settings,
        families: &Families,
        buffers: &Buffers,
        maintenance: &Switch,
    ) -> Self {
        let metrics = families.of(&settings.name);
        let pools: Box<[_]> = settings
            .servers
            .iter()
            .map(|server| {
                let standing =
                    Standing::new(&settings.name, server.to_string(), &metrics.servers_up);
                let in_flight = metrics.in_flight.clone();
                Pool::new(server.clone(), settings.tls.clone(), standing, in_flight)
            })
            .collect();
        let (open, checks) = (TaskTracker::new(), CancellationToken::new());
        if let Some(health) = &settings.health {
            for pool in &pools {
                let asking = health::watch(pool.clone(), health.clone(), open.clone());
                let stopped = checks.clone();
                drop(open.spawn(async move { stopped.run_until_cancelled(asking).await }));
            }
        }
        let turns = settings.max_in_flight;
        Self(Arc::new(Inner {
            queue: turns.map(|most| Queue::new(most.get(), metrics.waiting.clone())),
            signer: settings.grip.as_ref().map(Signer::new),
            chooser: Chooser::new(settings.balance),
            settings,
            pools,
            open,
            _checks: checks.clone().drop_guard(),
            checks,
            successor: ArcSwapOption::empty(),
            buffers: buffers.clone(),
            maintenance: maintenance.clone(),
            metrics,
        }))
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether it is to be left alone. Who asks it by itself, and not for a client that waits, waits until it is over.
    pub fn maintenance(&self) -> &Switch {
        &self.0.maintenance
    }

    fn buffers(&self) -> &Buffers {
        &self.0.buffers
    }

    /// Sets on a request what Django must know to have its answer held; nothing without `grip`. Whose answers were held
    /// before a reload said `false` still follows its links, and django-eventstream would answer those by a stream of its
    /// own that takes a worker, so they are signed as before.
    pub fn sign(&self, headers: &mut http::HeaderMap) {
        let current = self.current();
        let signer = current.0.signer.as_ref().or(self.0.signer.as_ref());
        if let Some(signer) = signer {
            signer.sign(headers);
        }
    }

    /// Closes the idle connections and waits, at most for `patience`, until those in use are done.
    pub async fn close(&self, patience: Duration) {
        self.end();
        drop(tokio::time::timeout(patience, self.0.open.wait()).await);
    }

    /// Keeps no connection from now on, asks no server whether it is well, and counts none.
    fn end(&self) {
        // First, so that what is given back from now on is closed.
        self.0.open.close();
        self.0.checks.cancel();
        for pool in &self.0.pools {
            pool.clear();
            pool.standing().retire();
        }
    }
}

/// Connects to `server` once, as a request would, and shakes hands if it is `https`; within `connect_timeout`.
pub async fn reach(server: &Server, settings: &Settings) -> Result<(), UpstreamError> {
    let standing = Standing::new(&settings.name, server.to_string(), &Gauge::default());
    let pool = Pool::new(
        server.clone(),
        settings.tls.clone(),
        standing,
        Gauge::default(),
    );
    let (patience, open) = (settings.connect_timeout, TaskTracker::new());
    pool.connect(patience, &open).await.map(drop)
}
