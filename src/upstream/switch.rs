//! The switch for maintenance: while a file exists, Django is left alone.
//!
//! `proxy` asks it before each request of a client that leads to Django ([`Switch::is_on`]). Whatever the gateway would ask by
//! itself, for a stream that is open or because of one, waits until it is over ([`Switch::over`]), and that is no failure. One
//! for all upstreams; a reload may give it another file. Bound: the file is looked for once a second at most, by whoever comes
//! first then; the others go by what was found last. A look that takes too long finds nothing new, and until it ends there is no
//! other: what a dead file system keeps is one thread.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::base::live::Live;
use crate::base::metrics::Registry;
use crate::base::random;
use crate::base::seldom::Seldom;
use crate::limits::Slots;

/// How often the file is looked for, and how long that may take.
const LOOK: Duration = Duration::from_secs(1);

/// How often the log says that the file cannot be looked for.
const COMPLAINTS: Duration = Duration::from_secs(60);

/// The switch. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Unset: there is no maintenance.
    file: Live<Option<PathBuf>>,
    on: AtomicBool,
    looking: Seldom,
    /// One, of whoever looks.
    turn: Slots,
    complaining: Seldom,
    gauge: Gauge,
}

impl Switch {
    /// One that has no file yet.
    pub fn new(registry: &Registry) -> Self {
        Self(Arc::new(Inner {
            file: Live::new(None),
            on: AtomicBool::new(false),
            looking: Seldom::every(LOOK),
            turn: Slots::new(1),
            complaining: Seldom::every(COMPLAINTS),
            gauge: registry.gauge("maintenance", "Whether there is maintenance: 1 or 0"),
        }))
    }

    /// Goes by this file from now on, and is as that says now: the first requests after a start or a reload are not let through
    /// meanwhile.
    pub fn configure(&self, file: Option<PathBuf>) {
        if *self.0.file.load() == file {
            return;
        }
        let is_on = |file: &PathBuf| file.try_exists().unwrap_or(false);
        let is_on = file.as_ref().is_some_and(is_on);
        self.0.file.set(file);
        self.note(is_on);
    }

    /// Whether there is maintenance now.
    pub async fn is_on(&self) -> bool {
        let inner = &*self.0;
        let now = inner.file.load();
        let Some(file) = &*now else {
            return false;
        };
        if inner.looking.now() {
            let found = timeout(LOOK, self.look(file.clone())).await;
            match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                // Unless it goes by another one meanwhile.
                Ok(is_on) if Arc::ptr_eq(&now, &inner.file.load()) => self.note(is_on),
                Ok(_) => {}
                Err(error) => {
                    if inner.complaining.now() {
                        let file = file.display();
                        tracing::warn!(%file, %error, "Maintenance file cannot be looked for");
                    }
                }
            }
        }
        inner.on.load(Ordering::Relaxed)
    }

    /// Waits until there is none.
    pub async fn over(&self) {
        while self.is_on().await {
            sleep(random::jittered(LOOK)).await;
        }
    }

    /// Whether the file is there. Whoever does not wait for the end of it leaves the turn to the thread that looks.
    async fn look(&self, file: PathBuf) -> io::Result<bool> {
        let turn = self.0.turn.wait().await;
        let look = move || {
            let found = file.try_exists();
            drop(turn);
            found
        };
        spawn_blocking(look).await.map_err(io::Error::other)?
    }

    fn note(&self, is_on: bool) {
        self.0.gauge.set(is_on.into());
        match (self.0.on.swap(is_on, Ordering::Relaxed), is_on) {
            (false, true) => tracing::info!("Maintenance began"),
            (true, false) => tracing::info!("Maintenance ended"),
            (false, false) | (true, true) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_one_look_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let when_file = folder.path().join("on");
        let switch = Switch::new(&Registry::default());
        switch.configure(Some(when_file.clone()));
        std::fs::write(when_file, "").unwrap();
        // As long as a disk does not answer.
        let hanging = switch.0.turn.wait().await;
        for _ in 0..3 {
            assert!(!switch.is_on().await);
            tokio::time::advance(LOOK).await;
        }
        drop(hanging);
        assert!(switch.is_on().await);
        assert_eq!(switch.0.gauge.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_file_counts_at_once_and_none_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (here, nowhere) = (folder.path().to_owned(), folder.path().join("no"));
        let switch = Switch::new(&Registry::default());
        for (file, is_on) in [
            (None, false),
            (Some(here.clone()), true),
            (Some(nowhere), false),
            (Some(here), true),
            (None, false),
        ] {
            switch.configure(file.clone());
            assert_eq!(switch.is_on().await, is_on, "{file:?}");
            assert_eq!(switch.0.gauge.get(), i64::from(is_on), "{file:?}");
        }
        switch.over().await;
    }
}
