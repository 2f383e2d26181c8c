//! The head of a request as bytes. Names, values, methods and targets are valid by their types: none can hold a CR, an
//! LF or a NUL, so nothing written here can forge a line.

use std::io::Write as _;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use crate::domain::EventId;

/// Writes `method target HTTP/1.1`.
pub fn request_line(out: &mut Vec<u8>, method: &Method, target: &PathAndQuery) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    // `http://site?q` has an empty path, which is `/` on the wire (RFC 9112, section 3.2.1).
    if target.as_str().starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes one field line.
pub fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    line(out, name, value.as_bytes());
}

/// Writes one field line with a text of ours. One that could not stand in a header is left out, and so is its line.
pub fn text(out: &mut Vec<u8>, name: &HeaderName, value: &str) {
    // Looks at all bytes, for that is quicker than to look where to stop.
    let is_odd = |odd: bool, byte: u8| odd | byte.is_ascii_control();
    if !value.bytes().fold(false, is_odd) {
        line(out, name, value.as_bytes());
    }
}

/// Writes one field line with what `value` shows itself as; that is no control character.
pub fn shown(out: &mut Vec<u8>, name: &HeaderName, value: &EventId) {
    out.extend_from_slice(name.as_str().as_bytes());
    // Writing into memory cannot fail.
    let _written = write!(out, ": {value}\r\n");
}

fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line whose value is a number.
pub fn number(out: &mut Vec<u8>, name: &HeaderName, mut value: u64) {
    // The longest is 20 digits.
    let mut digits = [b'0'; 20];
    let mut used = 0_usize;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    let unused = digits.len() - used;
    line(out, name, digits.get(unused..).unwrap_or_default());
}
