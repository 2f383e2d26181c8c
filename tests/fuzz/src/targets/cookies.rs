//! `Cookie` and `Set-Cookie` of any lines, against a reader that is written for clearness alone.

use http::header::{COOKIE, SET_COOKIE};
use tidegate::wire::cookies::{Change, change, value};

use crate::parts::values;

const NAME: &str = "sessionid";

pub fn check(data: &[u8]) -> Option<()> {
    let found = value(&values(&COOKIE, data)?, NAME).map(<[u8]>::to_vec);
    let pieces = data.split(|&b| matches!(b, b'\n' | b';'));
    let last = pieces.filter_map(of_piece).next_back().unwrap_or_default();
    assert_eq!(found.unwrap_or_default(), last);

    let answer = values(&SET_COOKIE, data)?;
    let lines = data.split(|&b| b == b'\n');
    let set = lines
        .filter_map(|line| of_piece(line.split(|&b| b == b';').next()?))
        .next_back();
    match (change(&answer, NAME), set) {
        (None, None) => {}
        (Some(Change::Set(value)), Some(last)) => assert!(value == last && !value.is_empty()),
        (Some(Change::Deleted), Some(last)) => {
            let over = data.to_ascii_lowercase();
            let says = |what: &[u8]| over.windows(what.len()).any(|window| window == what);
            assert!(last.is_empty() || says(b"max-age") || says(b"expires"));
        }
        differ => panic!("{differ:?}"),
    }
    Some(())
}

/// The value if `piece` is a cookie of the name.
fn of_piece(piece: &[u8]) -> Option<&[u8]> {
    let piece = piece.trim_ascii().strip_prefix(NAME.as_bytes())?;
    let value = piece.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ => Some(value),
    }
}
