//! A value that a reload replaces while others read it.
//!
//! `app` sets it; a request takes the value once, at its beginning, and keeps it to its end: what is open goes on with what
//! it started with. Reading takes no lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A value that can be replaced as a whole. Cheap to clone; all clones see the replacement.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// This value, until it is replaced.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// The value in force now; it stays what it is for who holds it.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Has whoever reads from now on see `value`.
    pub fn set(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_the_value_keeps_it_and_others_see_the_new_one() {
        let live = Live::new(1);
        let (held, other) = (live.load(), live.clone());
        live.set(2);
        assert_eq!((*held, *other.load()), (1, 2));
    }
}
