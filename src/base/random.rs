//! Random bits: unguessable ones for names that grant something, quick ones for jitter.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bits that nobody can guess, from the operating system.
pub fn unguessable() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_ne_bytes(bytes)
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
