//! Durations as people write them, in the configuration and in queries: a whole number and a unit.

use std::time::Duration;

/// Longer durations are mistakes, and would overflow the clock some day.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * DAY);

const DAY: u64 = 86_400;

/// The units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("y", 365 * DAY * 1000),
    ("d", DAY * 1000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Not a number and a unit.
    #[error("a duration is a whole number and a unit: ms, s, m, h, d or y, as in \"15s\"")]
    Form,
    /// Beyond [`LONGEST`].
    #[error("a duration has at most ten years")]
    TooLong,
}

/// Reads `"15s"`, `"1500ms"`, `"10m"`, `"1h"`, `"1d"`, `"1y"`, which is 365 days.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
    let (_, factor) = unit.ok_or(InvalidDuration::Form)?;
    if number.is_empty() {
        return Err(InvalidDuration::Form);
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or(InvalidDuration::TooLong)
}

/// Writes a duration so that it reads back, in the longest unit without a fraction.
pub fn text(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS
        .iter()
        .find(|(_, factor)| millis.is_multiple_of(*factor));
    let (name, factor) = unit.unwrap_or(&("ms", 1));
    format!("{}{name}", millis / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_a_whole_number_and_a_unit() {
        for (written, millis) in [
            ("15s", 15_000),
            ("1500ms", 1500),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("364d", 31_449_600_000),
            ("1y", 31_536_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(written), Ok(Duration::from_millis(millis)));
            assert_eq!(text(Duration::from_millis(millis)), written);
        }
        for bad in ["", "15", "s", "-1s", "1.5s", "1 week", "1h30m", "+1s"] {
            assert_eq!(parse(bad), Err(InvalidDuration::Form), "{bad:?}");
        }
        for long in ["3651d", "11y", "99999999999999999999s", "9999999999999999h"] {
            assert_eq!(parse(long), Err(InvalidDuration::TooLong), "{long:?}");
        }
    }

    proptest! {
        #[test]
        fn durations_read_back(millis in 0..315_360_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&text(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_read_without_panic(any in any::<String>()) {
            if let Ok(duration) = parse(&any) {
                prop_assert_eq!(parse(&text(duration)), Ok(duration));
            }
        }
    }
}
