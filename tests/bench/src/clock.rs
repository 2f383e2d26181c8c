//! One clock for everything: `CLOCK_MONOTONIC` in nanoseconds, which sender and receiver in one process share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Now, in nanoseconds.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The CPU time of this process so far, in nanoseconds.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Measures how busy this process is: a load that has no time left measures itself.
#[derive(Debug)]
pub struct Watch {
    began: u64,
    cpu: u64,
}

impl Watch {
    pub fn start() -> Self {
        Self {
            began: now(),
            cpu: cpu(),
        }
    }

    /// The part of the time since the start in which there was something to do.
    pub fn busy(&self) -> f64 {
        seconds(cpu() - self.cpu) / seconds((now() - self.began).max(1))
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND as f64
}

/// Seconds of the command line as nanoseconds.
pub fn nanoseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e9) as u64
}
