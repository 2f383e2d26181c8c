//! The one reader of a request's path: the route rule, the ask and the channel template all see this text.
//!
//! `proxy` and `publish` call [`decode`] once per request, as WSGI does for `PATH_INFO`, and answer 400 to an error.
//! Invariant: a decoded path begins with `/`, is UTF-8 without control characters, and no segment of it is `.` or `..`,
//! whichever slash a later reader takes for a separator. Django itself is sent the target as the client wrote it.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What may stand in a segment as it is: the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a path cannot be read in exactly one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/` (as in `OPTIONS *`).
    #[error("the path does not begin with a slash")]
    Start,
    /// A `?` or `#` as it is: then this is more than a path.
    #[error("the path contains a delimiter")]
    Delimiter,
    /// A `%` without two hexadecimal digits.
    #[error("the path contains a bad escape")]
    Escape,
    /// A control character, as it is or escaped.
    #[error("the path contains a control character")]
    Control,
    /// The decoded bytes are no UTF-8.
    #[error("the path is not UTF-8")]
    Utf8,
    /// A `.` or `..` segment, between slashes or backslashes.
    #[error("the path contains a dot segment")]
    Dots,
}

/// Decodes the path of a request target, once.
pub fn decode(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::Start);
    }
    if is_plain(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    if raw.contains(['?', '#']) {
        return Err(PathError::Delimiter);
    }
    if escapes(raw).any(|digits| !is_escape(digits)) {
        return Err(PathError::Escape);
    }
    let path = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| PathError::Utf8)?;
    if path.bytes().any(|b| b.is_ascii_control()) {
        return Err(PathError::Control);
    }
    if path.split(['/', '\\']).any(|s| s == "." || s == "..") {
        return Err(PathError::Dots);
    }
    Ok(path)
}

/// Whether each byte stands for itself and no segment begins with a dot: most paths.
fn is_plain(raw: &str) -> bool {
    let mut before = 0;
    raw.bytes().all(|byte| {
        let is_plain = match byte {
            b'.' => before != b'/',
            b'%' | b'?' | b'#' | b'\\' => false,
            _ => byte.is_ascii_graphic(),
        };
        before = byte;
        is_plain
    })
}

/// Whether `raw` hides a separator from one reader that another may see: an escaped `/` or `\`, a backslash, or an
/// escaped `%` (the mark of double encoding). Routes that hold streams refuse such a path.
pub fn hides_separator(raw: &str) -> bool {
    raw.contains('\\')
        || escapes(raw).any(|digits| {
            matches!(
                digits,
                [b'2', b'f' | b'F' | b'5', ..] | [b'5', b'c' | b'C', ..]
            )
        })
}

/// The rest of the path `raw` behind `prefix`, as it is written there: `/api` off `/api/x` is `/x`. `prefix` is decoded,
/// whole segments without a slash at the end. `None` if the rest is not a path of its own, beginning with one slash that
/// nobody takes for the mark of a host.
pub fn without_prefix<'a>(raw: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = raw;
    for wanted in prefix.bytes() {
        let (byte, after) = first_byte(rest)?;
        if byte != wanted {
            return None;
        }
        rest = after;
    }
    if rest.is_empty() {
        return Some("/");
    }
    let next = first_byte(rest.strip_prefix('/')?).map(|(byte, _)| byte);
    (!matches!(next, Some(b'/' | b'\\'))).then_some(rest)
}

/// The same of a target, whose query stays.
pub fn target_without_prefix(target: &PathAndQuery, prefix: &str) -> Option<PathAndQuery> {
    let rest = without_prefix(target.path(), prefix)?;
    let rest = match target.query() {
        Some(query) => format!("{rest}?{query}").try_into(),
        None => rest.try_into(),
    };
    rest.ok()
}

/// The first byte, decoded, and what comes after it. What is cut within a character is no text any more.
fn first_byte(raw: &str) -> Option<(u8, &str)> {
    if let Some(digits) = raw.strip_prefix('%') {
        let byte = u8::from_str_radix(digits.get(..2)?, 16).ok()?;
        return Some((byte, digits.get(2..)?));
    }
    Some((*raw.as_bytes().first()?, raw.get(1..)?))
}

/// Whether `raw` has an escaped `/`, or a backslash in any form: one reader's name of a file, another's path to it.
pub fn hides_slash(raw: &str) -> bool {
    raw.contains('\\')
        || escapes(raw)
            .any(|digits| matches!(digits, [b'2', b'f' | b'F', ..] | [b'5', b'c' | b'C', ..]))
}

/// Escapes `segment` so that it is exactly one segment of a path. The segments `.` and `..` have no spelling that
/// [`decode`] takes.
pub fn encode_segment(segment: &str) -> String {
    utf8_percent_encode(segment, ESCAPED).to_string()
}

