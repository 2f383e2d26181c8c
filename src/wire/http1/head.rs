//! The head of an answer, and how its body is framed (RFC 9112, section 6.3).
//!
//! Lines end with CRLF and nothing else; what `httparse` refuses is refused. Bounds: [`MOST_HEAD`] bytes,
//! [`MOST_FIELDS`] fields. The values of the head share its bytes, nothing is copied.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{StatusCode, Version};
use httparse::{ParserConfig, Response, Status};

/// The longest head of an answer: a view may say a lot by `SSE-Publish`.
pub const MOST_HEAD: usize = 400 << 10;

/// The most fields in it.
pub const MOST_FIELDS: usize = 100;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// All fields, those that frame it as well; but no line of `Connection` that says nothing but whether the connection is
    /// kept.
    pub headers: HeaderMap,
    /// What follows.
    pub framing: Framing,
    /// Whether the connection may carry another request after it.
    pub keep_alive: bool,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; none if there is no body.
    Length(u64),
    /// In chunks.
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// Bytes that are no answer, or one that could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not the head of an HTTP/1.1 answer.
    #[error("its head is malformed")]
    Malformed(#[source] httparse::Error),
    /// An LF without a CR before it, or nothing where the status line should be.
    #[error("a line of its head does not end with CRLF")]
    Line,
    /// Longer than [`MOST_HEAD`].
    #[error("its head is too long")]
    TooLong,
    /// More than [`MOST_FIELDS`].
    #[error("its head has too many fields")]
    TooManyFields,
    /// More interim answers than anybody needs.
    #[error("too many interim answers come before it")]
    Interim,
    /// `Content-Length` is no number below 2^63, or there are several.
    #[error("its length is not valid")]
    Length,
    /// Another coding than `chunked`, `chunked` with a length, or in HTTP/1.0.
    #[error("its transfer coding is not valid")]
    Coding,
}

/// Finds the end of the head at the front of `bytes`, of which so many were looked at before: the length of the head, or
/// `None` if it goes on.
pub fn end_of_head(bytes: &[u8], seen: usize) -> Result<Option<usize>, Invalid> {
    let mut at = seen;
    while let Some(found) = bytes.get(at..).and_then(|rest| position(rest, b'\n')) {
        let line_feed = at + found;
        match bytes.get(..line_feed) {
            Some([.., b'\n', b'\r']) => return bounded(line_feed + 1).map(Some),
            Some([.., _, b'\r']) => {}
            _ => return Err(Invalid::Line),
        }
        at = line_feed + 1;
    }
    bounded(bytes.len()).map(|_| None)
}

/// A length that is within the bound: a head that is too long may come whole in one read.
const fn bounded(length: usize) -> Result<usize, Invalid> {
    if length > MOST_HEAD {
        return Err(Invalid::TooLong);
    }
    Ok(length)
}

fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    memchr::memchr(byte, bytes)
}

/// Whether no head of an answer begins so: what is wrong with it, though its end has not come.
pub fn is_no_answer(bytes: &[u8]) -> Option<Invalid> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let parsed = Response::new(&mut fields).parse(bytes);
    parsed.err().map(malformed)
}

/// Reads a whole head. `to_head`: whether it answers a HEAD.
pub fn read(bytes: &Bytes, to_head: bool) -> Result<Head, Invalid> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = Response::new(&mut []);
    let status = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields)
        .map_err(malformed)?;
    let (Status::Complete(length), Some(code), Some(minor)) = (status, parsed.code, parsed.version)
    else {
        return Err(Invalid::Line);
    };
    if length != bytes.len() {
        return Err(Invalid::Line);
    }
    let status =
        StatusCode::from_u16(code).map_err(|_| Invalid::Malformed(httparse::Error::Status))?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    let mut connection = Connection::default();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Invalid::Malformed(httparse::Error::HeaderName))?;
        if name == CONNECTION && !connection.read(field.value) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| Invalid::Malformed(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    let version = if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let (framing, may_surprise) = framing(status, version, &headers, to_head)?;
    Ok(Head {
        keep_alive: framing != Framing::UntilClose && !may_surprise && connection.is_kept(version),
        status,
        headers,
        framing,
    })
}

fn malformed(error: httparse::Error) -> Invalid {
    match error {
        httparse::Error::TooManyHeaders => Invalid::TooManyFields,
        other => Invalid::Malformed(other),
    }
}

/// What follows, and whether a body may come that must not: some servers send what they announce with an answer that has
/// none, and it would be the answer to the next request. An answer to HEAD that says no length is that of a view that
/// streams: some servers let it go on, unheard, before they read the next request. An answer that says two things of its
/// length is refused also where it has no body: who said it means trouble.
fn framing(
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
    to_head: bool,
) -> Result<(Framing, bool), Invalid> {
    let length = content_length(headers)?;
    let chunked = is_chunked(version, headers)?;
    if chunked && length.is_some() {
        return Err(Invalid::Coding);
    }
    let never = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let bodiless = to_head || never;
    let streams = to_head && !never && length.is_none();
    let announced = chunked || streams || length.is_some_and(|length| length > 0);
    let framing = match length {
        _ if bodiless => Framing::Length(0),
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    Ok((framing, bodiless && announced))
}

/// One line with one number.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Invalid> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(line), second) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    let digits = line.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let length = digits.iter().try_fold(0_u64, |length, digit| {
        length
            .checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    });
    match length {
        // Who counts with a sign takes more for less than nothing.
        Some(length) if is_number && second.is_none() && i64::try_from(length).is_ok() => {
            Ok(Some(length))
        }
        _ => Err(Invalid::Length),
    }
}

/// One line with the one word `chunked`, in HTTP/1.1.
fn is_chunked(version: Version, headers: &HeaderMap) -> Result<bool, Invalid> {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let (Some(line), second) = (lines.next(), lines.next()) else {
        return Ok(false);
    };
    let is_it = line
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(b"chunked");
    if is_it && second.is_none() && version == Version::HTTP_11 {
        Ok(true)
    } else {
        Err(Invalid::Coding)
    }
}

/// What `Connection` says of the connection (RFC 9112, section 9.3).
#[derive(Debug, Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Connection {
    /// Whether the line also says something else: names of fields, or an upgrade.
    fn read(&mut self, line: &[u8]) -> bool {
        let mut says_more = false;
        for token in line.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                says_more = true;
            }
        }
        says_more
    }

    fn is_kept(&self, version: Version) -> bool {
        !self.close && (self.keep_alive || version == Version::HTTP_11)
    }
}
