//! The header contract between client, gateway and Django: what is taken off a message before it goes on.
//!
//! `proxy` and `upstream` call this on every request and answer. Whatever of the old headers is still needed (who
//! forwarded, whether it is an upgrade, `SSE-*` of an answer) must be read *before* the strip; what the gateway itself
//! says is added *after* it. Invariant: no header by which Django would believe the gateway survives from a client.

use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName,
    LOCATION, SET_COOKIE, UPGRADE, VARY,
};
use http::{HeaderMap, HeaderValue};

/// Valid for one connection only, named by `Connection` or not (RFC 9110, 7.6.1). `HTTP2-Settings` belongs to the
/// h2c upgrade, which nobody behind us may see. `Trailer` announces what is dropped here.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// The header with the id of a request, unless the file names another.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What only the proxy in front of Django may say. `Expect` is answered here. What a CDN says of the client is ours to
/// say where the file names it.
const OURS: [&str; 9] = [
    "cf-connecting-ip",
    "true-client-ip",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-scheme",
    "x-sendfile",
    "proxy",
    "expect",
];

const OUR_PREFIXES: [&str; 2] = ["x-forwarded", "x-accel-"];

/// The gateway's own language with Django, in either direction.
const SPOKEN: [&str; 2] = ["sse-", "grip-"];

/// Whether a header is of the language that the gateway and Django speak: a client has no word in it.
pub fn is_spoken(name: &str) -> bool {
    starts_with_any(name, &SPOKEN)
}

/// Said to or by a proxy. RFC 9110 no longer lists `Proxy-Authorization` and `Proxy-Authenticate` as hop-by-hop, since
/// in a chain of proxies one may leave them to the next (11.7); the next one here is Django, no proxy, and somebody's
/// proxy password is none of its business.
const PROXY_PREFIX: &str = "proxy-";

/// Whether the gateway, HTTP itself or everybody's servers give a header a meaning of its own, so that it cannot be the name of
/// something else.
pub fn is_taken(name: &HeaderName) -> bool {
    const SPOKEN_FOR: [HeaderName; 9] = [
        ACCEPT,
        AUTHORIZATION,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        COOKIE,
        HOST,
        LOCATION,
        SET_COOKIE,
        VARY,
    ];
    let text = name.as_str();
    SPOKEN_FOR.contains(name)
        || is_hop_by_hop(text)
        || (OURS.contains(&text) && *name != REQUEST_ID)
        || text.contains('_')
        || text.starts_with(PROXY_PREFIX)
        || starts_with_any(text, &OUR_PREFIXES)
        || is_spoken(text)
}

/// Takes off a request whatever must not reach Django: hop-by-hop headers, those `Connection` names, every name with a
/// `_` (WSGI cannot tell `X_Y` from `X-Y`), and every header that the gateway alone may set.
pub fn strip_request(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove_all(headers, |name| {
        is_hop_by_hop(name)
            || name.as_bytes().contains(&b'_')
            || OURS.contains(&name)
            || starts_with_any(name, &OUR_PREFIXES)
            || is_spoken(name)
    });
}

/// Takes off an answer of Django whatever is not for the client: hop-by-hop headers, those `Connection` names, and the
/// instructions to the gateway.
pub fn strip_response(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove_all(headers, |name| is_hop_by_hop(name) || is_spoken(name));
}

/// Takes off what has a proxy, this one or one in front, send a file in place of the body: only Django's own answer may name
/// one.
pub fn strip_files(headers: &mut HeaderMap) {
    for name in ["x-accel-redirect", "x-sendfile", "x-lighttpd-send-file"] {
        headers.remove(name);
    }
}

