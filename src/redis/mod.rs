//! Listens to what is already published through Redis, and publishes it on the channels of this gateway.
//!
//! `app` starts the one task there is. It keeps one connection for all subscriptions, reads each message by the rules of
//! its channel, and appends what is there at once through the hub. While Redis is away streams stay open; once it is back
//! the task subscribes again, and notes first of all that the channels of its rules are in doubt: what was published
//! meanwhile is lost, and whoever listens is told so by one reset.
//!
//! Bounds: what was read from the socket and not yet taken, `paced::ROOM`; one message, `paced::LONGEST`; what is appended
//! at once, `session::MOST`. A peer that says nothing is given up within three times `Settings::pulse`.

mod address;
mod dial;
mod error;
mod paced;
mod rules;
mod session;
mod settings;
mod task;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::base::metrics::Registry;
use crate::hub::Hub;

pub use address::{Address, AddressError};
pub use error::Lost;
use rules::Rules;
use session::Session;
pub use settings::{Listen, Settings};
use task::Listening;

/// Owns the task that listens.
#[derive(Debug)]
pub struct Subscriber {
    task: JoinSet<()>,
    stop: CancellationToken,
}

impl Subscriber {
    /// Starts to listen. That Redis is not there yet is no error.
    pub fn start(settings: Settings, hub: Hub, registry: &Registry) -> Self {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(Listening::new(settings, hub, registry).run(stop.clone()));
        Self { task, stop }
    }

    /// Publishes what it has taken and ends; after `patience` in any case.
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

/// Connects and subscribes, and so says whether Redis lets this gateway in: what `tidegate check --online` does.
pub async fn reach(settings: &Settings) -> Result<(), Lost> {
    let rules = Rules::new(settings, &Registry::default());
    Session::open(settings, &rules).await.map(drop)
}
