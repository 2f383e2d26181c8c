//! Cross-origin requests: which pages of other origins may read an answer (Fetch standard, sections 3.2 and 4.8).
//!
//! `config` reads [`Rules`]; `proxy` makes an [`Answer`] of the rules and a request and puts its headers on whatever the
//! answer turns out to be. An origin is compared as text, so the file holds it letter by letter as a browser sends it.
//! Invariant: an origin is allowed by its own name or by `*`, and never by `*` with credentials.

use std::fmt;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, request};

use super::host;

/// What a page may send beside what any page may: what listeners and Django know, and nothing that merely was asked for.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-CSRFToken, X-Requested-With",
);
/// How long a browser need not ask again, in seconds; most keep it for no more than ten minutes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// What a page may read of an answer beside what any page may.
const EXPOSED: HeaderValue = HeaderValue::from_static("SSE-Stream");

/// A page's scheme, host and port, as a browser writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Box<str>);

/// A text that no browser sends as an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// Not of the form at all.
    #[error("an origin is a scheme and a host, and a port unless it is the scheme's own")]
    Form,
    /// Nearly; how a browser writes it.
    #[error("no browser writes an origin like this")]
    Spelling(String),
    /// `null`, which stands for every page without an origin, also for a stranger's in a sandbox.
    #[error("\"null\" is no origin that could be trusted")]
    Null,
}

impl Origin {
    /// Reads `https://app.example.com` or `http://localhost:8080`.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "null" {
            return Err(InvalidOrigin::Null);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin::Form)?;
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|b| b.is_ascii_alphabetic())
            && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let host = rest.get(..end).and_then(host::parse);
        let (true, Some(mut host)) = (is_scheme, host) else {
            return Err(InvalidOrigin::Form);
        };
        let scheme = scheme.to_ascii_lowercase();
        if matches!(
            (scheme.as_str(), host.port),
            ("http", Some(80)) | ("https", Some(443))
        ) {
            host.port = None;
        }
        let written = format!("{scheme}://{host}");
        if written == text {
            Ok(Self(text.into()))
        } else {
            Err(InvalidOrigin::Spelling(written))
        }
    }

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may read the answers of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// `*`: every page, without its user's cookies.
    Any,
    /// Pages of these origins; none at all if there is none.
    Listed {
        /// Each may read.
        origins: Vec<Origin>,
        /// Whether with the user's cookies as well.
        credentials: bool,
    },
}

impl Rules {
    /// What the answer to this request will carry. `methods` are those of the route, for a preflight.
    pub fn answer(&self, request: &request::Parts, methods: &'static str) -> Answer {
        let origin = only(&request.headers, &ORIGIN);
        let (allowed, credentials) = match self {
            Self::Any => (Some(HeaderValue::from_static("*")), false),
            Self::Listed {
                origins,
                credentials,
            } => {
                let known = |value: &&HeaderValue| {
                    origins
                        .iter()
                        .any(|origin| origin.0.as_bytes() == value.as_bytes())
                };
                (origin.filter(known).cloned(), *credentials)
            }
        };
        let preflight = request.method == Method::OPTIONS
            && origin.is_some()
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Answer {
            allowed,
            credentials,
            varies: matches!(self, Self::Listed { .. }),
            preflight: preflight.then_some(methods),
        }
    }
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// What one answer says of its readers.
#[derive(Debug)]
pub struct Answer {
    /// The value of `Access-Control-Allow-Origin`; `None` if this page may not read it.
    allowed: Option<HeaderValue>,
    credentials: bool,
    /// Whether another origin would be answered otherwise.
    varies: bool,
    /// The methods of the route, if the request only asks whether it may be made.
    preflight: Option<&'static str>,
}

impl Answer {
    /// Whether the request only asks whether it may be made. Whoever has rules of its own answers it itself.
    pub const fn is_to_preflight(&self) -> bool {
        self.preflight.is_some()
    }

