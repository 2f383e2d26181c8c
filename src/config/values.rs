//! Durations, ranges of them, and rates, as text and back.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::Rate;

/// Longer durations are mistakes, and would overflow the clock some day.
const LONGEST: Duration = Duration::from_secs(10 * 365 * DAY);

const DAY: u64 = 86_400;

/// The units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", DAY * 1000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A text that is no duration or no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDuration {
    #[error("a duration is a whole number and a unit: ms, s, m, h or d, as in \"15s\"")]
    Form,
    #[error("a duration has at most ten years")]
    TooLong,
    #[error("a range goes from the shorter to the longer, as in \"2s..6s\"")]
    Order,
}

/// Reads `"15s"`, `"1500ms"`, `"10m"`, `"1h"`, `"1d"`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
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
pub(super) fn duration_text(duration: Duration) -> String {
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

/// Reads `"2s..6s"`, or one duration for both ends.
pub(super) fn parse_range(text: &str) -> Result<RangeInclusive<Duration>, InvalidDuration> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (parse_duration(low.trim())?, parse_duration(high.trim())?);
    if low > high {
        return Err(InvalidDuration::Order);
    }
    Ok(low..=high)
}

/// Writes a range so that it reads back.
pub(super) fn range_text(range: &RangeInclusive<Duration>) -> String {
    let (low, high) = (duration_text(*range.start()), duration_text(*range.end()));
    format!("{low}..{high}")
}

/// The units of time in a rate.
const PER: [(&str, Duration); 3] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
];

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRate {
    #[error("a rate is a whole number, a slash and s, m or h, as in \"10/m\"")]
    Form,
    #[error("a rate is from 1 to {}", u32::MAX)]
    Range,
}

/// Reads `"100/s"`, `"10/m"`, `"1000/h"`; [`Rate`]'s `Display` writes it so that it reads back.
pub(super) fn parse_rate(text: &str) -> Result<Rate, InvalidRate> {
    let (count, unit) = text.split_once('/').ok_or(InvalidRate::Form)?;
    let unit = PER.iter().find(|(name, _)| *name == unit);
    let (_, per) = *unit.ok_or(InvalidRate::Form)?;
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidRate::Form);
    }
    let count = count
        .parse::<NonZeroU32>()
        .map_err(|_| InvalidRate::Range)?;
    Ok(Rate { count, per })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_need_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("15s", 15_000),
            ("1500ms", 1500),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
        for bad in ["", "15", "s", "-1s", "1.5s", "1 week", "1h30m", "+1s"] {
            assert_eq!(parse_duration(bad), Err(InvalidDuration::Form), "{bad:?}");
        }
        for long in ["3651d", "99999999999999999999s", "9999999999999999h"] {
            assert_eq!(
                parse_duration(long),
                Err(InvalidDuration::TooLong),
                "{long:?}"
            );
        }
        assert_eq!(parse_range("6s..2s"), Err(InvalidDuration::Order));
        assert_eq!(parse_range("2s.."), Err(InvalidDuration::Form));
    }

    #[test]
    fn rates_need_a_whole_number_and_a_unit_of_time() {
        for (text, seconds) in [
            ("100/s", 1),
            ("10/m", 60),
            ("1/h", 3600),
            ("4294967295/s", 1),
        ] {
            let rate = parse_rate(text).unwrap();
            assert_eq!(
                (rate.per.as_secs(), rate.to_string()),
                (seconds, text.to_owned())
            );
        }
        for bad in [
            "", "0", "10", "/s", "10/", "10/d", "10 /s", "10/ s", "+1/s", "1.5/s", "-1/s", "1/s/s",
        ] {
            assert_eq!(parse_rate(bad), Err(InvalidRate::Form), "{bad:?}");
        }
        for bad in ["0/s", "4294967296/s", "99999999999999999999/h"] {
            assert_eq!(parse_rate(bad), Err(InvalidRate::Range), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn durations_read_back(low in 0..315_360_000_000_u64, more in 0..1_000_000_u64) {
            let low = Duration::from_millis(low);
            prop_assert_eq!(parse_duration(&duration_text(low)), Ok(low));
            let range = low..=low.saturating_add(Duration::from_millis(more)).min(LONGEST);
            prop_assert_eq!(parse_range(&range_text(&range)), Ok(range));
        }

        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            if let Ok(rate) = parse_rate(&text) {
                prop_assert_eq!(parse_rate(&rate.to_string()), Ok(rate));
            }
            if let Ok(range) = parse_range(&text) {
                prop_assert_eq!(parse_range(&range_text(&range)), Ok(range));
            }
        }
    }
}
