//! The chunks of an answer's body (RFC 9112, section 7.1), read as strictly as the guard reads those of a client.
//!
//! A size is 1 to 16 hexadecimal digits and below 2^63, an extension is visible ASCII, lines end with CRLF. Trailers are checked and
//! dropped. Bounds: those of [`Limits`] for a size line and for all trailers.

use crate::wire::guard::Limits;

/// Where in a chunked body we are.
#[derive(Debug, Clone)]
pub struct Chunks {
    limits: Limits,
    state: State,
    /// What is left of the current chunk's data; while its size line is read, the size so far.
    left: u64,
    digits: usize,
    line: usize,
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The start of a trailer, or the CR of the line that ends them.
    LineStart,
    Name,
    Value,
    ValueLf,
    LastLf,
    End,
    /// What was wrong stays wrong.
    Bad(BadChunk),
}

/// What the bytes at the front are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// After `skip` bytes between chunks come `length` bytes of data, at least one.
    Data {
        /// To be dropped.
        skip: usize,
        /// To be passed on.
        length: usize,
    },
    /// All of them stand between chunks, and more is to come.
    More,
    /// After `skip` bytes the body is over.
    End {
        /// To be dropped.
        skip: usize,
    },
}

/// A chunked body that is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadChunk {
    /// A size line that is not one number, an extension, CRLF.
    #[error("the size line of a chunk is not valid")]
    Size,
    /// A size line longer than the limit.
    #[error("the size line of a chunk is too long")]
    Line,
    /// Data that is not followed by CRLF.
    #[error("a chunk is longer than it says")]
    End,
    /// A trailer that is malformed, or too many of them.
    #[error("the trailers are not valid")]
    Trailer,
}

impl Default for Chunks {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            limits,
            state: State::Size,
            left: 0,
            digits: 0,
            line: 0,
            trailers: 0,
        }
    }
}

impl Chunks {
    /// Reads from the front of `bytes` up to the end of a run of data. The caller takes off what the step says.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Step, BadChunk> {
        for (skip, &byte) in bytes.iter().enumerate() {
            if self.state == State::Data {
                return Ok(self.data(skip, bytes.len().saturating_sub(skip)));
            }
            if self.state == State::End {
                return Ok(Step::End { skip });
            }
            match self.after(byte) {
                Ok(state) => self.state = state,
                Err(bad) => {
                    self.state = State::Bad(bad);
                    return Err(bad);
                }
            }
        }
        Ok(match self.state {
            State::End => Step::End { skip: bytes.len() },
            _ => Step::More,
        })
    }

    /// Whether the body is over.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::End)
    }

    fn data(&mut self, skip: usize, there: usize) -> Step {
        let length = usize::try_from(self.left).map_or(there, |left| left.min(there));
        self.left = self.left.saturating_sub(length as u64);
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Step::Data { skip, length }
    }

    fn after(&mut self, byte: u8) -> Result<State, BadChunk> {
        match self.state {
            State::Size | State::Extension | State::SizeLf => self.size_line(byte),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                (self.digits, self.line) = (0, 0);
                Ok(State::Size)
            }
            State::DataCr | State::DataLf => Err(BadChunk::End),
            State::LineStart | State::Name | State::Value | State::ValueLf | State::LastLf => {
                self.trailer(byte)
            }
            // Not asked there.
            State::Data | State::End => Ok(self.state),
            State::Bad(bad) => Err(bad),
        }
    }

    fn size_line(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line = self.line.saturating_add(1);
        if self.line > self.limits.chunk_line && !matches!(byte, b'\r' | b'\n') {
            return Err(BadChunk::Line);
        }
        Ok(match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() && self.digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                if i64::try_from(self.left).is_err() {
                    return Err(BadChunk::Size);
                }
                self.digits = self.digits.saturating_add(1);
                State::Size
            }
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b' '..=b'~' | b'\t') => State::Extension,
            (State::SizeLf, b'\n') if self.left > 0 => State::Data,
            (State::SizeLf, b'\n') => State::LineStart,
            _ => return Err(BadChunk::Size),
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.trailers = self.trailers.saturating_add(1);
        if self.trailers > self.limits.trailers {
            return Err(BadChunk::Trailer);
        }
        Ok(match (self.state, byte) {
            (State::LineStart, b'\r') => State::LastLf,
            (State::LineStart | State::Name, _) if is_token(byte) => State::Name,
            (State::Name, b':') => State::Value,
            (State::Value, b'\r') => State::ValueLf,
            (State::Value, _) if byte == b'\t' || !byte.is_ascii_control() => State::Value,
            (State::ValueLf, b'\n') => State::LineStart,
            (State::LastLf, b'\n') => State::End,
            _ => return Err(BadChunk::Trailer),
        })
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
