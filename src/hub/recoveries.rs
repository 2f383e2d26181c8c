//! How often streams were told that they may have missed something of which the log knows nothing. Counted for each prefix of
//! channel names, for whoever tells it may be allowed some only. Bound: the prefixes that open streams have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::sync::lock;

/// By what names of channels begin with.
#[derive(Debug, Default)]
pub(super) struct Recoveries(Mutex<HashMap<Box<str>, Arc<AtomicU64>>>);

/// How often those of one prefix were told, as one of them knows it.
#[derive(Debug, Clone)]
pub struct Recovery {
    count: Arc<AtomicU64>,
    known: u64,
}

impl Recoveries {
    /// As it is now for channels whose names begin with `prefix`.
    pub(super) fn of(&self, prefix: &str) -> Recovery {
        let mut counts = lock(&self.0);
        if !counts.contains_key(prefix) {
            // What nobody has any more need not be told of.
            counts.retain(|_, count| Arc::strong_count(count) > 1);
        }
        let count = Arc::clone(counts.entry(prefix.into()).or_default());
        let known = count.load(Ordering::Acquire);
        Recovery { count, known }
    }

    /// Once more for those that are meant.
    pub(super) fn tell(&self, is_meant: impl Fn(&str) -> bool) {
        let counts = lock(&self.0);
        for (_, count) in counts.iter().filter(|(prefix, _)| is_meant(prefix)) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Recovery {
    /// Whether they were told since.
    pub fn is_news(&self) -> bool {
        self.count.load(Ordering::Acquire) != self.known
    }

    /// From now on it is known.
    pub fn note(&mut self) {
        self.known = self.count.load(Ordering::Acquire);
    }
}
