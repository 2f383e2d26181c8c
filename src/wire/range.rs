//! `Range`: which part of an answer a client wants (RFC 9110, section 14).
//!
//! Called for a file whose length is known. One range is served; several at once are answered with the whole, which a
//! server may always do (14.2) and which no list of overlapping ranges can make dear. What cannot be read is ignored.

use std::num::NonZeroUsize;
use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;
use http_range_header::{SyntacticallyCorrectRange, parse_range_header_with_max_ranges};

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Nothing of what is there.
    Unsatisfiable,
}

/// What a request wants of `length` bytes.
pub fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Wanted::Whole;
    };
    let Some(range) = line.to_str().ok().and_then(single) else {
        return Wanted::Whole;
    };
    let (start, end) = match range {
        SyntacticallyCorrectRange::FromStart(start) => (start, length),
        SyntacticallyCorrectRange::Indexed(start, last) => {
            (start, last.saturating_add(1).min(length))
        }
        SyntacticallyCorrectRange::FromLast(0) => return Wanted::Unsatisfiable,
        // Nothing has no last bytes, and cannot be written as a part.
        SyntacticallyCorrectRange::FromLast(_) if length == 0 => return Wanted::Whole,
        SyntacticallyCorrectRange::FromLast(last) => (length.saturating_sub(last), length),
    };
    if start >= length {
        return Wanted::Unsatisfiable;
    }
    Wanted::Part(start..end)
}

/// The one range that was asked for.
fn single(text: &str) -> Option<SyntacticallyCorrectRange> {
    let parsed = parse_range_header_with_max_ranges(text, NonZeroUsize::MIN).ok()?;
    match parsed.into_ranges().as_slice() {
        [range] => Some(*range),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn of(text: &str, length: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(text).unwrap());
        wanted(&headers, length)
    }

    #[test]
    fn one_range_is_served_and_the_rest_is_the_whole() {
        for (text, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-9", Wanted::Part(0..10)),
            ("BYTES=2-5", Wanted::Part(2..6)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=5-1000", Wanted::Part(5..10)),
            ("bytes=5-99999999999999999999", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-1000", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=10-12", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=0-,0-,0-,0-", Wanted::Whole),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1--2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(of(text, 10), expected, "{text:?}");
        }
        assert_eq!(of("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(of("bytes=-5", 0), Wanted::Whole);
        assert_eq!(
            of("bytes=-5", u64::MAX),
            Wanted::Part(u64::MAX - 5..u64::MAX)
        );
        assert_eq!(wanted(&HeaderMap::new(), 10), Wanted::Whole);
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        }
        assert_eq!(wanted(&twice, 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_whole(text in "bytes=[0-9, a-]{0,40}|[ -~]{0,24}", length in 0..100_u64) {
            if let Wanted::Part(part) = of(&text, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
