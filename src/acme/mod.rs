//! Certificates by ACME (RFC 8555): ordered, kept in a folder, and renewed when the authority says so (RFC 9773).
//!
//! `app` has what is in the folders served before it listens, then starts one task for each table, and ends them with the
//! last connection. A table has one order at a time; all answers of the authority are at most 256 KiB, each comes within
//! 30 seconds or not at all, and an order takes at most five minutes. What was served stays until there is something new.

mod cache;
mod client;
mod error;
mod order;
mod renewal_info;
mod task;
mod when;

use std::sync::Arc;

use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::metrics::Registry;
use crate::tls::{Acme, Challenge, Settings};

use cache::Cache;
use client::Http;
pub use error::Failed;
pub(crate) use order::hmac;
use task::Task;

/// The tasks of all tables with ACME.
#[derive(Debug)]
pub struct Orders {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    hurry: Hurry,
}

/// Has what has failed tried again at once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hurry(Arc<[Arc<Notify>]>);

impl Hurry {
    /// Does not wait any longer, unless the authority has asked to.
    pub fn up(&self) {
        for due in self.0.iter() {
            due.notify_one();
        }
    }
}

/// Has every certificate that is kept served. What cannot be used is told, and ordered anew later.
pub async fn serve_what_is_kept(tables: &[Arc<Settings>]) {
    for settings in tables {
        let Some(acme) = settings.acme() else {
            continue;
        };
        let cache = Cache::new(acme, &settings.name);
        match cache.certificate().await {
            Ok(kept) => settings.identity.set(kept),
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(tls = settings.name, error, "Kept certificate not used");
            }
        }
    }
}

impl Orders {
    /// Orders and renews from now on; each table with how its names can be looked for.
    pub fn start(tables: Vec<(Arc<Settings>, Vec<Challenge>)>, registry: &Registry) -> Self {
        let outcomes = registry.counter_by(
            "acme_orders",
            "Orders of certificates by ACME, by what became of them",
        );
        // Two tables may share an account, which must not be made twice.
        let accounts = Arc::new(Mutex::new(()));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let mut hurry = Vec::new();
        for (settings, ways) in tables {
            let Some(acme) = settings.acme().cloned() else {
                continue;
            };
            let due = Arc::new(Notify::new());
            hurry.push(Arc::clone(&due));
            let accounts = Arc::clone(&accounts);
            let task = Task::new(settings, acme, ways, accounts, outcomes.clone());
            let stop = stop.clone();
            tasks.spawn(async move {
                let _stopped = stop.run_until_cancelled(task.run(due)).await;
            });
        }
        Self {
            tasks,
            stop,
            hurry: Hurry(hurry.into()),
        }
    }

    /// What has failed can be tried again by this.
    pub fn hurry(&self) -> Hurry {
        self.hurry.clone()
    }

    /// Orders no more. One that is under way is given up; the authority forgets it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic())
            }
        }
    }
}

/// Whether the authority answers, for `check --online`.
pub async fn reach(acme: &Acme) -> Result<(), Failed> {
    let http = Http::new(acme.client.clone());
    http.directory(&acme.directory).await.map(|_| ())
}
