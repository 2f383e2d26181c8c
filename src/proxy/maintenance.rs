//! The switch for maintenance: while a file exists, routes that lead to Django are not answered by it.
//!
//! `Proxy::admit` asks it for each request of such a route. Bound: the file is looked for once a second at most, by
//! whichever request comes first then; the others go by what was found last. A look that takes too long finds nothing new,
//! and until it ends there is no other: what a dead file system keeps is one thread.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, Response};
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::finish::Page;
use super::respond::{self, Refusal};
use crate::base::random;
use crate::base::seldom::Seldom;
use crate::domain::RetryMs;
use crate::limits::Slots;
use crate::stream::Body;
use crate::wire::headers;

/// How often the file is looked for, and how long that may take.
const LOOK: Duration = Duration::from_secs(1);

/// How often the log says that the file cannot be looked for.
const COMPLAINTS: Duration = Duration::from_secs(60);

/// `errors.maintenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceSettings {
    /// The file whose being there is the switch.
    pub when_file: PathBuf,
    /// What a browser is shown. Unset: that of 503 in `errors.pages`, or our own text.
    pub page: Option<Page>,
    /// When clients are to come back. Default 60 s.
    pub retry_after: Duration,
}

/// The switch.
#[derive(Debug)]
pub struct Maintenance {
    pub(super) settings: MaintenanceSettings,
    on: AtomicBool,
    looking: Seldom,
    /// One, of whoever looks.
    turn: Slots,
    complaining: Seldom,
}

impl Maintenance {
    /// A switch that is as the file says now: the first requests after a start or a reload are not let through meanwhile.
    pub fn new(settings: MaintenanceSettings) -> Self {
        let is_on = settings.when_file.try_exists().unwrap_or(false);
        Self {
            settings,
            on: AtomicBool::new(is_on),
            looking: Seldom::every(LOOK),
            turn: Slots::new(1),
            complaining: Seldom::every(COMPLAINTS),
        }
    }

    /// Whether there is maintenance now; told to `gauge` as well.
    pub(super) async fn is_on(&self, gauge: &Gauge) -> bool {
        if self.looking.now() {
            let found = timeout(LOOK, self.look()).await;
            match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(is_on) => self.note(is_on, gauge),
                Err(error) => {
                    if self.complaining.now() {
                        let file = self.settings.when_file.display();
                        tracing::warn!(%file, %error, "Maintenance file cannot be looked for");
                    }
                }
            }
        }
        self.on.load(Ordering::Relaxed)
    }

    /// Whether the file is there. Whoever does not wait for the end of it leaves the turn to the thread that looks.
    async fn look(&self) -> io::Result<bool> {
        let turn = self.turn.wait().await;
        let file = self.settings.when_file.clone();
        let look = move || {
            let found = file.try_exists();
            drop(turn);
            found
        };
        spawn_blocking(look).await.map_err(io::Error::other)?
    }

    fn note(&self, is_on: bool, gauge: &Gauge) {
        gauge.set(is_on.into());
        match (self.on.swap(is_on, Ordering::Relaxed), is_on) {
            (false, true) => tracing::info!("Maintenance began"),
            (true, false) => tracing::info!("Maintenance ended"),
            (false, false) | (true, true) => {}
        }
    }

    /// What a request gets meanwhile. An `EventSource` that is refused never comes back, so it is sent away for a while.
    pub(super) fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        let retry_after = self.settings.retry_after;
        if *method == Method::GET && headers::accepts_event_stream(headers) {
            let pause = random::jittered(retry_after);
            let pause = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX);
            return Ok(respond::come_back(RetryMs(pause)));
        }
        Err(Refusal::Maintenance(retry_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_one_look_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let when_file = folder.path().join("on");
        let switch = Maintenance::new(MaintenanceSettings {
            when_file: when_file.clone(),
            page: None,
            retry_after: LOOK,
        });
        let gauge = Gauge::default();
        std::fs::write(when_file, "").unwrap();
        // As long as a disk does not answer.
        let hanging = switch.turn.wait().await;
        for _ in 0..3 {
            assert!(!switch.is_on(&gauge).await);
            tokio::time::advance(LOOK).await;
        }
        drop(hanging);
        assert!(switch.is_on(&gauge).await);
        assert_eq!(gauge.get(), 1);
    }
}
