//! Answers over HTTP/1.1: the head, and whole answers counted as they come.

use crate::body::{Body, Step};
use crate::error::Error;

/// The longest head.
const LONGEST: usize = 16 * 1024;

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub status: u16,
    /// How its body is framed.
    pub body: Body,
    /// Bytes up to the body.
    pub length: usize,
    /// Whether the server closes the connection behind it.
    pub closes: bool,
}

/// An answer that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Bytes of its body.
    pub length: u64,
    /// Whether the server closes the connection behind it.
    pub closes: bool,
}

/// Reads a head; `None` if it is not complete.
pub fn head(bytes: &[u8], what: &'static str) -> Result<Option<Head>, Error> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => return Ok(None),
        _ => return Err(unexpected(what, bytes)),
    };
    let status = response.code.unwrap_or(0);
    let (mut body, mut closes) = (Body::Rest, false);
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).unwrap_or_default();
            body = Body::Length(text.parse().map_err(|_| unexpected(what, bytes))?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::CHUNKED;
        } else if field.name.eq_ignore_ascii_case("connection") {
            closes = field.value.eq_ignore_ascii_case(b"close");
        }
    }
    if matches!(status, 204 | 304) {
        body = Body::Ended;
    }
    Ok(Some(Head {
        status,
        body,
        length,
        closes,
    }))
}

/// The error of an answer that does not fit, with its beginning.
pub fn unexpected(what: &'static str, bytes: &[u8]) -> Error {
    let head = bytes.get(..300).unwrap_or(bytes);
    Error::Answer {
        what,
        head: String::from_utf8_lossy(head).into_owned(),
    }
}

/// One answer after the other on a keep-alive connection.
#[derive(Debug)]
pub struct Answers {
    /// A head that came in parts.
    partial: Vec<u8>,
    /// The answer whose body is being read.
    current: Option<(Answer, Body)>,
}

impl Answers {
    pub const fn new() -> Self {
        Self {
            partial: Vec::new(),
            current: None,
        }
    }

    /// Goes on with these bytes; the answer once it is complete. There is one request in flight, so nothing may follow it.
    pub fn feed(&mut self, input: &[u8], what: &'static str) -> Result<Option<Answer>, Error> {
        let joined;
        let mut input = input;
        if self.current.is_none() {
            if !self.partial.is_empty() {
                self.partial.extend_from_slice(input);
                joined = std::mem::take(&mut self.partial);
                input = &joined;
            }
            let Some(head) = head(input, what)? else {
                self.partial = input.to_vec();
                return Ok(None);
            };
            let answer = Answer {
                status: head.status,
                length: 0,
                closes: head.closes,
            };
            self.current = Some((answer, head.body));
            input = &input[head.length..];
        }
        let Some((answer, body)) = &mut self.current else {
            return Ok(None);
        };
        loop {
            match body.step(&mut input) {
                Step::Data(data) => answer.length += data.len() as u64,
                Step::More => return Ok(None),
                Step::End if input.is_empty() => {
                    let answer = *answer;
                    self.current = None;
                    return Ok(Some(answer));
                }
                Step::End | Step::Malformed => return Err(unexpected(what, input)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let one = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello";
        let two = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let mut answers = Answers::new();
        for cut in 1..60 {
            for (bytes, expected) in [(&one[..], (201, 5, false)), (two, (200, 3, true))] {
                let (status, length, closes) = expected;
                let mut found = Vec::new();
                for piece in bytes.chunks(cut) {
                    found.extend(answers.feed(piece, "a test").unwrap());
                }
                let answer = Answer {
                    status,
                    length,
                    closes,
                };
                assert_eq!(found, [answer]);
            }
        }
    }
}
