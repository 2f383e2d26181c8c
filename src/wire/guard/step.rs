//! The transitions of the guard, a byte at a time, and the runs of bytes it may skip.
//!
//! Called by [`Guard::feed`] only. Each state is what may come next; whatever else comes is a [`Violation`], so there is
//! no state from which an odd byte could be overlooked. Names are kept as far as needed to know the three that matter,
//! values not at all: `Content-Length` and `Transfer-Encoding` are checked while they pass.

use super::{Guard, Violation};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const VERSION: &[u8] = b"HTTP/1.";
const CHUNKED: &[u8] = b"chunked";

/// What comes next.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// This byte of HTTP/2's preface, or a first request that does not look like it.
    Preface(usize),
    /// A request; or an empty line, if there was none.
    Start {
        blank: bool,
    },
    /// The LF of an empty line.
    BlankLf,
    Method,
    Target {
        empty: bool,
    },
    /// This byte of `HTTP/1.`.
    Version(usize),
    /// The digit after it.
    Minor,
    RequestCr,
    RequestLf,
    /// A field line, or the CR of the line that ends them.
    LineStart,
    Name,
    Value,
    Length(Part),
    Coding(Part),
    ValueLf,
    /// The last LF of a head or of trailers.
    HeadLf,
    /// So many bytes of a body, at least one.
    Body(u64),
    Size,
    Extension,
    SizeLf,
    /// So many bytes of a chunk, at least one.
    Data(u64),
    DataCr,
    DataLf,
    /// HTTP/2: frames.
    Http2,
    /// Upgraded: anything.
    Open,
}

/// Where in a value with blanks around it we are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Before,
    /// After so many bytes of it.
    Inside(usize),
    After,
}

/// What is known of the current head.
#[derive(Debug, Default)]
pub(super) struct Head {
    http_1_0: bool,
    host: bool,
    /// Set as soon as a `Content-Length` is named, then grown digit by digit.
    length: Option<u64>,
    chunked: bool,
}