    /// Puts it on the answer, in place of what others may have said of its readers.
    pub fn write(self, headers: &mut HeaderMap) {
        let told: Vec<_> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .cloned()
            .collect();
        for name in told {
            headers.remove(name);
        }
        // A shared cache must not give one page's answer to another, also if this one is not allowed.
        if self.varies && !varies_by_origin(headers) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allowed else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if let Some(methods) = self.preflight {
            headers.insert(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(methods),
            );
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    names.any(|name| {
        matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(b"origin")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const METHODS: &str = "GET, HEAD";

    fn listed(origins: &[&str], credentials: bool) -> Rules {
        let origins = origins.iter().map(|origin| Origin::parse(origin).unwrap());
        Rules::Listed {
            origins: origins.collect(),
            credentials,
        }
    }

    fn request(method: &str, lines: &[(&'static str, &str)]) -> request::Parts {
        let mut request = http::Request::builder().method(method);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// What is said, sorted.
    fn said(
        rules: &Rules,
        request: &request::Parts,
        before: &[(&'static str, &str)],
    ) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, value.parse().unwrap());
        }
        rules.answer(request, METHODS).write(&mut headers);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn an_origin_is_written_as_a_browser_sends_it() {
        for good in [
            "https://app.example.com",
            "http://localhost:8080",
            "https://[::1]:8443",
            "http://10.0.0.1",
            "capacitor://localhost",
        ] {
            assert_eq!(
                Origin::parse(good).map(|o| o.to_string()).as_deref(),
                Ok(good)
            );
        }
        for (near, right) in [
            ("https://app.example.com/", "https://app.example.com"),
            (
                "https://app.example.com/page?x#y",
                "https://app.example.com",
            ),
            ("HTTPS://App.Example.com", "https://app.example.com"),
            ("https://a:443", "https://a"),
            ("http://a:80", "http://a"),
            ("http://a.", "http://a"),
            ("http://a:0080", "http://a"),
        ] {
            let wrong = Err(InvalidOrigin::Spelling(right.to_owned()));
            assert_eq!(Origin::parse(near), wrong, "{near}");
        }
        for bad in [
            "",
            "*",
            "app.example.com",
            "https:/a",
            "https://",
            "https://u@a",
            "1s://a",
            "://a",
            "https://*.a",
            "https://ü",
        ] {
            assert_eq!(Origin::parse(bad), Err(InvalidOrigin::Form), "{bad}");
        }
        assert_eq!(Origin::parse("null"), Err(InvalidOrigin::Null));
    }

    #[test]
    fn a_listed_origin_is_named_and_what_django_said_is_replaced() {
        let rules = listed(&["https://a", "https://b"], true);
        let django = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-private-network", "true"),
            ("vary", "Cookie"),
        ];
        assert_eq!(
            said(&rules, &request("GET", &[("origin", "https://b")]), &django),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-origin: https://b",
                "access-control-expose-headers: SSE-Stream",
                "vary: Cookie",
                "vary: Origin",
            ]
        );
    }

    #[test]
    fn whoever_is_not_listed_is_told_nothing() {
        let rules = listed(&["https://a"], true);
        for lines in [
            &[][..],
            &[("origin", "https://a.evil")],
            &[("origin", "https://A")],
            &[("origin", "null")],
            &[("origin", "https://a"), ("origin", "https://b")],
        ] {
            assert_eq!(said(&rules, &request("GET", lines), &[]), ["vary: Origin"]);
            let nobody = listed(&[], true);
            assert_eq!(said(&nobody, &request("GET", lines), &[]), ["vary: Origin"]);
        }
        for vary in ["accept, ORIGIN", "*"] {
            let before = [("vary", vary)];
            assert_eq!(said(&rules, &request("GET", &[]), &before).len(), 1);
        }
    }

    #[test]
    fn every_origin_is_never_with_credentials() {
        let expected = [
            "access-control-allow-origin: *",
            "access-control-expose-headers: SSE-Stream",
        ];
        let before = [("access-control-allow-credentials", "true")];
        for lines in [&[][..], &[("origin", "https://a")]] {
            assert_eq!(said(&Rules::Any, &request("GET", lines), &before), expected);
        }
    }

    #[test]
    fn a_preflight_is_told_methods_and_headers() {
        let rules = listed(&["https://a"], false);
        let ask = ("access-control-request-method", "GET");
        let preflight = request("OPTIONS", &[("origin", "https://a"), ask]);
        assert!(rules.answer(&preflight, METHODS).is_to_preflight());
        assert_eq!(
            said(&rules, &preflight, &[]),
            [
                "access-control-allow-headers: Authorization, Cache-Control, Content-Type, Last-Event-ID, X-CSRFToken, X-Requested-With",
                "access-control-allow-methods: GET, HEAD",
                "access-control-allow-origin: https://a",
                "access-control-max-age: 600",
                "vary: Origin",
            ]
        );
        let stranger = request("OPTIONS", &[("origin", "https://b"), ask]);
        assert!(rules.answer(&stranger, METHODS).is_to_preflight());
        assert_eq!(said(&rules, &stranger, &[]), ["vary: Origin"]);
        for no_preflight in [
            request("GET", &[("origin", "https://a"), ask]),
            request("OPTIONS", &[ask]),
            request("OPTIONS", &[("origin", "https://a")]),
        ] {
            assert!(!rules.answer(&no_preflight, METHODS).is_to_preflight());
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_for_an_origin_is_one(text in "([a-zA-Z+.-]{0,5}(://|:)?[a-zA-Z0-9.\\[\\]:-]{0,9}[/?#@]?|\\PC*)") {
            match Origin::parse(&text) {
                Ok(origin) => prop_assert_eq!(origin.as_str(), text),
                // The spelling that is proposed is a good one.
                Err(InvalidOrigin::Spelling(right)) => prop_assert!(Origin::parse(&right).is_ok(), "{}", right),
                Err(InvalidOrigin::Form | InvalidOrigin::Null) => {}
            }
        }
    }
}
