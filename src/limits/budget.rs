//! A number of places that can be changed while some of them are taken.
//!
//! Asks to one upstream share one; a reload may give it another size, and what is on its way counts against that at once:
//! places that are too many go when they become free.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::sync::lock;

/// The places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    most: usize,
    /// Taken places that are given up when they become free.
    owed: usize,
}

/// One taken place, a guard.
#[derive(Debug)]
pub struct Place {
    /// `None` once it is given back.
    permit: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

impl Budget {
    /// So many places, all free.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(most)),
            size: Mutex::new(Size { most, owed: 0 }),
        }))
    }

    /// A place, if one is free now.
    pub fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    /// A place, as soon as one is free; in the order of asking.
    pub async fn wait(&self) -> Place {
        let permit = Arc::clone(&self.0.places).acquire_owned().await;
        self.place(permit.expect("the semaphore is never closed"))
    }

    /// So many places from now on.
    pub fn resize(&self, most: usize) {
        let most = most.min(Semaphore::MAX_PERMITS);
        let mut size = lock(&self.0.size);
        let (more, less) = (
            most.saturating_sub(size.most),
            size.most.saturating_sub(most),
        );
        let kept = size.owed.min(more);
        self.0.places.add_permits(more - kept);
        size.owed = size.owed - kept + (less - self.0.places.forget_permits(less));
        size.most = most;
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place {
            permit: Some(permit),
            budget: self.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let mut size = lock(&self.budget.0.size);
        if size.owed > 0 {
            size.owed -= 1;
            permit.forget();
        } else {
            // Under the lock, so that a change of the size sees it taken or free.
            drop(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(budget: &Budget) -> usize {
        let places: Vec<_> = std::iter::from_fn(|| budget.take()).collect();
        places.len()
    }

    #[tokio::test]
    async fn what_is_taken_counts_against_the_new_size() {
        let budget = Budget::new(4);
        let taken: Vec<_> = (0..3).filter_map(|_| budget.take()).collect();
        budget.resize(2);
        assert_eq!(free(&budget), 0, "three are taken");
        drop(taken);
        assert_eq!(free(&budget), 2);
        let taken = budget.wait().await;
        budget.resize(5);
        assert_eq!(free(&budget), 4);
        drop(taken);
        assert_eq!(free(&budget), 5);
    }

    #[test]
    fn what_was_given_up_comes_back_before_it_is_free() {
        let budget = Budget::new(3);
        let taken: Vec<_> = (0..3).filter_map(|_| budget.take()).collect();
        budget.resize(1);
        budget.resize(4);
        assert_eq!(free(&budget), 1);
        drop(taken);
        assert_eq!(free(&budget), 4);
    }

    #[tokio::test]
    async fn who_waits_is_given_a_place_that_is_added() {
        let budget = Budget::new(0);
        let grow = async {
            tokio::task::yield_now().await;
            budget.resize(1);
        };
        let (place, ()) = tokio::join!(budget.wait(), grow);
        assert!(budget.take().is_none());
        drop(place);
        assert_eq!(free(&budget), 1);
    }
}
