//! Random bits: unguessable ones for names that grant something, quick ones for jitter.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a thread asks the operating system for at once, in names: each stream needs one, and a call for each is a call more
/// than a connection needs.
const AHEAD: usize = 32;

thread_local! {
    static UNUSED: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
}

/// Bits that nobody can guess, from the operating system; none are given twice.
///
/// # Panics
///
/// If the operating system has none.
pub fn unguessable() -> u128 {
    UNUSED.with_borrow_mut(|unused| {
        if let Some(bits) = unused.pop() {
            return bits;
        }
        let mut bytes = [[0; 16]; AHEAD];
        getrandom::fill(bytes.as_flattened_mut()).expect("the operating system gives random bytes");
        unused.extend(bytes.map(u128::from_ne_bytes));
        unused.pop().expect("it was just filled")
    })
}

/// Bits that merely differ from one call to the next.
pub fn quick() -> u128 {
    fastrand::u128(..)
}

/// A duration drawn evenly from `range`.
pub fn duration(range: &RangeInclusive<Duration>) -> Duration {
    let spread = range.end().saturating_sub(*range.start());
    *range.start() + spread.mul_f64(fastrand::f64())
}

/// `pause` with a jitter of a quarter in either direction, so that those who wait together do not come back together.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bits_are_given_twice() {
        let drawn: HashSet<_> = (0..10 * AHEAD).map(|_| unguessable()).collect();
        assert_eq!(drawn.len(), 10 * AHEAD);
    }
}
