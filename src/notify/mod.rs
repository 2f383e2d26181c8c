//! Lifecycle webhooks: tells Django who came on which channel and who left it.
//!
//! `app` starts the one task there is, which takes the changes from the hub in batches, one at a time, and tells each
//! until Django answers 2xx: at least once, in order, under the same id. Meanwhile what happens gathers in the hub as a
//! state, so Django's absence costs no memory here. Signed as Standard Webhooks, for the view is open to the world.
//!
//! Bound: one batch of [`MOST`] changes, one request in flight, which counts among the upstream's own.

mod error;
mod settings;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::live::Live;
use crate::base::metrics::{CounterBy, Registry};
use crate::base::random;
use crate::base::seldom::Seldom;
use crate::domain::{Change, Epoch, RequestId};
use crate::hub::{Changes, Hub};
use crate::upstream::{Backoff, Head, RequestBody, Upstream};
use crate::wire::forwarded::{Forwarded, Proto};
use crate::wire::{presence, webhook};

use error::Unheard;
pub use settings::{Sender, Settings};

/// The most changes of one batch.
const MOST: usize = 1000;
/// How long changes are gathered, so that those who come together are told together.
const GATHER: Duration = Duration::from_millis(100);
/// The first and the longest pause after Django has not heard.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often the log repeats that Django does not hear.
const REMINDER: Duration = Duration::from_secs(600);

/// Owns the task that tells.
#[derive(Debug)]
pub struct Notifier {
    task: JoinSet<()>,
    stop: CancellationToken,
    sender: Live<Sender>,
}

impl Notifier {
    /// Has the hub note who is where, and starts to tell it. Called before there are streams.
    pub fn start(settings: Settings, upstream: Upstream, hub: &Hub, registry: &Registry) -> Self {
        let (stop, sender) = (CancellationToken::new(), settings.sender.clone());
        let telling = Telling {
            changes: hub.watch(settings.leave_after, registry),
            epoch: hub.log().id(hub.log().position()).epoch,
            sent: 0,
            settings,
            upstream,
            failing: None,
            stop: stop.clone(),
            batches: registry.counter_by(
                "notify_batches",
                "Requests that told of presence, by outcome",
            ),
            told: registry.counter(
                "notify_changes",
                "Changes of presence that Django has heard",
            ),
        };
        let mut task = JoinSet::new();
        task.spawn(telling.run());
        Self { task, stop, sender }
    }

    /// As whom Django is told, which can be replaced.
    pub fn sender(&self) -> Live<Sender> {
        self.sender.clone()
    }

    /// Tells what is due, without a second try, and ends; after `patience` in any case.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        match timeout(patience, self.task.join_next()).await {
            Ok(Some(Err(error))) if error.is_panic() => {
                std::panic::resume_unwind(error.into_panic())
            }
            Ok(_) => {}
            Err(_) => self.task.shutdown().await,
        }
    }
}

/// The task's own.
struct Telling {
    changes: Changes,
    /// The life of this gateway, which begins the ids of its batches.
    epoch: Epoch,
    /// Batches so far.
    sent: u64,
    settings: Settings,
    upstream: Upstream,
    /// When to log that Django has not heard; `None` if it has heard the last request.
    failing: Option<Seldom>,
    stop: CancellationToken,
    batches: CounterBy,
    told: Counter,
}

impl Telling {
    async fn run(mut self) {
        let mut full = false;
        loop {
            let stop = self.stop.clone();
            let gathered = async {
                self.changes.due().await;
                // What filled the last batch is waiting already.
                if !full {
                    sleep(GATHER).await;
                }
            };
            // Once it is to stop, what is due is told without any wait, and that there is nothing is the end.
            stop.run_until_cancelled(gathered).await;
            let changes = self.changes.take(MOST);
            full = changes.len() == MOST;
            let heard = changes.is_empty() || self.tell(&changes).await;
            if stop.is_cancelled() && (changes.is_empty() || !heard) {
                return;
            }
        }
    }

    /// Tells one batch until Django has heard it; `false` if it has not and there is no more time.
    async fn tell(&mut self, changes: &[Change]) -> bool {
        self.sent += 1;
        let id = format!("{}-{}", self.epoch, self.sent);
        let body = presence::batch(&id, changes);
        let stop = self.stop.clone();
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let maintenance = self.upstream.maintenance();
            stop.run_until_cancelled(maintenance.over()).await;
            let last = stop.is_cancelled();
            if last && maintenance.is_on().await {
                return false;
            }
            match self.send(&id, body.clone()).await {
                Ok(()) => {
                    self.heard(changes.len());
                    return true;
                }
                Err(unheard) => self.unheard(&unheard),
            }
            if last {
                return false;
            }
            stop.run_until_cancelled(sleep(backoff.pause())).await;
        }
    }

    async fn send(&self, id: &str, body: Bytes) -> Result<(), Unheard> {
        let head = Head {
            method: Method::POST,
            target: self.settings.path.clone(),
            headers: self.headers(id, &body),
        };
        let patience = self.upstream.settings().retry_for;
        let body = RequestBody::Memory(body);
        let answer = self.upstream.send(&head, body, patience).await;
        // Nobody needs its body.
        let status = answer.map_err(Unheard::Unanswered)?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(Unheard::Refused(status))
        }
    }

    /// The header contract of any request to Django, with this gateway as the client. It says `https`, because a site
    /// that is open by https alone would answer anything else by a redirect.
    fn headers(&self, id: &str, body: &[u8]) -> HeaderMap {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Sender { host, request_id } = &*self.settings.sender.load();
        let forwarded = Forwarded {
            client,
            chain: client.to_string(),
            proto: Proto::Https,
            host: host.clone(),
            port: 443,
        };
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let request = RequestId::from_random(random::quick());
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (HOST, host.as_str()),
            (CONTENT_TYPE, "application/json"),
            (USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION"))),
            (request_id.clone(), request.as_str()),
            (webhook::ID, id),
            (webhook::TIMESTAMP, &now.to_string()),
            (
                webhook::SIGNATURE,
                &self.settings.secret.sign(id, now, body),
            ),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        forwarded.apply(&mut headers);
        headers
    }

    fn heard(&mut self, changes: usize) {
        self.batches.get_or_create(&[("outcome", "heard")]).inc();
        self.told.inc_by(changes as u64);
        if self.failing.take().is_some() {
            tracing::info!(
                upstream = self.upstream.settings().name,
                "Presence heard again"
            );
        }
    }

    fn unheard(&mut self, unheard: &Unheard) {
        self.batches
            .get_or_create(&[("outcome", unheard.outcome())])
            .inc();
        let failing = self.failing.get_or_insert(Seldom::every(REMINDER));
        if failing.now() {
            tracing::warn!(
                upstream = self.upstream.settings().name,
                path = self.settings.path.path(),
                error = unheard as &dyn std::error::Error,
                hint = unheard.hint(),
                "Presence not heard"
            );
        }
    }
}
