//! Where a link of Django leads: resolution of a reference (RFC 3986, section 5) against the request's URL.
//!
//! Called when a link is about to be asked. What leads to another host is told apart from what leads nowhere: to ask it would
//! be a door to other hosts, so nobody does unless told to.

use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What cannot stand in a target as it is. django-eventstream writes the decoded path of its request into a link.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a link is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// It leads to another host or by another scheme.
    #[error("the link leads to another host")]
    Elsewhere,
    /// It cannot be the target of a request.
    #[error("the link is no URL of a request")]
    Malformed,
}

/// The target of `link`, as it stands on a page at `base` of `host` (a name, with or without a port).
pub fn resolve(base: &PathAndQuery, host: &str, link: &str) -> Result<PathAndQuery, BadLink> {
    let link = link.split('#').next().unwrap_or_default();
    let (scheme, rest) = match scheme(link) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, link),
    };
    let is_http = |scheme: &str| {
        let mut known = ["http", "https"].into_iter();
        known.any(|known| scheme.eq_ignore_ascii_case(known))
    };
    if !scheme.is_none_or(is_http) {
        return Err(BadLink::Elsewhere);
    }
    let target = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if authority.is_empty() {
                return Err(BadLink::Malformed);
            }
            if !is_same(authority, host, scheme) {
                return Err(BadLink::Elsewhere);
            }
            target
        }
        // A whole URL has an authority.
        None if scheme.is_some() => return Err(BadLink::Malformed),
        None => return parsed(&relative(base, rest)),
    };
    let (path, query) = parts(target);
    parsed(&joined(&without_dots(path), query))
}

fn relative(base: &PathAndQuery, link: &str) -> String {
    let (path, query) = parts(link);
    if path.is_empty() {
        return joined(base.path(), query.or_else(|| base.query()));
    }
    if path.starts_with('/') {
        return joined(&without_dots(path), query);
    }
    let folder = base
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    joined(&without_dots(&format!("{folder}/{path}")), query)
}

fn parsed(target: &str) -> Result<PathAndQuery, BadLink> {
    if target.contains(char::is_control) {
        return Err(BadLink::Malformed);
    }
    let target = utf8_percent_encode(target, ESCAPED).to_string();
    target.try_into().map_err(|_| BadLink::Malformed)
}

fn parts(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn joined(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// What stands before a colon, if it can be a scheme.
fn scheme(link: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = link.split_once(':')?;
    let is_letter = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let may = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (is_letter && scheme.bytes().all(may)).then_some((scheme, rest))
}

/// Whether two names with or without ports are one host. A port is the usual one of the link's scheme if it is not said, and
/// either of the usual ones where the link has no scheme.
fn is_same(authority: &str, host: &str, scheme: Option<&str>) -> bool {
    let usual: &[&str] = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => &["80"],
        Some(_) => &["443"],
        None => &["80", "443"],
    };
    let without_usual = |authority: &'_ str| {
        let (name, port) = port(authority);
        let port = port.filter(|port| !port.is_empty() && !usual.contains(port));
        (name.to_ascii_lowercase(), port.map(ToOwned::to_owned))
    };
    without_usual(authority) == without_usual(host)
}

/// The name, and what stands after the colon behind it; an address in brackets has colons of its own.
fn port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

/// Section 5.2.4. The result begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> PathAndQuery {
        PathAndQuery::from_static("/a/b;c?d=e")
    }

    fn at(host: &str, link: &str) -> Result<String, BadLink> {
        resolve(&base(), host, link).map(|target| target.to_string())
    }

    #[test]
    fn what_is_seen_in_the_wild() {
        let to = |link| at("Example.com:8000", link).unwrap();
        let eventstream = "/events/?channel=room&link=next&recover=true&es-meta=a.b-c_d";
        assert_eq!(to(eventstream), eventstream);
        assert_eq!(to("?x=1;2,3"), "/a/b;c?x=1;2,3");
        assert_eq!(to("http://example.COM:8000/x?y#z"), "/x?y");
        assert_eq!(to("//example.com:8000"), "/");
        assert_eq!(to("HTTPS://example.com:8000?x"), "/?x");
    }

    #[test]
    fn references_are_resolved_as_by_a_browser() {
        // Those of RFC 3986, section 5.4, that have no scheme of their own.
        let base = PathAndQuery::from_static("/b/c/d;p?q");
        for (link, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
        ] {
            let target = resolve(&base, "a", link).unwrap();
            assert_eq!(target.as_str(), expected, "{link}");
        }
    }

    #[test]
    fn what_a_decoded_path_has_is_encoded_again() {
        assert_eq!(
            at("a", "/ä b/%20%/\"<\\>^`{|}?x=ä ").unwrap(),
            "/%C3%A4%20b/%20%/%22%3C%5C%3E%5E%60%7B%7C%7D?x=%C3%A4%20"
        );
    }

    #[test]
    fn a_usual_port_may_be_said_or_not() {
        for (host, link) in [
            ("a", "http://a:80/x"),
            ("a:80", "http://A/x"),
            ("a", "https://a:443/x"),
            ("a:443", "//a/x"),
            ("a", "https://a/x"),
            ("[::1]", "http://[::1]:80/x"),
            ("[::1]:5", "http://[::1]:5/x"),
        ] {
            assert_eq!(at(host, link).as_deref(), Ok("/x"), "{host} {link}");
        }
    }

    #[test]
    fn another_host_is_elsewhere() {
        for link in [
            "http://b/",
            "http://a:81/",
            "https://a:80/",
            "//a.b/",
            "http://a@b/",
            "http://u@a/",
            "ftp://a/",
            "javascript:x",
            "http://[::1]/",
            "http://a\\@b/",
        ] {
            assert_eq!(at("a", link), Err(BadLink::Elsewhere), "{link}");
        }
        for link in ["http:/x", "http:x", "http:///x", "/a\tb", "/a\u{85}b"] {
            assert_eq!(at("a", link), Err(BadLink::Malformed), "{link}");
        }
    }

    proptest! {
        #[test]
        fn any_link_is_nothing_or_a_path(link in r"(\.|/|\?|#|a|:|//|\.\.|%|ä|http:|@|\[|\]){0,12}") {
            if let Ok(target) = resolve(&base(), "a", &link) {
                prop_assert!(target.as_str().starts_with('/'));
                let segments: Vec<_> = target.path().split('/').collect();
                prop_assert!(!segments.contains(&"..") && !segments.contains(&"."));
            }
        }
    }
}