/// The current field name in lower case, as far as it fits: the longest that matters is `transfer-encoding`.
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: [u8; 17],
    length: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let free = self.bytes.get_mut(self.length..).unwrap_or_default();
        for (place, byte) in free.iter_mut().zip(bytes) {
            *place = byte.to_ascii_lowercase();
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    /// Empty if it did not fit: then it is none that matters.
    fn known(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Guard {
    /// Moves over the bytes at the front of `rest` that need no look at each, and says how many.
    pub(super) fn plain(&mut self, rest: &[u8]) -> usize {
        match self.state {
            State::Open => rest.len(),
            State::Body(left) => {
                let (skipped, left) = take(rest, left);
                self.state = match left {
                    0 => State::Start { blank: false },
                    left => State::Body(left),
                };
                skipped
            }
            State::Data(left) => {
                let (skipped, left) = take(rest, left);
                self.state = match left {
                    0 => State::DataCr,
                    left => State::Data(left),
                };
                skipped
            }
            State::Target { empty } => {
                // No target has a fragment (RFC 9112, section 3.2): hyper would drop it, others take it for a part of the path.
                let skipped = run(rest, |b| b <= b' ' || b == 0x7f || b == b'#');
                self.state = State::Target {
                    empty: empty && skipped == 0,
                };
                skipped
            }
            State::Value if self.trailers_left.is_none() => {
                let skipped = run(rest, |b| !is_field_byte(b));
                let Some(b"\r\n") = rest.get(skipped..skipped.saturating_add(2)) else {
                    return skipped;
                };
                self.state = State::LineStart;
                skipped.saturating_add(2)
            }
            State::Name if self.trailers_left.is_none() => {
                let skipped = rest.iter().take_while(|&&b| is_token(b)).count();
                self.name.extend(rest.get(..skipped).unwrap_or_default());
                skipped
            }
            _ => 0,
        }
    }

    /// The state after `byte`.
    pub(super) fn next(&mut self, byte: u8) -> Result<State, Violation> {
        if let Some(left) = &mut self.trailers_left {
            *left = left.checked_sub(1).ok_or(Violation::Trailer)?;
        }
        match self.state {
            State::Preface(matched) => self.preface(matched, byte),
            State::Start { blank: true } if byte == b'\r' => Err(Violation::EmptyLines),
            State::Start { .. } if byte == b'\r' => Ok(State::BlankLf),
            State::BlankLf => line_feed(byte, State::Start { blank: true }),
            State::Start { .. }
            | State::Method
            | State::Target { .. }
            | State::Version(_)
            | State::Minor
            | State::RequestCr
            | State::RequestLf => self.request_line(byte),
            State::LineStart
            | State::Name
            | State::Value
            | State::Length(_)
            | State::Coding(_)
            | State::ValueLf
            | State::HeadLf => self.field_line(byte),
            State::Size | State::Extension | State::SizeLf | State::DataCr | State::DataLf => {
                self.chunk_line(byte)
            }
            // Their bytes are all plain.
            State::Body(_) | State::Data(_) | State::Http2 | State::Open => Ok(self.state),
        }
    }

    /// As long as the bytes may still become HTTP/2's preface they are not judged; then they are, all at once. What of
    /// the preface is no HTTP/1 is thus found at the byte where it ceases to be the preface.
    fn preface(&mut self, matched: usize, byte: u8) -> Result<State, Violation> {
        if PREFACE.get(matched) == Some(&byte) {
            let matched = matched.saturating_add(1);
            return Ok(if matched < PREFACE.len() {
                State::Preface(matched)
            } else {
                State::Http2
            });
        }
        self.state = State::Start { blank: false };
        for &seen in PREFACE.iter().take(matched) {
            self.state = self.next(seen)?;
        }
        self.next(byte)
    }

    fn request_line(&mut self, byte: u8) -> Result<State, Violation> {
        Ok(match (self.state, byte) {
            (State::Start { .. } | State::Method, _) if is_token(byte) => State::Method,
            (State::Method, b' ') => State::Target { empty: true },
            (State::Target { empty: false }, b' ') => State::Version(0),
            (State::Version(matched), _) if VERSION.get(matched) == Some(&byte) => {
                match matched.saturating_add(1) {
                    all if all == VERSION.len() => State::Minor,
                    matched => State::Version(matched),
                }
            }
            (State::Minor, b'0' | b'1') => {
                self.head.http_1_0 = byte == b'0';
                State::RequestCr
            }
            (State::RequestCr, b'\r') => State::RequestLf,
            (State::RequestLf, _) => return line_feed(byte, State::LineStart),
            _ => return Err(odd(byte, Violation::RequestLine)),
        })
    }

    fn field_line(&mut self, byte: u8) -> Result<State, Violation> {
        Ok(match (self.state, byte) {
            (State::LineStart, b'\r') => State::HeadLf,
            (State::LineStart, b' ' | b'\t') => return Err(Violation::Folding),
            (State::LineStart, _) if is_token(byte) => {
                self.name = Name::default();
                self.name.push(byte);
                State::Name
            }
            (State::Name, _) if is_token(byte) => {
                self.name.push(byte);
                State::Name
            }
            (State::Name, b':') => return self.named(),
            (State::LineStart | State::Name, _) => return Err(odd(byte, Violation::HeaderName)),
            (State::Value, b'\r') => State::ValueLf,
            (State::Value, _) if is_field_byte(byte) => State::Value,
            (State::Length(part), _) => return self.content_length(part, byte),
            (State::Coding(part), _) => return transfer_encoding(part, byte),
            (State::ValueLf, _) => return line_feed(byte, State::LineStart),
            (State::HeadLf, b'\n') => self.end_of_head(),
            (State::HeadLf, _) => return Err(Violation::BareCr),
            _ => return Err(odd(byte, Violation::Control)),
        })
    }

    /// At the colon: the last moment at which a name can still be withheld.
    fn named(&mut self) -> Result<State, Violation> {
        let name = self.name.known();
        if self.trailers_left.is_some() {
            return match name {
                b"host" | b"content-length" | b"transfer-encoding" => Err(Violation::Trailer),
                _ => Ok(State::Value),
            };
        }
        match name {
            b"host" if self.head.host => Err(Violation::SeveralHosts),
            b"host" => {
                self.head.host = true;
                Ok(State::Value)
            }
            b"content-length" if self.head.length.is_some() => Err(Violation::SeveralLengths),
            b"content-length" if self.head.chunked => Err(Violation::LengthAndEncoding),
            b"content-length" => {
                self.head.length = Some(0);
                Ok(State::Length(Part::Before))
            }
            b"transfer-encoding" if self.head.length.is_some() => Err(Violation::LengthAndEncoding),
            b"transfer-encoding" if self.head.chunked || self.head.http_1_0 => {
                Err(Violation::TransferEncoding)
            }
            b"transfer-encoding" => {
                self.head.chunked = true;
                Ok(State::Coding(Part::Before))
            }
            _ => Ok(State::Value),
        }
    }

    fn content_length(&mut self, part: Part, byte: u8) -> Result<State, Violation> {
        Ok(match (part, byte) {
            (Part::Before | Part::Inside(_), b'0'..=b'9') => {
                let grown = self
                    .head
                    .length
                    .and_then(|length| length.checked_mul(10))
                    .and_then(|length| length.checked_add(u64::from(byte.wrapping_sub(b'0'))))
                    .filter(|&length| i64::try_from(length).is_ok());
                self.head.length = Some(grown.ok_or(Violation::ContentLength)?);
                State::Length(Part::Inside(1))
            }
            (Part::Before, b' ' | b'\t') => State::Length(Part::Before),
            (Part::Inside(_) | Part::After, b' ' | b'\t') => State::Length(Part::After),
            (Part::Inside(_) | Part::After, b'\r') => State::ValueLf,
            _ => return Err(odd(byte, Violation::ContentLength)),
        })
    }

    fn end_of_head(&mut self) -> State {
        let head = std::mem::take(&mut self.head);
        if self.trailers_left.take().is_some() {
            return State::Start { blank: false };
        }
        match head.length {
            _ if head.chunked => self.start_chunk(),
            Some(length) if length > 0 => State::Body(length),
            _ => State::Start { blank: false },
        }
    }
}

/// The whole value must be one `chunked`: another coding, a list or a parameter is framed differently by somebody.
fn transfer_encoding(part: Part, byte: u8) -> Result<State, Violation> {
    let matched = match part {
        Part::Before => 0,
        Part::Inside(matched) => matched,
        Part::After => CHUNKED.len(),
    };
    let whole = matched == CHUNKED.len();
    Ok(match byte {
        b' ' | b'\t' if matched == 0 => State::Coding(Part::Before),
        b' ' | b'\t' if whole => State::Coding(Part::After),
        b'\r' if whole => State::ValueLf,
        _ if CHUNKED.get(matched) == Some(&byte.to_ascii_lowercase()) => {
            State::Coding(Part::Inside(matched.saturating_add(1)))
        }
        _ => return Err(odd(byte, Violation::TransferEncoding)),
    })
}

fn line_feed(byte: u8, next: State) -> Result<State, Violation> {
    match byte {
        b'\n' => Ok(next),
        _ => Err(Violation::BareCr),
    }
}

/// What is wrong with a byte that may not stand where it does, `here` being what that place says.
pub(super) fn odd(byte: u8, here: Violation) -> Violation {
    match byte {
        b'\n' => Violation::BareLf,
        b'\t' | b'\r' => here,
        _ if byte.is_ascii_control() => Violation::Control,
        _ => here,
    }
}

fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)) == Some(&true)
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::cast_possible_truncation, reason = "less than 256")]
        #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
        {
            table[byte] = matches!(byte as u8,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-'
                | b'.' | b'^'..=b'`' | b'|' | b'~');
        }
        byte += 1;
    }
    table
};

/// How many bytes stand before the first odd one. Whole blocks are looked at together, for nearly all bytes are not.
fn run(rest: &[u8], odd: impl Fn(u8) -> bool) -> usize {
    const BLOCK: usize = 16;
    let is_plain = |block: &&[u8]| !block.iter().fold(false, |found, &b| found | odd(b));
    let plain = rest.chunks_exact(BLOCK).take_while(is_plain).count() * BLOCK;
    let tail = rest.get(plain..).unwrap_or_default();
    plain + tail.iter().position(|&b| odd(b)).unwrap_or(tail.len())
}

/// How many bytes of `rest` belong to a body that lacks `left`, and what it lacks then.
fn take(rest: &[u8], left: u64) -> (usize, u64) {
    match usize::try_from(left) {
        Ok(short) if short <= rest.len() => (short, 0),
        _ => (rest.len(), left.saturating_sub(rest.len() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_rfc() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(byte), expected, "{byte}");
        }
    }
}
