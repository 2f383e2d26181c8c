//! What becomes of an upstream whose settings a reload has changed or taken away.
//!
//! Its requests go on, on their own connections; nothing of it stays idle. Who sends one from then on (a slow upload that is
//! whole at last, a poll or an open stream that asks again, a link, a recording, who tells of presence) is led to the one
//! of the same name that is there now: a server that is gone must not leave open streams without an answer for ever. One
//! that is in the file no more is used on as it was, for there is nobody else to ask.

use std::sync::Arc;

use super::Upstream;

impl Upstream {
    /// Takes it out of use. `successor` is the one of the same name, if there is one; may be called again with a newer one.
    pub fn retire(&self, successor: Option<&Self>) {
        let successor = successor.map(|successor| Arc::clone(&successor.0));
        self.0.successor.store(successor);
        self.end();
    }

    /// The one that is there now: itself, unless it was retired.
    #[must_use]
    pub fn current(&self) -> Self {
        let successor = self.0.successor.load_full();
        successor.map_or_else(|| self.clone(), Self)
    }

    /// Whether it is the same one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nobody but the caller has it, nor a connection of it.
    pub fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.open.is_empty()
    }
}
