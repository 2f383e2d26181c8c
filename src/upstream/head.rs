//! The head of a request as Django gets it: the header contract in one place, for proxied requests and asks alike.

use http::Method;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE,
};
use http::uri::PathAndQuery;

use super::body::RequestBody;
use super::vouched::Vouched;
use crate::domain::EventId;
use crate::wire::{headers, http1, query};

/// What Django is sent, the body aside.
#[derive(Debug, Clone)]
pub struct Head {
    /// The client's method.
    pub method: Method,
    /// The client's path and query, as it spelled them.
    pub target: PathAndQuery,
    /// The client's headers without those that are not its to set, and ours.
    pub headers: HeaderMap,
}

impl Head {
    /// Rebuilds the head of a client's request out of its `headers`: what must not pass is removed. What the gateway
    /// vouches for comes on top ([`Rebuilt`](super::Rebuilt)). `host` is the one valid host of the request, as the client
    /// wrote it.
    pub fn rebuild(
        method: Method,
        target: PathAndQuery,
        mut headers: HeaderMap,
        host: &str,
    ) -> Self {
        headers::strip_request(&mut headers);
        join_cookies(&mut headers);
        // Over HTTP/1 it is the very header it was read from.
        if !headers.contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(host)
        {
            headers.insert(HOST, host);
        }
        Self {
            method,
            target,
            headers,
        }
    }

    /// Tells Django the end of the log, so that a page can render its data and open a stream from that very place.
    pub fn tell_cursor(&mut self, end: EventId) {
        if let Ok(end) = HeaderValue::from_str(&end.to_string()) {
            self.headers
                .insert(HeaderName::from_static("sse-cursor"), end);
        }
    }

    /// Takes the parameters of these names out of the query; the rest stays as the client spelled it.
    pub fn drop_parameters(&mut self, names: &[&str]) {
        let query = self.target.query().unwrap_or_default();
        let rest = query::without(query, names);
        if rest.len() == query.len() {
            return;
        }
        let path = self.target.path();
        let target = if rest.is_empty() {
            path.parse()
        } else {
            format!("{path}?{rest}").parse()
        };
        if let Ok(target) = target {
            self.target = target;
        }
    }

    /// Sets a header the gateway vouches for in place of whatever the client sent.
    pub fn vouch(&mut self, name: &HeaderName, value: &str) {
        self.headers.remove(name);
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    /// Asks for a WebSocket, as the client did (RFC 6455, section 4.1).
    pub fn ask_for_websocket(&mut self) {
        self.headers
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        self.headers
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
    }

    /// Whether the request changes nothing (RFC 9110, section 9.2.1), so that it may be sent twice.
    pub const fn is_safe(&self) -> bool {
        matches!(
            self.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
        )
    }

    /// Writes it, with what is vouched for and the length of `body`, in place of what is in `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>, vouched: Option<&Vouched>, body: &RequestBody) {
        out.clear();
        http1::request_line(out, &self.method, &self.target);
        let mut has_length = !matches!(body, RequestBody::Empty);
        for (name, value) in &self.headers {
            if *name == CONTENT_LENGTH {
                // A length the client gave is given again, also 0, and so is that of an empty chunked body; none is made
                // up for a request without a body.
                has_length = true;
            } else {
                http1::field(out, name, value);
            }
        }
        if let Some(vouched) = vouched {
            vouched.write(out);
        }
        if has_length {
            http1::number(out, &CONTENT_LENGTH, body.length());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// HTTP/2 clients send a cookie in pieces; HTTP/1.1 knows one line (RFC 9113, section 8.2.3), and WSGI would join
/// several by commas.
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (pieces.next(), pieces.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for piece in std::iter::once(second).chain(pieces) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(piece.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}
