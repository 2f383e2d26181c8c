//! The end, from the top down: not ready, accept nothing, finish requests, end streams spread over a while, so that
//! their clients do not all come back at once; then the internal listener, what Django is still to be told, the
//! connections to it, the access log.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Gateway;
use crate::base::systemd;
use crate::hub::{Ending, Hub};

/// How often some of the streams are ended.
const STEP: Duration = Duration::from_millis(50);
/// How long internal requests have once the public side is done.
const INTERNAL_PATIENCE: Duration = Duration::from_secs(2);
/// How long Django has to hear who came and left before the end.
const LAST_CHANGES: Duration = Duration::from_secs(2);
/// How long the last lines of the access log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How fast to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Within `server.drain`, streams over `server.drain_spread`.
    Gentle,
    /// All streams at once, and little patience with requests.
    Quick,
}

impl Gateway {
    /// Ends the gateway. Events are delivered to the last moment of each stream.
    pub async fn stop(self, pace: Pace) {
        self.readiness.set(false);
        // Before the rest, so that all below is what it is to the end.
        let rest = self.reloading.stop().await;
        // After the end of a reload, for that says that the gateway is ready.
        systemd::stopping();
        let config = rest.config();
        let (patience, spread) = match pace {
            Pace::Gentle => (config.drain, config.drain_spread),
            Pace::Quick => (Duration::from_secs(2).min(config.drain), Duration::ZERO),
        };
        tracing::info!(streams = self.hub.stream_count(), "Draining");
        let deadline = Instant::now() + patience;
        self.public.stop();
        let left = || deadline.saturating_duration_since(Instant::now());
        // The connections end while the streams on them do.
        tokio::join!(end_streams(&self.hub, spread.min(patience)), async {
            self.public.finished(left()).await;
        });
        self.proxy.close(left()).await;
        self.recorder.close(left()).await;
        self.internal.stop();
        self.publisher.stop();
        self.internal.finished(INTERNAL_PATIENCE).await;
        self.certificates.stop().await;
        if let Some(subscriber) = self.subscriber {
            subscriber.stop(INTERNAL_PATIENCE).await;
        }
        if let Some(notifier) = self.notifier {
            notifier.stop(LAST_CHANGES).await;
        }
        self.publisher.close(INTERNAL_PATIENCE).await;
        rest.close(left).await;
        if let Some(access) = self.access {
            access.close(LAST_LINES).await;
        }
        tracing::info!("Stopped");
    }
}

/// Ends the open streams in random order, evenly over `spread`; few of them sooner, one at each step. Once there are none,
/// that is the end.
async fn end_streams(hub: &Hub, spread: Duration) {
    let mut streams = hub.start_drain();
    fastrand::shuffle(&mut streams);
    let started = Instant::now();
    let steps = usize::try_from(spread.as_millis() / STEP.as_millis()).unwrap_or(usize::MAX);
    let steps = steps.clamp(1, streams.len().max(1));
    let mut next = streams.iter().enumerate().peekable();
    for step in 0..steps {
        let after = STEP.saturating_mul(u32::try_from(step).unwrap_or(u32::MAX));
        // Who has left has no turn to wait for; what else is listed are the console's.
        if hub.stream_count() > 0 {
            sleep_until(started + after).await;
        }
        while let Some((_, id)) = next.next_if(|(at, _)| at * steps < (step + 1) * streams.len()) {
            hub.end(*id, Ending::Drain);
        }
    }
}
