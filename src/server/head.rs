//! The head of a held stream's answer, as bytes.

use std::time::SystemTime;

use http::header::{CONNECTION, DATE, TRANSFER_ENCODING};
use http::response;
use hyper::ext::ReasonPhrase;

/// The status line and the fields, and those that say how the body is framed: in chunks (RFC 9112, section 7.1), and the
/// connection ends with it. Values are valid by their type.
pub(super) fn of_stream(parts: &response::Parts) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(parts.status.as_str().as_bytes());
    head.push(b' ');
    let usual = parts.status.canonical_reason().unwrap_or_default();
    let reason = parts.extensions.get::<ReasonPhrase>();
    head.extend_from_slice(reason.map_or(usual.as_bytes(), ReasonPhrase::as_bytes));
    head.extend_from_slice(b"\r\n");
    let framing = [CONNECTION, TRANSFER_ENCODING, DATE];
    for (name, value) in &parts.headers {
        if !framing.contains(name) {
            field(&mut head, name.as_str(), value.as_bytes());
        }
    }
    field(&mut head, "transfer-encoding", b"chunked");
    field(&mut head, "connection", b"close");
    let date = httpdate::fmt_http_date(SystemTime::now());
    field(&mut head, "date", date.as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

fn field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}
