//! The one cookie that matters to the gateway: that of Django's session, in requests and in answers.
//!
//! `proxy` looks here for the session a stream is opened with, and whether an answer ends it. Values are compared as bytes
//! and never kept. As in Django, the last of several cookies of one name counts.

use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};

/// What an answer does to a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'h> {
    /// The client is to forget it.
    Deleted,
    /// It has this value from now on, perhaps the one it had.
    Set(&'h [u8]),
}

/// The value of the cookie `name` in a request; an empty one is none.
pub fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    let mut values = pairs.filter_map(|pair| of_pair(pair, name));
    values.next_back().filter(|value| !value.is_empty())
}

/// What an answer does to the cookie `name` (RFC 6265, section 4.1); `None` if nothing.
pub fn change<'h>(headers: &'h HeaderMap, name: &str) -> Option<Change<'h>> {
    let lines = headers.get_all(SET_COOKIE).iter();
    let mut changes = lines.filter_map(|line| {
        let mut parts = line.as_bytes().split(|b| *b == b';');
        let value = of_pair(parts.next()?, name)?;
        let gone = value.is_empty() || parts.any(is_over);
        Some(if gone {
            Change::Deleted
        } else {
            Change::Set(value)
        })
    });
    changes.next_back()
}

/// The value of `name=value`, without the quotes it may be in.
fn of_pair<'h>(pair: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let at = pair.iter().position(|b| *b == b'=')?;
    let (key, value) = pair.split_at_checked(at)?;
    let value = value.strip_prefix(b"=")?.trim_ascii();
    let quoted = value.strip_prefix(b"\"");
    let quoted = quoted.and_then(|value| value.strip_suffix(b"\""));
    (key.trim_ascii() == name.as_bytes()).then_some(quoted.unwrap_or(value))
}

/// Whether an attribute says that the cookie's time is over: `Max-Age` of nothing, or the date that stands for the past.
fn is_over(attribute: &[u8]) -> bool {
    let text = String::from_utf8_lossy(attribute.trim_ascii()).to_ascii_lowercase();
    match text.split_once('=') {
        Some(("max-age", age)) => age.trim().parse::<i64>().is_ok_and(|age| age <= 0),
        Some(("expires", date)) => date.contains("jan 1970") || date.contains("jan-1970"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(name, line);
        }
        headers
    }

    #[test]
    fn the_last_cookie_of_the_name_counts() {
        let of = |lines: &[&str]| {
            let headers = headers(&COOKIE, lines);
            value(&headers, "sessionid").map(<[u8]>::to_vec)
        };
        assert_eq!(of(&["a=b; sessionid=x1; c=d"]), Some(b"x1".to_vec()));
        assert_eq!(
            of(&["sessionid=x1", "sessionid=\"x2\""]),
            Some(b"x2".to_vec())
        );
        assert_eq!(of(&["xsessionid=x1; sessionid; sessionidx=4"]), None);
        assert_eq!(of(&["sessionid="]), None);
        assert_eq!(of(&["sessionid=a=b"]), Some(b"a=b".to_vec()));
    }

    #[test]
    fn a_cookie_is_deleted_by_its_value_its_age_or_its_date() {
        let of = |lines: &[&str]| {
            let headers = headers(&SET_COOKIE, lines);
            match change(&headers, "sessionid") {
                None => "nothing".to_owned(),
                Some(Change::Deleted) => "deleted".to_owned(),
                Some(Change::Set(value)) => String::from_utf8_lossy(value).into_owned(),
            }
        };
        let django = r#"sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"#;
        assert_eq!(of(&[django]), "deleted");
        assert_eq!(of(&["sessionid=x; Max-Age=0"]), "deleted");
        assert_eq!(
            of(&["sessionid=x; expires=Thu, 01-Jan-1970 00:00:00 GMT"]),
            "deleted"
        );
        assert_eq!(
            of(&["sessionid=x2; HttpOnly; Max-Age=1209600; Path=/"]),
            "x2"
        );
        assert_eq!(of(&["csrftoken=a", "sessionid=x2", "other=b"]), "x2");
        assert_eq!(of(&[django, "sessionid=x3; Path=/"]), "x3");
        assert_eq!(of(&["csrftoken=a; Max-Age=0"]), "nothing");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line in prop::collection::vec(0x20_u8..0x7f, 0..60)) {
            let line = String::from_utf8(line).unwrap();
            let _value = value(&headers(&COOKIE, &[&line]), "sessionid");
            let _change = change(&headers(&SET_COOKIE, &[&line]), "sessionid");
        }
    }
}
