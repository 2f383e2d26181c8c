//! The client towards Django: one [`Upstream`] for each `[upstream.<name>]`.
//!
//! `proxy` sends requests through it, `ask` its short questions. HTTP/1.1 over TCP and unix sockets, on connections of
//! its own: each carries one request at a time and goes back to the pool only when the answer was read to its end, so
//! a cancelled request can never leave its answer behind for somebody else.
//!
//! Bounds: idle connections per server (64), the time of each step (`Settings`), what is gathered of a body.

mod answer;
mod backoff;
mod body;
mod conn;
mod error;
mod exchange;
mod gather;
mod grip;
mod head;
mod pool;
mod send;
mod settings;
mod switched;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_sending;
mod vouched;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio_util::task::TaskTracker;

use crate::base::metrics::{CounterByName, HistogramBy, Registry};
use crate::limits::Slots;

pub use answer::AnswerBody;
pub use backoff::Backoff;
pub use body::{RequestBody, Streamed};
pub use error::{AnswerError, GatherError, RequestBodyError, RequestBodyFault, UpstreamError};
pub use gather::gather;
pub use grip::Grip;
use grip::Signer;
pub use head::Head;
use pool::Pool;
pub use send::Sent;
pub use settings::{Server, Settings};
pub use switched::Switched;
pub use vouched::{Rebuilt, Vouched};

/// One upstream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    pools: Box<[Pool]>,
    /// Which server is looked at first next time.
    next: AtomicUsize,
    /// Who may be in flight, if there is a limit.
    turns: Option<Slots>,
    /// What signs requests whose answers may be held; `None` without `grip`.
    signer: Option<Signer>,
    /// The connections that are there, idle or in use.
    open: TaskTracker,
    metrics: Metrics,
}

/// The metrics of all upstreams, told apart by the upstream's name.
#[derive(Debug, Clone)]
pub struct Families {
    seconds: HistogramBy,
    connects: CounterByName,
    retries: CounterByName,
}

#[derive(Debug)]
struct Metrics {
    seconds: Histogram,
    connects: Counter,
    retries: Counter,
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
        }
    }

    fn of(&self, upstream: &str) -> Metrics {
        let label = [("upstream", upstream.to_owned())];
        Metrics {
            seconds: self.seconds.get_or_create(&label).clone(),
            connects: self.connects.get_or_create(&label).clone(),
            retries: self.retries.get_or_create(&label).clone(),
        }
    }
}

impl Upstream {
    /// An upstream without any connection yet.
    pub fn new(settings: Settings, families: &Families) -> Self {
        let metrics = families.of(&settings.name);
        let pools = settings.servers.iter().cloned().map(Pool::new).collect();
        Self(Arc::new(Inner {
            turns: settings.max_in_flight.map(|most| Slots::new(most.get())),
            signer: settings.grip.as_ref().map(Signer::new),
            settings,
            pools,
            next: AtomicUsize::new(0),
            open: TaskTracker::new(),
            metrics,
        }))
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Sets on a request what Django must know to have its answer held; nothing without `grip`.
    pub fn sign(&self, headers: &mut http::HeaderMap) {
        if let Some(signer) = &self.0.signer {
            signer.sign(headers);
        }
    }

    /// Closes the idle connections and waits, at most for `patience`, until those in use are done.
    pub async fn close(&self, patience: Duration) {
        // First, so that what is given back from now on is closed.
        self.0.open.close();
        self.0.pools.iter().for_each(Pool::clear);
        drop(tokio::time::timeout(patience, self.0.open.wait()).await);
    }
}
