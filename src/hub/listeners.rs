//! The streams on one channel. Most channels have one (a user's own), some have all: so one stands in the table itself,
//! and only more than one have a table of their own.

use std::sync::Arc;

use slab::Slab;

use super::seat::Listener;

/// At least one stream, but for a moment at its making.
#[derive(Debug)]
pub(super) enum Listeners {
    One(Arc<Listener>),
    Many(Box<Slab<Arc<Listener>>>),
}

/// The key of one that stands alone.
pub(super) const ALONE: u32 = 0;

impl Listeners {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    /// One more; the key takes it out again.
    pub(super) fn insert(&mut self, listener: Arc<Listener>) -> u32 {
        if let Self::One(first) = self {
            let mut many = Box::new(Slab::with_capacity(2));
            // The first of a slab has the key of one that stood alone.
            many.insert(Arc::clone(first));
            *self = Self::Many(many);
        }
        match self {
            Self::One(_) => ALONE,
            Self::Many(many) => u32::try_from(many.insert(listener)).unwrap_or(u32::MAX),
        }
    }

    /// Takes one out; whether nobody is left.
    pub(super) fn remove(&mut self, key: u32) -> bool {
        match self {
            Self::One(_) => true,
            Self::Many(many) => {
                drop(many.try_remove(key as usize));
                // What a crowd took is given back when it has gone; keys stay good, for the rest stays where it is.
                if many.len() < many.capacity() / 4 {
                    many.shrink_to_fit();
                }
                many.is_empty()
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many.iter().map(|(_, listener)| listener))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl From<Arc<Listener>> for Listeners {
    fn from(listener: Arc<Listener>) -> Self {
        Self::One(listener)
    }
}
