//! What anybody could cause without end, and is done once in a while only: a hint in the log, the tidying of a table.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::sync::lock;

/// A thing that may be done at most once in a while.
#[derive(Debug)]
pub struct Seldom {
    pause: Duration,
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    /// At most once in each `pause`.
    pub const fn every(pause: Duration) -> Self {
        Self {
            pause,
            last: Mutex::new(None),
        }
    }

    /// Whether it may be done now; if so, the pause begins.
    pub fn now(&self) -> bool {
        let mut last = lock(&self.last);
        let may = last.is_none_or(|last| last.elapsed() >= self.pause);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_may_be_done_once_in_each_pause() {
        let seldom = Seldom::every(Duration::from_secs(60));
        assert!(seldom.now());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!seldom.now());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(seldom.now() && !seldom.now());
    }
}
