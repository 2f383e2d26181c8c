//! The turns of requests to an upstream that is given only so many at once.
//!
//! Bounds: [`MOST_WAITING`] wait, in the order of coming, each for `queue_timeout`. Who comes beyond is told so at once.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::timeout;

use super::error::UpstreamError;
use crate::base::metrics::Counted;
use crate::limits::{Slot, Slots};

/// Requests that wait for their turn. An upstream that is so far behind does not catch up within `queue_timeout`.
pub(super) const MOST_WAITING: usize = 10_000;

/// Who may be in flight, and who waits for it.
#[derive(Debug)]
pub(super) struct Queue {
    turns: Slots,
    places: Slots,
    waiting: Gauge,
}

impl Queue {
    /// With so many turns, all free.
    pub(super) fn new(turns: usize, waiting: Gauge) -> Self {
        Self {
            turns: Slots::new(turns),
            places: Slots::new(MOST_WAITING),
            waiting,
        }
    }

    /// A turn, at the latest after `patience`.
    pub(super) async fn turn(&self, patience: Duration) -> Result<Slot, UpstreamError> {
        // Who waits is served in order: a turn is free only while nobody does.
        if let Some(turn) = self.turns.take() {
            return Ok(turn);
        }
        let _place = self.places.take().ok_or(UpstreamError::Queue)?;
        let _waiting = Counted::new(&self.waiting);
        let turn = timeout(patience, self.turns.wait()).await;
        turn.map_err(|_| UpstreamError::Queue)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_who_comes_beyond_is_told_at_once() {
        let gauge = Gauge::default();
        let queue = Queue::new(1, gauge.clone());
        let patience = Duration::from_secs(10);
        let turn = queue.turn(patience).await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| Box::pin(queue.turn(patience)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(gauge.get(), 10_000);
        let beyond = pin!(queue.turn(patience)).poll(&mut cx);
        assert!(matches!(beyond, Poll::Ready(Err(UpstreamError::Queue))));
        drop(turn);
        let first = waiting.remove(0).await.unwrap();
        assert_eq!(gauge.get(), 9_999, "in order");
        drop((first, waiting));
        assert_eq!(gauge.get(), 0);
        let turn = queue.turn(patience).await.unwrap();
        let late = queue.turn(patience).await;
        assert!(matches!(late, Err(UpstreamError::Queue)));
        drop(turn);
    }
}
