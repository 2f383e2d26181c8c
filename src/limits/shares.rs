//! How many of a thing each client, or each user, may have at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use crate::base::sync::lock;

/// Counts per key; a key without any is forgotten, so the table is as large as what is being held. Cheap to clone.
#[derive(Debug)]
pub struct Shares<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One of its key's places, a guard.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    shares: Shares<K>,
    key: K,
}

impl<K> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// A place for `key`, unless it has `most` already.
    pub fn take(&self, key: K, most: usize) -> Option<Share<K>> {
        let mut counts = lock(&self.0);
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        drop(counts);
        Some(Share {
            shares: self.clone(),
            key,
        })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.shares.0);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_places_and_none_stays_behind() {
        let shares = Shares::default();
        let held = [
            shares.take("a", 2),
            shares.take("a", 2),
            shares.take("b", 2),
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(shares.take("a", 2).is_none());
        drop(held);
        assert!(shares.take("a", 1).is_some());
        assert!(lock(&shares.0).is_empty());
    }
}
