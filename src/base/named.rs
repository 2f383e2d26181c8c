//! A table of things with names, each found by its name or, without a look at the name, by its key.
//!
//! The name stands once, beside its thing; the index holds keys only. A key is good until its thing is taken out, and may
//! be that of another thing afterwards.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;
use slab::Slab;

/// Below so many things no memory is given back.
const SMALL: usize = 1024;

/// Things by name. The hasher is keyed at random: names come from strangers.
#[derive(Debug)]
pub struct Named<N, T> {
    hasher: RandomState,
    index: HashTable<u32>,
    all: Slab<(N, T)>,
}

impl<N, T> Default for Named<N, T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            index: HashTable::new(),
            all: Slab::new(),
        }
    }
}

impl<N: Eq + Hash, T> Named<N, T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The key of the thing with this name.
    pub fn key(&self, name: &N) -> Option<u32> {
        let found = |key: &u32| self.name(*key) == Some(name);
        let hash = self.hasher.hash_one(name);
        self.index.find(hash, found).copied()
    }

    /// The name of the thing with this key.
    pub fn name(&self, key: u32) -> Option<&N> {
        self.all.get(key as usize).map(|(name, _)| name)
    }

    /// The thing with this key.
    pub fn at(&self, key: u32) -> Option<&T> {
        self.all.get(key as usize).map(|(_, thing)| thing)
    }

    /// The thing with this key.
    pub fn at_mut(&mut self, key: u32) -> Option<&mut T> {
        self.all.get_mut(key as usize).map(|(_, thing)| thing)
    }

    /// The thing with this name.
    pub fn get(&self, name: &N) -> Option<&T> {
        self.at(self.key(name)?)
    }

    /// Adds a thing whose name is not there yet; its key.
    ///
    /// # Panics
    ///
    /// With more than 2³² things.
    pub fn insert(&mut self, name: N, thing: T) -> u32 {
        let hash = self.hasher.hash_one(&name);
        let key = u32::try_from(self.all.insert((name, thing)));
        let key = key.expect("memory ends before 2^32 things");
        let (hasher, all) = (&self.hasher, &self.all);
        self.index
            .insert_unique(hash, key, |key| hash_of(hasher, all, *key));
        key
    }

    /// Takes the thing with this key out. What many took is given back when they are gone.
    pub fn remove(&mut self, key: u32) {
        let Some((name, _)) = self.all.try_remove(key as usize) else {
            return;
        };
        let hash = self.hasher.hash_one(&name);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == key) {
            found.remove();
        }
        self.give_back();
    }

    /// Looks only at some lengths: what it does takes as long as there are things.
    fn give_back(&mut self) {
        let len = self.len();
        let (few, many) = (len == 0 || len.is_power_of_two(), SMALL.max(8 * len));
        if few && self.index.capacity() > many {
            let (hasher, all) = (&self.hasher, &self.all);
            self.index
                .shrink_to(2 * len, |key| hash_of(hasher, all, *key));
        }
        if few && self.all.capacity() > many {
            self.all.shrink_to_fit();
        }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&N, &T)> {
        self.all.iter().map(|(_, (name, thing))| (name, thing))
    }
}

fn hash_of<N: Hash, T>(hasher: &RandomState, all: &Slab<(N, T)>, key: u32) -> u64 {
    all.get(key as usize)
        .map_or(0, |(name, _)| hasher.hash_one(name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(steps in vec((0_u16..64, any::<bool>()), 0..400)) {
            let (mut named, mut map) = (Named::default(), HashMap::new());
            for (step, (name, comes)) in steps.into_iter().enumerate() {
                match named.key(&name) {
                    Some(key) if !comes => {
                        named.remove(key);
                        map.remove(&name);
                    }
                    None if comes => {
                        let key = named.insert(name, step);
                        map.insert(name, step);
                        prop_assert_eq!(named.name(key), Some(&name));
                        prop_assert_eq!(named.at_mut(key), Some(&mut step.clone()));
                    }
                    _ => {}
                }
                prop_assert_eq!(named.len(), map.len());
                prop_assert_eq!(named.get(&name), map.get(&name));
            }
            let all: HashMap<_, _> = named.iter().map(|(name, step)| (*name, *step)).collect();
            prop_assert_eq!(all, map);
        }
    }

    #[test]
    fn what_many_took_is_given_back() {
        let mut named = Named::default();
        let keys: Vec<_> = (0..10_000).map(|name| named.insert(name, ())).collect();
        let most = named.index.capacity();
        for key in keys.into_iter().skip(8) {
            named.remove(key);
        }
        assert!(named.index.capacity() < most / 4);
        assert!(named.all.capacity() < most / 4);
        assert!((0..8).all(|name| named.get(&name).is_some()));
        assert_eq!((named.len(), named.get(&8)), (8, None));
    }
}