/// Whether a request asks for a WebSocket: `Connection` has the token `upgrade` and `Upgrade` is exactly one
/// `websocket`. Nothing else is an upgrade for us, h2c least of all (it would hide requests from the routes). That the
/// method is GET and the version HTTP/1.1 is the caller's to check.
pub fn websocket_upgrade(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let single = match (upgrades.next(), upgrades.next()) {
        (Some(only), None) => only.as_bytes().trim_ascii(),
        _ => return false,
    };
    single.eq_ignore_ascii_case(b"websocket")
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

/// Whether the body is an event stream: the essence of `Content-Type` is `text/event-stream`.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| has_essence(value.as_bytes()))
}

/// Whether `Accept` names `text/event-stream` (wildcards do not count, `q=0` neither): the mark of an `EventSource`.
pub fn accepts_event_stream(headers: &HeaderMap) -> bool {
    tokens(headers, &ACCEPT).any(|range| has_essence(range) && !has_zero_weight(range))
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether a value begins or ends with a blank. HTTP/1.1 takes blanks for no part of a value, HTTP/2 has no room for them:
/// such a message is malformed (RFC 9113, section 8.2.1), and must not go on as if it were not.
pub fn has_blank_ends(headers: &HeaderMap) -> bool {
    let is_blank = |end: Option<&u8>| matches!(end, Some(b' ' | b'\t'));
    let mut values = headers.values().map(HeaderValue::as_bytes);
    values.any(|value| is_blank(value.first()) || is_blank(value.last()))
}

/// Whether `Accept` names HTML and no event stream: somebody opens a page.
pub fn accepts_a_page(headers: &HeaderMap) -> bool {
    let is_html = |range: &[u8]| {
        let essence = range.split(|&b| b == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"text/html")
    };
    !accepts_event_stream(headers) && tokens(headers, &ACCEPT).any(is_html)
}

/// What of an answer lets the page of another origin read the stream that takes its place (Fetch, section 3.2), as Django
/// said it, and keeps caches from mixing the two up.
pub fn cors(headers: &HeaderMap) -> HeaderMap {
    let told = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == VARY);
    let mut cors = HeaderMap::new();
    cors.extend(told.map(|(name, value)| (name.clone(), value.clone())));
    cors
}

fn has_essence(media_type: &[u8]) -> bool {
    let essence = media_type.split(|&b| b == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"text/event-stream")
}

fn has_zero_weight(range: &[u8]) -> bool {
    range.split(|&b| b == b';').skip(1).any(|parameter| {
        matches!(parameter.trim_ascii(), [b'q' | b'Q', b'=', weight @ ..]
            if weight.starts_with(b"0") && weight.iter().all(|b| matches!(b, b'0' | b'.')))
    })
}

/// The members of a comma-separated header, over all its lines.
fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// `Host` and `Content-Length` stay even when `Connection` names them: both are end-to-end, RFC 9110 forbids to list
/// such a field, and taking one off would change which site and which bytes the request means. Any other name goes, as
/// the RFC says: a client that takes its own cookie off has only fewer rights.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    // What goes in any case needs no look: nearly always that is all there is.
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter(|token| {
            let is_usual = |usual: &[u8]| token.eq_ignore_ascii_case(usual);
            !is_usual(b"keep-alive") && !is_usual(b"close") && !is_usual(b"upgrade")
        })
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

fn remove_all(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    // Without an allocation unless there is something to remove.
    let doomed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| goes(name.as_str()))
        .cloned()
        .collect();
    for name in doomed {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name) || name.starts_with(PROXY_PREFIX)
}

