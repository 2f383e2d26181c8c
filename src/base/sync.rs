//! Locks that are held for a few lines and never across an `.await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, also after a panic of another holder: every critical section of this program leaves its data whole
/// before it does anything that could panic, and one broken task must not take the listeners down with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(test)]
    between::step();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two critical sections anything may happen. In tests, something does: before the n-th lock that this thread
/// takes, a closure runs. So an operation is tried against another at every point between the two.
#[cfg(test)]
pub(crate) mod between {
    use std::cell::RefCell;

    type Due = (usize, Box<dyn FnOnce()>);

    thread_local! {
        static DUE: RefCell<Option<Due>> = const { RefCell::new(None) };
    }

    /// Runs `meanwhile` before the `n`-th lock from now, counted from zero.
    pub(crate) fn before_lock(n: usize, meanwhile: impl FnOnce() + 'static) {
        DUE.set(Some((n, Box::new(meanwhile))));
    }

    /// Forgets what was due; whether it was still to come.
    pub(crate) fn is_still_due() -> bool {
        DUE.take().is_some()
    }

    pub(super) fn step() {
        let due = DUE.with_borrow_mut(|due| match due {
            Some((0, _)) => due.take(),
            Some((n, _)) => {
                *n -= 1;
                None
            }
            None => None,
        });
        if let Some((_, meanwhile)) = due {
            meanwhile();
        }
    }
}
