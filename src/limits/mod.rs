//! Counted places, how many of a thing there may be at once; and rates, how many in a time. Floor 2.

mod budget;
mod clients;
mod presence;
mod rate;
mod shares;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use budget::{Budget, Place};
pub use clients::{ClientLimit, ClientRate, network};
pub use presence::{Presence, Present};
pub use rate::{Exceeded, Rate, RateLimit};
pub use shares::{Share, Shares};

/// A number of places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Semaphore>);

/// One taken place, a guard.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Slots {
    /// So many places, all free.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, if one is free now.
    pub fn take(&self) -> Option<Slot> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(Slot)
    }

    /// A place, as soon as one is free; in the order of asking.
    pub async fn wait(&self) -> Slot {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        Slot(permit.expect("the semaphore is never closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_its_guard_is_gone() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(slot);
        let waited = slots.wait().await;
        assert!(slots.take().is_none());
        drop(waited);
    }
}
