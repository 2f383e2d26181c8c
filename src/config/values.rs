//! Durations, ranges of them, and rates, as text and back.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::Rate;
use crate::wire::duration::InvalidDuration;
pub(super) use crate::wire::duration::{parse as parse_duration, text as duration_text};

/// A text that is no range of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRange {
    #[error(transparent)]
    End(#[from] InvalidDuration),
    #[error("a range goes from the shorter to the longer, as in \"2s..6s\"")]
    Order,
}

/// Reads `"2s..6s"`, or one duration for both ends.
pub(super) fn parse_range(text: &str) -> Result<RangeInclusive<Duration>, InvalidRange> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (parse_duration(low.trim())?, parse_duration(high.trim())?);
    if low > high {
        return Err(InvalidRange::Order);
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
    fn a_range_goes_up_and_has_two_ends() {
        assert_eq!(parse_range("6s..2s"), Err(InvalidRange::Order));
        let form = InvalidRange::End(InvalidDuration::Form);
        assert_eq!(parse_range("2s.."), Err(form));
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
        fn ranges_read_back(low in 0..315_360_000_000_u64, more in 0..1_000_000_u64) {
            let low = Duration::from_millis(low);
            let range = low..=low.saturating_add(Duration::from_millis(more)).min(crate::wire::duration::LONGEST);
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