fn starts_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn no_header_that_django_would_believe_survives_from_a_client() {
        for name in [
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "HTTP2-Settings",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Forwarded-Ssl",
            "X-Forwarded-Protocol",
            "X-Forwarded-Scheme",
            "X-Forwarded-Prefix",
            "X-Forwarded",
            "Forwarded",
            "X-Real-IP",
            "X-Request-ID",
            "X-Scheme",
            "X-Sendfile",
            "X-Accel-Redirect",
            "SSE-Ask",
            "SSE-Cursor",
            "Grip-Sig",
            "Proxy",
            "Expect",
            "SCRIPT_NAME",
            "x_forwarded_for",
        ] {
            let mut headers = map(&[(name, "x"), ("Cookie", "a=b"), (name, "y")]);
            strip_request(&mut headers);
            assert_eq!(names(&headers), ["cookie"], "{name}");
        }
    }

    #[test]
    fn headers_for_django_pass() {
        let lines = [
            ("Host", "a"),
            ("Content-Length", "5"),
            ("Cookie", "a=b"),
            ("Authorization", "x"),
            ("Last-Event-ID", "1"),
            ("X-CSRFToken", "t"),
            ("Accept", "*/*"),
            ("Origin", "https://a"),
            ("Sec-WebSocket-Key", "k"),
        ];
        let mut headers = map(&lines);
        strip_request(&mut headers);
        assert_eq!(headers, map(&lines));
    }

    #[test]
    fn what_connection_names_goes_except_host_and_length() {
        let mut headers = map(&[
            ("Connection", "close, X-Secret,,\t"),
            (
                "Connection",
                "HOST, content-length, Authorization, bad name",
            ),
            ("X-Secret", "1"),
            ("X-Secret", "2"),
            ("Authorization", "x"),
            ("Host", "a"),
            ("Content-Length", "5"),
        ]);
        let mut answer = headers.clone();
        strip_request(&mut headers);
        assert_eq!(names(&headers), ["content-length", "host"]);
        strip_response(&mut answer);
        assert_eq!(names(&answer), ["content-length", "host"]);
    }

    #[test]
    fn answers_lose_the_instructions_and_keep_the_rest() {
        let mut headers = map(&[
            ("SSE-Channel", "a"),
            ("SSE-Publish", "{}"),
            ("Grip-Hold", "stream"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "x"),
            ("Set-Cookie", "a=b"),
            ("X-Accel-Redirect", "/x"),
            ("Content-Length", "1"),
        ]);
        strip_response(&mut headers);
        assert_eq!(
            names(&headers),
            ["content-length", "set-cookie", "x-accel-redirect"]
        );
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let upgrade = |lines: &[(&str, &str)]| websocket_upgrade(&map(lines));
        assert!(upgrade(&[
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket")
        ]));
        assert!(!upgrade(&[
            ("Connection", "keep-alive"),
            ("Upgrade", "websocket")
        ]));
        assert!(!upgrade(&[("Connection", "upgrade"), ("Upgrade", "h2c")]));
        assert!(!upgrade(&[
            ("Connection", "upgrade"),
            ("Upgrade", "websocket, h2c")
        ]));
        assert!(!upgrade(&[
            ("Connection", "upgrade"),
            ("Upgrade", "websocket"),
            ("Upgrade", "websocket")
        ]));
        assert!(!upgrade(&[("Connection", "upgrade")]) && !upgrade(&[]));
    }

    #[test]
    fn event_streams_are_known_by_their_type() {
        for (text, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/event-stream ;x", true),
            ("text/event-streams", false),
            ("text/html", false),
            ("", false),
            ("application/x;text/event-stream", false),
        ] {
            assert_eq!(
                is_event_stream(&map(&[("Content-Type", text)])),
                expected,
                "{text}"
            );
        }
        for (text, expected) in [
            ("text/event-stream", true),
            ("text/html, text/event-stream;q=0.1", true),
            ("*/*", false),
            ("text/event-stream;q=0", false),
            ("text/event-stream; q=0.000", false),
            ("text/*", false),
        ] {
            assert_eq!(
                accepts_event_stream(&map(&[("Accept", text)])),
                expected,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn stripping_twice_changes_nothing_more(
            lines in proptest::collection::vec(("[a-zA-Z_-]{1,12}|Connection|Host", "[ -~]{0,20}"), 0..12),
        ) {
            let mut once = HeaderMap::new();
            for (name, value) in &lines {
                once.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            strip_request(&mut once);
            prop_assert!(once.keys().all(|name| !name.as_str().contains('_') && name != CONNECTION));
            let mut twice = once.clone();
            strip_request(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
