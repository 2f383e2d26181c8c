//! When each request is due: at fixed times, or as soon as there is somebody to ask.

use crate::clock::{self, SECOND};

/// The times of a run.
#[derive(Debug)]
pub struct Schedule {
    began: u64,
    end: u64,
    /// Between two requests; `None` if there are no times.
    interval: Option<f64>,
    sent: u64,
}

impl Schedule {
    /// Begins now.
    pub fn new(rate: Option<f64>, seconds: f64) -> Self {
        let began = clock::now();
        Self {
            began,
            end: began + clock::nanoseconds(seconds),
            interval: rate.map(|rate| SECOND as f64 / rate.max(0.001)),
            sent: 0,
        }
    }

    pub const fn began(&self) -> u64 {
        self.began
    }

    /// When the next is due.
    fn due(&self, now: u64) -> u64 {
        self.interval.map_or(now, |interval| {
            self.began + (self.sent as f64 * interval) as u64
        })
    }

    /// When the next one was due, if that is not later than now.
    pub fn next(&mut self, now: u64) -> Option<u64> {
        let due = self.due(now);
        if due > now || due >= self.end {
            return None;
        }
        self.sent += 1;
        Some(due)
    }

    /// Whether there will be no more.
    pub fn is_over(&self, now: u64) -> bool {
        self.due(now) >= self.end
    }

    /// For how many milliseconds none is due. The last millisecond is waited for awake.
    pub fn pause(&self) -> u64 {
        let now = clock::now();
        if self.is_over(now) {
            return 50;
        }
        self.due(now).saturating_sub(now) / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_rate_each_has_its_time_however_late_it_is_asked_for() {
        let mut schedule = Schedule::new(Some(1000.0), 0.0035);
        let began = schedule.began();
        assert_eq!(schedule.next(began), Some(began));
        assert_eq!(schedule.next(began), None);
        let late = began + SECOND;
        assert_eq!(schedule.next(late), Some(began + 1_000_000));
        assert_eq!(schedule.next(late), Some(began + 2_000_000));
        assert!(!schedule.is_over(late));
        assert_eq!(schedule.next(late), Some(began + 3_000_000));
        assert!(schedule.is_over(late) && schedule.next(late).is_none());
    }

    #[test]
    fn without_a_rate_they_are_due_until_the_end() {
        let mut schedule = Schedule::new(None, 1.0);
        let began = schedule.began();
        assert_eq!(schedule.next(began + 5), Some(began + 5));
        assert_eq!(schedule.next(began + SECOND), None);
    }
}
