//! The query of a request target, read as a form (`application/x-www-form-urlencoded`), as Django reads it.
//!
//! Used for the few parameters that are the gateway's own: the last event id, a token, the fields of a publish. It never
//! fails: a bad escape stays as it is, bytes that are no UTF-8 become U+FFFD. Pairs are separated by `&` alone.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The pairs of `query` in their order; a piece without `=` is a name with an empty value, an empty piece is skipped.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (decode(name), decode(value))
        })
}

/// The value of the first pair whose name is one of `names`.
pub fn first(query: Option<&str>, names: &[&str]) -> Option<String> {
    pairs(query?)
        .find(|(name, _)| names.contains(&name.as_ref()))
        .map(|(_, value)| value.into_owned())
}

/// The query without the pairs whose name is one of `names`, otherwise as it was written.
pub fn without(query: &str, names: &[&str]) -> String {
    let is_other = |piece: &&str| {
        let name = piece.split_once('=').map_or(*piece, |(name, _)| name);
        !names.contains(&decode(name).as_ref())
    };
    let others: Vec<_> = query.split('&').filter(is_other).collect();
    others.join("&")
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(
        percent_decode(spaced.as_bytes())
            .decode_utf8_lossy()
            .into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn read(query: &str) -> Vec<(String, String)> {
        pairs(query)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    }

    #[test]
    fn queries_are_read_as_forms() {
        for (query, name, value) in [
            ("a=b", "a", "b"),
            ("a", "a", ""),
            ("&&a=b=c&", "a", "b=c"),
            ("a+b=%2B+%20", "a b", "+  "),
            ("a=%zz%4", "a", "%zz%4"),
            ("a=%ff", "a", "\u{fffd}"),
            ("=v", "", "v"),
            ("a=b;c=d", "a", "b;c=d"),
        ] {
            assert_eq!(
                read(query),
                [(name.to_owned(), value.to_owned())],
                "{query}"
            );
        }
        assert!(read("").is_empty());
    }

    #[test]
    fn the_first_of_the_names_counts() {
        let query = Some("x=0&b=1&a=2&b=3");
        assert_eq!(first(query, &["a", "b"]).as_deref(), Some("1"));
        assert_eq!(first(query, &["a"]).as_deref(), Some("2"));
        assert_eq!(first(query, &["c"]), None);
        assert_eq!(first(None, &["a"]), None);
    }

    #[test]
    fn what_is_left_is_left_as_it_was() {
        let names = ["last-event-id", "lastEventId"];
        for (query, left) in [
            ("", ""),
            ("a=%62&b&&c=+", "a=%62&b&&c=+"),
            ("lastEventId=3&a=b", "a=b"),
            ("a=b&last%2Devent-id=3&last-event-id", "a=b"),
            ("xlastEventId=1", "xlastEventId=1"),
        ] {
            assert_eq!(without(query, &names), left, "{query}");
        }
    }

    proptest! {
        #[test]
        fn pairs_read_back(written in proptest::collection::vec((".{1,6}", ".{0,6}"), 0..5)) {
            let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let query: Vec<String> = written.iter().map(|(n, v)| format!("{}={}", escape(n), escape(v))).collect();
            prop_assert_eq!(read(&query.join("&")), written);
        }

        #[test]
        fn any_text_is_read(query in "(%|&|=|\\+|%f|%ff|.){0,20}") {
            prop_assert!(pairs(&query).count() <= query.len());
        }
    }
}
