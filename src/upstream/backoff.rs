//! Growing, jittered pauses between tries.

use std::time::Duration;

use crate::base::random;

/// Each pause is about twice the one before, up to a longest; all are jittered.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with about `first`, never much longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            longest,
        }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(pause * 2);
        random::jittered(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for expected in [100, 200, 300, 300] {
            let pause = backoff.pause().as_millis();
            assert!(
                (expected * 3 / 4..=expected * 5 / 4).contains(&pause),
                "{pause} is about {expected}"
            );
        }
    }
}
