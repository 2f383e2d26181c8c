//! Conditional requests: whether what a client has is still good (RFC 9110, section 13).
//!
//! Called by whoever answers with something that has validators of its own. The entity tag is strong; dates are whole
//! seconds. What cannot be read is as if it were not there, but for `If-Match`: whoever says that wants nothing rather than
//! the wrong thing.

use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};

/// By what a representation is known.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'v> {
    /// A strong entity tag, with its quotes.
    pub etag: &'v str,
    /// When it was last changed, in seconds since 1970.
    pub modified: u64,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered in full.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client takes it for.
    Failed,
}

/// Holds a GET or HEAD against what there is, in the order of section 13.2.2.
pub fn evaluate(headers: &HeaderMap, validators: Validators<'_>) -> Verdict {
    let Validators { etag, modified } = validators;
    if headers.contains_key(IF_MATCH) {
        if !names(headers, &IF_MATCH, etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if headers.contains_key(IF_UNMODIFIED_SINCE) {
        let since = date(headers, &IF_UNMODIFIED_SINCE);
        if since.is_some_and(|since| modified > since) {
            return Verdict::Failed;
        }
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if names(headers, &IF_NONE_MATCH, etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if date(headers, &IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether `If-None-Match` names what has this entity tag: for what has no date beside it.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    names(headers, &IF_NONE_MATCH, etag, Comparison::Weak)
}

/// Whether a `Range` counts: without `If-Range` it does, with one only if that names what there is.
pub fn range_counts(headers: &HeaderMap, validators: Validators<'_>) -> bool {
    let mut lines = headers.get_all(IF_RANGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(_), Some(_)) => false,
        (Some(line), None) => match line.as_bytes() {
            [b'"', ..] => line.as_bytes() == validators.etag.as_bytes(),
            [b'W', b'/', ..] => false,
            _ => date(headers, &IF_RANGE) == Some(validators.modified),
        },
    }
}

#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags has this one, or is `*`.
fn names(headers: &HeaderMap, name: &HeaderName, etag: &str, comparison: Comparison) -> bool {
    headers.get_all(name).iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*"
            || Tags(line).any(|(weak, tag)| {
                tag == etag.as_bytes() && (!weak || matches!(comparison, Comparison::Weak))
            })
    })
}

/// The entity tags of one line, whether weak and with their quotes, up to the first that is none. A comma may be in one.
struct Tags<'h>(&'h [u8]);

impl<'h> Iterator for Tags<'h> {
    type Item = (bool, &'h [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self
            .0
            .iter()
            .position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
        let rest = self.0.get(start..)?;
        let (weak, rest) = match rest {
            [b'W', b'/', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let [b'"', inner @ ..] = rest else {
            self.0 = &[];
            return None;
        };
        let end = inner.iter().position(|b| *b == b'"')? + 2;
        let (tag, after) = rest.split_at_checked(end)?;
        self.0 = after;
        Some((weak, tag))
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let date = httpdate::parse_http_date(line.to_str().ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const HERE: Validators<'_> = Validators {
        etag: "\"a,b\"",
        modified: 784_111_777,
    };
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn map(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn each_condition_has_its_own_way() {
        use Verdict::{Failed, NotModified, Proceed};
        for (lines, verdict) in [
            (vec![], Proceed),
            (vec![(IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (vec![(IF_NONE_MATCH, "W/\"a,b\"")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\", W/\"y\",\"a,b\"")], NotModified),
            (
                vec![(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")],
                NotModified,
            ),
            (vec![(IF_NONE_MATCH, " * ")], NotModified),
            (vec![(IF_NONE_MATCH, "\"a\"")], Proceed),
            (vec![(IF_NONE_MATCH, "a,b")], Proceed),
            (vec![(IF_NONE_MATCH, "\"a,b")], Proceed),
            (vec![(IF_NONE_MATCH, "x \"a,b\"")], Proceed),
            (vec![(IF_NONE_MATCH, "")], Proceed),
            (vec![(IF_MODIFIED_SINCE, BEFORE)], Proceed),
            (vec![(IF_MODIFIED_SINCE, THEN)], NotModified),
            (vec![(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (
                vec![(IF_MODIFIED_SINCE, AFTER), (IF_MODIFIED_SINCE, AFTER)],
                Proceed,
            ),
            // The tag knows better than the date.
            (
                vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)],
                Proceed,
            ),
            (vec![(IF_MATCH, "\"a,b\"")], Proceed),
            (vec![(IF_MATCH, "*")], Proceed),
            (vec![(IF_MATCH, "W/\"a,b\"")], Failed),
            (vec![(IF_MATCH, "\"x\"")], Failed),
            (vec![(IF_MATCH, "rubbish")], Failed),
            (
                vec![(IF_MATCH, "\"a,b\""), (IF_NONE_MATCH, "\"a,b\"")],
                NotModified,
            ),
            (vec![(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (vec![(IF_UNMODIFIED_SINCE, THEN)], Proceed),
            (vec![(IF_UNMODIFIED_SINCE, "rubbish")], Proceed),
            (
                vec![(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, BEFORE)],
                Proceed,
            ),
        ] {
            assert_eq!(evaluate(&map(&lines), HERE), verdict, "{lines:?}");
        }
    }

    #[test]
    fn a_range_counts_only_of_what_the_client_has() {
        for (lines, counts) in [
            (vec![], true),
            (vec![(IF_RANGE, "\"a,b\"")], true),
            (vec![(IF_RANGE, "W/\"a,b\"")], false),
            (vec![(IF_RANGE, "\"x\"")], false),
            (vec![(IF_RANGE, "*")], false),
            (vec![(IF_RANGE, THEN)], true),
            (vec![(IF_RANGE, BEFORE)], false),
            (vec![(IF_RANGE, AFTER)], false),
            (vec![(IF_RANGE, "\"a,b\""), (IF_RANGE, "\"a,b\"")], false),
        ] {
            assert_eq!(range_counts(&map(&lines), HERE), counts, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn a_list_with_the_tag_in_it_has_it(
            before in proptest::collection::vec("(W/)?\"[!#-~]{0,4}\"", 0..4),
            after in "[ -~]{0,12}",
        ) {
            let mut tags = before;
            tags.push(HERE.etag.to_owned());
            let line = format!("{},{after}", tags.join(" ,\t"));
            prop_assert_eq!(evaluate(&map(&[(IF_NONE_MATCH, &line)]), HERE), Verdict::NotModified);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[ -~]{0,40}") {
            for name in [IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_MODIFIED_SINCE] {
                let headers = map(&[(name, &text)]);
                let _verdict = (evaluate(&headers, HERE), range_counts(&headers, HERE));
            }
        }
    }
}