/// What follows each `%`.
fn escapes(raw: &str) -> impl Iterator<Item = &[u8]> {
    raw.split('%').skip(1).map(str::as_bytes)
}

fn is_escape(digits: &[u8]) -> bool {
    matches!(digits, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_decoded_once() {
        for (raw, path) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a%20b", "/a b"),
            ("/%C3%A4", "/ä"),
            ("/ä", "/ä"),
            ("//x/", "//x/"),
            ("/a%2fb", "/a/b"),
            ("/a%252fb", "/a%2fb"),
            ("/a+b", "/a+b"),
            ("/...", "/..."),
            ("/.well-known", "/.well-known"),
            ("/a%3Fb", "/a?b"),
            ("/a..b/.c", "/a..b/.c"),
            ("/a.b/c..", "/a.b/c.."),
        ] {
            assert_eq!(decode(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (raw, error) in [
            ("", PathError::Start),
            ("*", PathError::Start),
            ("a/b", PathError::Start),
            ("%2fa", PathError::Start),
            ("/%", PathError::Escape),
            ("/%2", PathError::Escape),
            ("/%2g", PathError::Escape),
            ("/%%41", PathError::Escape),
            ("/%+1", PathError::Escape),
            ("/\0", PathError::Control),
            ("/%00", PathError::Control),
            ("/a%0d%0ab", PathError::Control),
            ("/%7f", PathError::Control),
            ("/a\tb", PathError::Control),
            ("/%ff", PathError::Utf8),
            ("/%c0%af", PathError::Utf8),
            ("/%ed%a0%80", PathError::Utf8),
            ("/..", PathError::Dots),
            ("/a/../b", PathError::Dots),
            ("/a/.", PathError::Dots),
            ("/./a", PathError::Dots),
            ("/a%2f%2e%2E%2fb", PathError::Dots),
            ("/a\\..\\b", PathError::Dots),
            ("/a%5c..", PathError::Dots),
            ("/a?b", PathError::Delimiter),
            ("/a#b", PathError::Delimiter),
        ] {
            assert_eq!(decode(raw), Err(error), "{raw:?}");
        }
    }

    #[test]
    fn hidden_separators_are_found_in_any_case() {
        for raw in [
            "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a\\b", "/%252f", "/%25",
        ] {
            assert!(hides_separator(raw), "{raw}");
            assert_eq!(hides_slash(raw), !raw.contains("%25"), "{raw}");
        }
        for raw in ["/a/b", "/2f/5c", "/%20%41", "/%2", "/%", "/%22f"] {
            assert!(!hides_separator(raw) && !hides_slash(raw), "{raw}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_by_whole_segments() {
        for (raw, rest) in [
            ("/api/x", Some("/x")),
            ("/api", Some("/")),
            ("/api/", Some("/")),
            ("/%61p%69/%78", Some("/%78")),
            ("/api/api/x", Some("/api/x")),
            ("/apix", None),
            ("/ap", None),
            ("/api%2fx", None),
            ("/api//x", None),
            ("/api/%2fx", None),
            ("/api/\\x", None),
            ("/api/%5cx", None),
            ("/other/x", None),
            ("/%zz", None),
            ("/api%", None),
        ] {
            assert_eq!(without_prefix(raw, "/api"), rest, "{raw}");
        }
        assert_eq!(without_prefix("/%C3%A4/x", "/ä"), Some("/x"));
    }

    proptest! {
        #[test]
        fn what_is_left_is_one_path(raw in "(/|api|%2F|%5c|\\\\|a|%61|ä|%){0,10}") {
            if let Some(rest) = without_prefix(&raw, "/api") {
                prop_assert!(rest.starts_with('/') && !rest.starts_with("//"));
                prop_assert!(rest == "/" || raw.ends_with(rest));
            }
        }

        #[test]
        fn an_encoded_segment_reads_back(segment in "[^\0-\u{1f}\u{7f}]{0,20}") {
            prop_assume!(segment.split(['/', '\\']).all(|s| s != "." && s != ".."));
            let raw = format!("/{}", encode_segment(&segment));
            prop_assert_eq!(raw.matches('/').count(), 1);
            prop_assert_eq!(decode(&raw), Ok(format!("/{segment}").into()));
        }

        #[test]
        fn what_is_decoded_keeps_the_invariant(raw in "(/|%2e|%2F|%5c|\\\\|\\.|%|%00|a|ä|%c3%a4|\\PC){0,16}") {
            let _hides = hides_separator(&raw);
            if let Ok(path) = decode(&format!("/{raw}")) {
                prop_assert!(path.starts_with('/') && !path.chars().any(|c| c.is_ascii_control()));
                prop_assert!(path.split(['/', '\\']).all(|s| s != "." && s != ".."));
            }
        }
    }
}
