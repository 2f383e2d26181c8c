//! Reloading: the one task that reads the configuration anew and puts it in force, or leaves everything as it is.
//!
//! `cli` asks it at SIGHUP, `internal` at `POST /v1/reload`. The new configuration is read and checked off the event loop.
//! If it is right, all that may change does so in one go, without a wait: whoever comes from then on finds the new, and
//! what is open goes on with what it began with. What is out of use is kept here until nobody has it any more.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::build;
use super::changes;
use super::in_force::{InForce, Lasting};
use crate::acme::Hurry;
use crate::base::live::Live;
use crate::base::metrics::{CounterBy, Registry};
use crate::base::{log, systemd};
use crate::config::{self, Config, ConfigError};
use crate::hub::Hub;
use crate::internal::Internal;
use crate::internal::reload::{NotReloaded, Outcome, Requests};
use crate::notify::Sender;
use crate::proxy::Proxy;
use crate::publish::Publisher;
use crate::record::Recorder;
use crate::server::Server;
use crate::stream::grip::Links;
use crate::upstream::Upstream;
use crate::wire::reload::Reloaded;

/// Where the configuration comes from. Cheap to clone.
#[derive(Clone)]
pub struct Source(Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>);

impl Source {
    /// Whatever `read` gives; it may block.
    pub fn new(read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// A file.
    pub fn file(path: PathBuf) -> Self {
        Self::new(move || config::load(&path))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// What a reload reaches.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) hub: Hub,
    pub(super) publisher: Publisher,
    pub(super) recorder: Recorder,
    pub(super) proxy: Arc<Proxy>,
    pub(super) internal: Arc<Internal>,
    /// The public and the internal one.
    pub(super) servers: (Server, Server),
    pub(super) hurry: Hurry,
    /// As whom Django is told of presence; `None` if it is not told.
    pub(super) sender: Option<Live<Sender>>,
}

/// Owns the task.
#[derive(Debug)]
pub(super) struct Reloading {
    task: JoinSet<Rest>,
    stop: CancellationToken,
}

/// What there is in force, and what is out of use but not done.
#[derive(Debug)]
pub(super) struct Rest {
    made: InForce,
    upstreams: Vec<Upstream>,
    links: Vec<Links>,
}

/// The task's own.
struct Reloader {
    source: Source,
    lasting: Lasting,
    reached: Reached,
    rest: Rest,
    outcomes: CounterBy,
    retired: Gauge,
}

impl Reloading {
    pub(super) fn start(
        requests: Requests,
        source: Source,
        made: InForce,
        lasting: Lasting,
        reached: Reached,
        registry: &Registry,
    ) -> Self {
        let stop = CancellationToken::new();
        let reloader = Reloader {
            source,
            lasting,
            reached,
            rest: Rest {
                made,
                upstreams: Vec::new(),
                links: Vec::new(),
            },
            outcomes: registry.counter_by("reloads", "Reloads, by outcome"),
            retired: registry.gauge(
                "upstreams_retired",
                "Upstreams that are not in the configuration any more but in use, at the last reload",
            ),
        };
        let mut task = JoinSet::new();
        task.spawn(reloader.run(requests, stop.clone()));
        Self { task, stop }
    }

    /// Reloads no more; whoever waits for one is told that the end has come.
    pub(super) async fn stop(mut self) -> Rest {
        self.stop.cancel();
        let ended = self.task.join_next().await;
        ended
            .expect("the task is waited for once, here")
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Rest {
    pub(super) const fn config(&self) -> &Config {
        &self.made.config
    }

    /// Waits for the farewells, then for what is still open towards Django; for as long as is `left`.
    pub(super) async fn close(self, left: impl Fn() -> Duration) {
        for links in self.links.iter().chain(self.made.links.values()) {
            links.close().await;
        }
        let upstreams = self.upstreams.iter().chain(self.made.upstreams.values());
        for upstream in upstreams {
            upstream.close(left()).await;
        }
    }

    /// Puts `made` in the place of what there is. Who asks an upstream that is not there any more is led to the one of its
    /// name.
    fn replace(&mut self, made: InForce) {
        // The routes go here, and what they hold with them.
        let InForce {
            upstreams, links, ..
        } = std::mem::replace(&mut self.made, made);
        self.upstreams.extend(upstreams.into_values());
        self.links.extend(links.into_values());
        self.forget();
    }

    /// Drops what nobody has any more.
    fn forget(&mut self) {
        // They have upstreams.
        let now = &self.made.links;
        let is_now = |old: &Links| now.values().any(|current| current.is(old));
        self.links.retain(|old| !is_now(old) && !old.is_unused());
        let now = &self.made.upstreams;
        self.upstreams.retain(|old| {
            let current = now.get(&old.settings().name);
            if current.is_some_and(|current| current.is(old)) {
                return false;
            }
            old.retire(current);
            !old.is_unused()
        });
    }
}

impl Reloader {
    async fn run(mut self, mut requests: Requests, stop: CancellationToken) -> Rest {
        // The end first: who asks for a reload then is told of it when the requests are dropped.
        while let Some(request) = stop.run_until_cancelled(requests.next()).await {
            let told = systemd::reloading();
            let source = self.source.clone();
            let reading = spawn_blocking(move || (source.0)());
            let Some(read) = stop.run_until_cancelled(reading).await else {
                break;
            };
            let read = read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let outcome = read.map(|config| self.apply(config)).map_err(refusal);
            self.rest.forget();
            // Who reloads may have put right what stood in the way of a certificate.
            self.reached.hurry.up();
            let retired = self.rest.upstreams.len();
            self.retired.set(i64::try_from(retired).unwrap_or(i64::MAX));
            self.tell(&outcome);
            // Before the answer: what was run for the reload ends with that, and systemd looks at both.
            drop(told);
            request.answer(outcome);
        }
        self.rest
    }

    fn apply(&mut self, mut config: Config) -> Reloaded {
        let opened = self.lasting.lines_to.as_ref();
        let reloaded = changes::settle(&self.rest.made.config, &mut config, opened);
        if reloaded.changed.is_empty() {
            return reloaded;
        }
        let reached = &self.reached;
        log::set_level(config.log.level);
        reached.internal.admit(build::admitted(&config));
        reached.publisher.configure(config.publish.clone());
        reached.recorder.configure(config.publish.max_event);
        reached.hub.log().configure(config.history.clone());
        let (public, internal) = &reached.servers;
        public.configure(config.server.clone());
        internal.configure(build::internal(&config.server));
        if let Some(sender) = &reached.sender {
            sender.set(build::sender(&config));
        }
        let made = InForce::new(config, &self.lasting, Some(&self.rest.made));
        reached.proxy.replace(made.site(&self.lasting));
        self.rest.replace(made);
        reloaded
    }

    fn tell(&self, outcome: &Outcome) {
        let label = match outcome {
            Ok(reloaded) if reloaded.changed.is_empty() => "unchanged",
            Ok(_) => "changed",
            Err(_) => "refused",
        };
        self.outcomes.get_or_create(&[("outcome", label)]).inc();
        match outcome {
            Ok(Reloaded { changed, restart }) => {
                if changed.is_empty() {
                    tracing::info!("Configuration reloaded, nothing has changed");
                } else {
                    tracing::info!(changed = changed.join(", "), "Configuration reloaded");
                }
                if !restart.is_empty() {
                    let keys = restart.join(", ");
                    tracing::warn!(keys, "Restart needed for the rest of the configuration");
                }
            }
            Err(error) => {
                if let NotReloaded::Mistaken { mistakes, .. } = error {
                    for mistake in mistakes {
                        tracing::error!(
                            line = mistake.line,
                            column = mistake.column,
                            key = mistake.key,
                            error = mistake.message,
                            hint = mistake.hint,
                            "Mistake in the configuration"
                        );
                    }
                }
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "Configuration not reloaded, the one before stays");
            }
        }
    }
}

fn refusal(error: ConfigError) -> NotReloaded {
    match error {
        ConfigError::Unreadable { path, source } => NotReloaded::Unreadable {
            file: path.display().to_string(),
            cause: source.to_string(),
        },
        ConfigError::Invalid { path, problems } => NotReloaded::Mistaken {
            file: path.display().to_string(),
            mistakes: problems,
        },
    }
}
