//! Time for thousands of streams: ticks, which are small, and one timer for all of them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// How exactly a stream is due. 2^32 of them are more than six years.
const TICK: Duration = Duration::from_millis(50);
const TICKS_A_SECOND: u64 = 20;

/// Counts ticks from its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The tick that has begun.
    pub(super) fn tick(self, at: Instant) -> u32 {
        Self::ticks(at.saturating_duration_since(self.0))
    }

    /// The first tick that begins at `at` or later.
    pub(super) fn tick_after(self, at: Instant) -> u32 {
        let since = at.saturating_duration_since(self.0);
        let rounded = since.saturating_add(TICK.saturating_sub(Duration::from_nanos(1)));
        Self::ticks(rounded)
    }

    /// Whole ticks.
    pub(super) fn ticks(time: Duration) -> u32 {
        let each_second = time.as_secs().saturating_mul(TICKS_A_SECOND);
        let rest = u64::from(time.subsec_nanos() / TICK.subsec_nanos());
        u32::try_from(each_second.saturating_add(rest)).unwrap_or(u32::MAX)
    }

    pub(super) fn instant(self, tick: u32) -> Instant {
        self.0 + TICK * tick
    }
}

/// The one timer.
#[derive(Debug)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Ready at `next` or, seldom, too early. It is moved only where it would fire too late.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, next: Option<Instant>) -> Poll<()> {
        let Some(next) = next else {
            return Poll::Pending;
        };
        let timer = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if timer.deadline() > next || timer.is_elapsed() {
            timer.as_mut().reset(next);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tick_is_never_earlier_than_what_is_due() {
        let clock = Clock::start();
        for millis in [0, 1, 49, 50, 51, 15_000] {
            let at = Instant::now() + Duration::from_millis(millis);
            let tick = clock.tick_after(at);
            assert!(clock.instant(tick) >= at, "{millis}");
            assert!(clock.instant(tick) < at + TICK, "{millis}");
            assert!(clock.tick(clock.instant(tick)) == tick, "{millis}");
        }
    }
}
