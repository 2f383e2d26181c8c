//! Locks that are held for a few lines and never across an `.await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, also after a panic of another holder: every critical section of this program leaves its data whole
/// before it does anything that could panic, and one broken task must not take the listeners down with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
