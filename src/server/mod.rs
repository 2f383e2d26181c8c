//! From sockets to requests: listeners, connections, HTTP/1.1 and HTTP/2. Serves any
//! [`Handler`]; knows no route.
//!
//! `app` makes one [`Server`] for the clients and one for the internal listeners, so that neither starves the other.
//!
//! Bounds: connections (accepting pauses at the limit and when descriptors run out) and those of one client, the size of a
//! head, the time a header of the PROXY protocol, a TLS handshake, a head, a silent connection and a stalled write may take, HTTP/2 streams and resets.

mod accept;
mod activity;
mod admit;
mod conn;
mod handshake;
mod head;
mod hold;
mod io;
mod linger;
mod settings;
mod taking;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::handler::Handler;
use crate::base::live::Live;
use crate::base::metrics::{CounterBy, Registry};
use crate::base::seldom::Seldom;
use crate::limits::{Shares, Slots};

pub use accept::{BindError, Listener};
pub use settings::*;

/// Serves listeners of one role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// A connection takes them once, at its beginning.
    settings: Live<Settings>,
    slots: Slots,
    /// Connections of each client.
    shares: Shares<IpAddr>,
    hints: Seldom,
    metrics: Metrics,
    next_conn: Arc<AtomicU64>,
    /// The accept loops that should be running.
    listeners: AtomicU32,
    /// Each accept loop adds a permit to the last of these.
    pulse: watch::Sender<Arc<Semaphore>>,
    /// No new connections.
    stop: CancellationToken,
    /// No new requests.
    finish: CancellationToken,
    /// No patience left.
    abort: CancellationToken,
    loops: TaskTracker,
    /// Those who serve held streams.
    holding: TaskTracker,
    /// No more connections are handed to them.
    emptied: CancellationToken,
}

/// The metrics of all servers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    accepted: Counter,
    open: Gauge,
    pauses: Counter,
    held: Gauge,
    panics: Counter,
    refused: Counter,
    turned_away: CounterBy,
    floods: Counter,
    given_up: Counter,
    handshakes: CounterBy,
}

impl Metrics {
    /// Registers them, once for all servers.
    pub fn new(registry: &Registry) -> Self {
        Self {
            accepted: registry.counter("connections_accepted", "Client connections accepted"),
            open: registry.gauge("connections_open", "Open client connections"),
            held: registry.gauge(
                "connections_held",
                "Open client connections whose streams are written past the HTTP library",
            ),
            pauses: registry.counter(
                "accept_pauses",
                "Times accepting paused for want of descriptors or memory",
            ),
            panics: registry.counter(
                "connection_panics",
                "Connections that ended by a fault of ours",
            ),
            refused: registry.counter(
                "ambiguous_messages",
                "Connections closed for a message of ambiguous framing",
            ),
            turned_away: registry.counter_by(
                "connections_refused",
                "Connections closed before a byte of HTTP or TLS was read, by reason",
            ),
            floods: registry.counter(
                "http2_floods",
                "HTTP/2 connections closed for frames that carry nothing",
            ),
            given_up: registry.counter(
                "http2_streams_given_up",
                "HTTP/2 streams reset because their client took nothing of the answer",
            ),
            handshakes: registry.counter_by(
                "tls_handshake_failures",
                "TLS handshakes that came to nothing, by reason",
            ),
        }
    }

    /// Those that a socket counts.
    fn refusals(&self) -> io::Refused {
        io::Refused {
            ambiguous: self.refused.clone(),
            floods: self.floods.clone(),
        }
    }
}

impl Server {
    /// A server without listeners.
    pub fn new(settings: Settings, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            slots: Slots::new(settings.max_connections),
            settings: Live::new(settings),
            shares: Shares::default(),
            hints: Seldom::every(admit::HINTS),
            metrics: metrics.clone(),
            next_conn: Arc::default(),
            listeners: AtomicU32::new(0),
            pulse: watch::Sender::new(Arc::new(Semaphore::new(0))),
            stop: CancellationToken::new(),
            finish: CancellationToken::new(),
            abort: CancellationToken::new(),
            loops: TaskTracker::new(),
            holding: TaskTracker::new(),
            emptied: CancellationToken::new(),
        }))
    }

    /// Has connections that come from now on go by these settings, as far as they can be changed: not `max_connections`
    /// and `fast_path`.
    pub fn configure(&self, settings: Settings) {
        self.0.settings.set(settings);
    }

    /// Serves `listener` until the server stops.
    pub fn serve<H: Handler>(&self, listener: Listener, handler: Arc<H>) {
        self.0.listeners.fetch_add(1, Ordering::Relaxed);
        self.0
            .loops
            .spawn(accept::run(self.clone(), listener, handler));
    }

    /// Waits until every accept loop has had its turn, without end if one is gone; not any more once the server stops.
    pub async fn alive(&self) {
        let round = Arc::new(Semaphore::new(0));
        let loops = self.0.listeners.load(Ordering::Relaxed);
        self.0.pulse.send_replace(Arc::clone(&round));
        tokio::select! {
            biased;
            () = self.0.stop.cancelled() => {}
            // The semaphore is never closed.
            _all = round.acquire_many(loops) => {}
        }
    }

    /// Accepts no more connections, and no more requests on those that are open.
    pub fn stop(&self) {
        self.0.stop.cancel();
        self.0.finish.cancel();
    }

    /// Waits until all connections are done; after `patience` they are cut off. Call [`Server::stop`] first.
    pub async fn finished(&self, patience: Duration) {
        self.0.loops.close();
        let deadline = Instant::now() + patience;
        let all = async {
            self.0.loops.wait().await;
            // Whoever was to be handed over has been.
            self.0.emptied.cancel();
            self.0.holding.close();
            self.0.holding.wait().await;
        };
        let mut all = std::pin::pin!(all);
        if timeout_at(deadline, all.as_mut()).await.is_err() {
            self.0.abort.cancel();
            all.await;
        }
    }
}
