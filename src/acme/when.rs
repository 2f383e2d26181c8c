//! When to order: pure, for `task`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::tls::Validity;

/// The pause after the first failure; it doubles with each.
const FIRST: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// The pause after too much, if nothing else is said.
const LIMITED: Duration = Duration::from_secs(60 * 60);

/// When a certificate should be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl Window {
    /// Where nothing is said: once two thirds of the life are over, within a thirtieth of it.
    pub(super) fn of(validity: Validity) -> Self {
        let life = validity.not_after.duration_since(validity.not_before);
        let start = after(validity.not_before, life / 3 * 2);
        Self {
            start,
            end: after(start, life / 30),
        }
    }

    /// A moment in it, by a number from 0 to 1: the authority wants its clients apart. One after the last tenth of the
    /// certificate has begun is not waited for, whoever says so.
    pub(super) fn moment(&self, validity: Validity, random: f64) -> Timestamp {
        let length = self.end.duration_since(self.start);
        let length = length.max(SignedDuration::ZERO);
        let into = SignedDuration::from_secs_f64(length.as_secs_f64() * random.clamp(0.0, 1.0));
        let life = validity.not_after.duration_since(validity.not_before);
        let last = after(validity.not_after, -(life / 10));
        after(self.start, into).min(last)
    }
}

fn after(start: Timestamp, wait: SignedDuration) -> Timestamp {
    start.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long to wait after so many failures in a row; `random` from 0 to 1 spreads it by a quarter to either side.
pub(super) fn pause(failures: u32, limited: bool, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let pause = if limited { pause.max(LIMITED) } else { pause };
    pause.mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-{text}T00:00:00Z").parse().unwrap()
    }

    fn ninety_days() -> Validity {
        Validity {
            not_before: at("01-01"),
            not_after: at("04-01"),
        }
    }

    #[test]
    fn without_a_word_it_is_after_two_thirds_of_the_life() {
        let window = Window::of(ninety_days());
        assert_eq!((window.start, window.end), (at("03-02"), at("03-05")));
        let moments = [0.0, 1.0].map(|random| window.moment(ninety_days(), random));
        assert_eq!(moments, [at("03-02"), at("03-05")]);
    }

    #[test]
    fn a_moment_is_in_the_window_and_never_at_the_very_end() {
        let window = |start, end| Window {
            start: at(start),
            end: at(end),
        };
        let moment = |window: Window, random| window.moment(ninety_days(), random);
        assert_eq!(moment(window("02-01", "02-03"), 0.5), at("02-02"));
        // One that ends before it begins is its beginning.
        assert_eq!(moment(window("02-03", "02-01"), 0.5), at("02-03"));
        for late in [window("03-30", "03-31"), window("11-01", "12-01")] {
            assert_eq!(moment(late, 0.5), at("03-23"));
        }
        let ever = Window {
            start: Timestamp::MIN,
            end: Timestamp::MAX,
        };
        assert_eq!(ever.moment(ninety_days(), 1.0), at("03-23"));
        assert_eq!(ever.moment(ninety_days(), 0.0), Timestamp::MIN);
    }

    #[test]
    fn a_pause_doubles_up_to_hours() {
        let middle = |failures| pause(failures, false, 0.5).as_secs() / 60;
        let pauses: Vec<_> = (1..=10).map(middle).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360]);
        assert_eq!(middle(u32::MAX), 360);
        assert_eq!(pause(1, false, 0.0).as_secs(), 45);
        assert_eq!(pause(1, false, 1.0).as_secs(), 75);
        assert_eq!(pause(1, true, 0.5).as_secs(), 3600);
        assert_eq!(pause(10, true, 0.5).as_secs(), 21_600);
    }
}
