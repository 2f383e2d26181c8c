//! The end, from the top down: not ready, accept nothing, finish requests, end streams spread over a while, so that
//! their clients do not all come back at once; then the internal listener, what Django is still to be told, the
//! connections to it, the access log.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Gateway;
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
        let (patience, spread) = match pace {
            Pace::Gentle => (self.drain, self.drain_spread),
            Pace::Quick => (Duration::from_secs(2).min(self.drain), Duration::ZERO),
        };
        tracing::info!(streams = self.hub.stream_count(), "Draining");
        let deadline = Instant::now() + patience;
        self.readiness.set(false);
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
        self.renewal.stop().await;
        if let Some(subscriber) = self.subscriber {
            subscriber.stop(INTERNAL_PATIENCE).await;
        }
        if let Some(notifier) = self.notifier {
            notifier.stop(LAST_CHANGES).await;
        }
        self.publisher.close(INTERNAL_PATIENCE).await;
        for links in self.links.values() {
            links.close().await;
        }
        for upstream in self.upstreams.values() {
            upstream.close(left()).await;
        }
        if let Some(access) = self.access {
            access.close(LAST_LINES).await;
        }
        tracing::info!("Stopped");
    }
}

/// Ends the open streams in random order, evenly over `spread`.
async fn end_streams(hub: &Hub, spread: Duration) {
    let mut streams = hub.start_drain();
    fastrand::shuffle(&mut streams);
    let started = Instant::now();
    let steps = u32::try_from(spread.as_millis() / STEP.as_millis())
        .unwrap_or(u32::MAX)
        .max(1);
    let each = streams.len().div_ceil(steps as usize).max(1);
    for (step, some) in (0_u32..).zip(streams.chunks(each)) {
        sleep_until(started + STEP * step).await;
        for id in some {
            hub.end(*id, Ending::Drain);
        }
    }
}
