//! Rates: so many of a thing in a second, a minute or an hour, counted by `governor`.
//!
//! A rate is a bucket of `count` that fills evenly over `per`: who was idle may do `count` at once, and never more. The
//! clock is the runtime's, so that tests may pause it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// So many in each such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; also how many at once.
    pub count: NonZeroU32,
    /// In what time.
    pub per: Duration,
}

impl Rate {
    /// The same for `governor`, which counts the time for one. Beyond one per nanosecond it counts no finer.
    pub(crate) fn quota(self) -> Quota {
        let one = (self.per / self.count.get()).max(Duration::from_nanos(1));
        Quota::with_period(one)
            .expect("the time for one is not zero")
            .allow_burst(self.count)
    }
}

impl fmt::Display for Rate {
    /// As people say it, and as the configuration has it where `per` is one of its units: `10/m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/m", self.count),
            3600 => write!(f, "{}/h", self.count),
            _ => write!(f, "{}/{:?}", self.count, self.per),
        }
    }
}

/// The time of the runtime, as `governor` wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuntimeClock(Instant);

impl Default for RuntimeClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Why something is not to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// There is room for all of it after this time, if nobody else takes it.
    For(Duration),
    /// There never is: the rate allows only so many at once.
    AtOnce(NonZeroU32),
}

/// Counts one thing against a rate.
#[derive(Debug)]
pub struct RateLimit {
    rate: Rate,
    clock: RuntimeClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>,
}

impl RateLimit {
    /// A limit of which nothing is used yet.
    pub fn new(rate: Rate) -> Self {
        let clock = RuntimeClock::default();
        Self {
            rate,
            clock,
            limiter: RateLimiter::direct_with_clock(rate.quota(), clock),
        }
    }

    /// The rate it counts against.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes `many` of it, all or none.
    pub fn take(&self, many: NonZeroU32) -> Result<(), Exceeded> {
        // `governor` would multiply first, and overflow.
        if many > self.rate.count {
            return Err(Exceeded::AtOnce(self.rate.count));
        }
        match self.limiter.check_n(many) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(Exceeded::For(
                until
                    .earliest_possible()
                    .duration_since(self.clock.now())
                    .into(),
            )),
            Err(_) => Err(Exceeded::AtOnce(self.rate.count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rate(count: u32, seconds: u64) -> Rate {
        Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(seconds),
        }
    }

    fn take(limit: &RateLimit, many: u32) -> Result<(), Exceeded> {
        limit.take(NonZeroU32::new(many).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_then_as_the_bucket_fills() {
        let limit = RateLimit::new(rate(10, 60));
        for _ in 0..10 {
            assert_eq!(take(&limit, 1), Ok(()));
        }
        assert_eq!(take(&limit, 1), Err(Exceeded::For(Duration::from_secs(6))));
        assert_eq!(take(&limit, 3), Err(Exceeded::For(Duration::from_secs(18))));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(take(&limit, 1), Ok(()));
        assert_eq!(take(&limit, 1), Err(Exceeded::For(Duration::from_secs(6))));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(
            take(&limit, 10),
            Ok(()),
            "an idle hour saves up no more than the bucket"
        );
        assert!(take(&limit, 1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_bucket_holds_never_fits() {
        let limit = RateLimit::new(rate(10, 3600));
        for many in [11, u32::MAX] {
            let most = NonZeroU32::new(10).unwrap();
            assert_eq!(take(&limit, many), Err(Exceeded::AtOnce(most)));
        }
        assert_eq!(take(&limit, 10), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_extremes_are_counted_too() {
        let fast = RateLimit::new(rate(u32::MAX, 1));
        assert_eq!(take(&fast, u32::MAX), Ok(()));
        let slow = RateLimit::new(rate(1, 3600));
        assert_eq!(take(&slow, 1), Ok(()));
        assert_eq!(
            take(&slow, 1),
            Err(Exceeded::For(Duration::from_secs(3600)))
        );
    }
}
