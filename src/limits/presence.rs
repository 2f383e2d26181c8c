//! Who is there, counted, so that what nobody needs any more can end after a while.
//!
//! Used by `record`: a recording goes on for as long as it has viewers, and for a while after the last has left.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// A count of those who are there. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Presence(watch::Sender<usize>);

/// One who is there, a guard.
#[derive(Debug)]
pub struct Present(watch::Sender<usize>);

impl Presence {
    /// One more, until the guard is dropped.
    pub fn enter(&self) -> Present {
        self.0.send_modify(|count| *count += 1);
        Present(self.0.clone())
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Returns when nobody has been there for `time`; a short visit begins it anew.
    pub async fn empty_for(&self, time: Duration) {
        let mut changes = self.0.subscribe();
        loop {
            let somebody = *changes.borrow_and_update() > 0;
            // The sender lives in `self`, so waiting never fails.
            let change = changes.changed();
            if somebody {
                drop(change.await);
            } else if timeout(time, change).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_short_visit_begins_the_wait_anew() {
        let (presence, began) = (Presence::default(), Instant::now());
        let first = presence.enter();
        let visits = async {
            sleep(Duration::from_secs(5)).await;
            drop(first);
            sleep(Duration::from_secs(50)).await;
            drop(presence.enter());
        };
        tokio::join!(visits, presence.empty_for(Duration::from_secs(60)));
        assert_eq!(began.elapsed().as_secs(), 5 + 50 + 60);
        assert_eq!(presence.count(), 0);
    }
}
