//! The lines between the chunks of a body (RFC 9112, 7.1).
//!
//! Called by the guard's transitions. hyper takes more than this (blanks after the size, anything in an extension); what
//! it would take in two ways is refused here. Sizes are below 2^63, as lengths are.

use super::step::{State, odd};
use super::{Guard, Violation};

/// The current chunk's size line.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    size: u64,
    digits: usize,
    line: usize,
}

impl Guard {
    /// The next chunk, or the last.
    pub(super) fn start_chunk(&mut self) -> State {
        self.chunk = Chunk::default();
        State::Size
    }

    /// The state after `byte` of a size line or of the end of a chunk.
    pub(super) fn chunk_line(&mut self, byte: u8) -> Result<State, Violation> {
        if matches!(self.state, State::Size | State::Extension) && byte != b'\r' {
            self.chunk.line = self.chunk.line.saturating_add(1);
            if self.chunk.line > self.limits.chunk_line {
                return Err(Violation::ChunkLine);
            }
        }
        let has_size = self.chunk.digits > 0;
        Ok(match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() && self.chunk.digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.chunk.size = self.chunk.size << 4 | u64::from(digit);
                // Nobody has so much to send; who counts with a sign reads less than nothing.
                if i64::try_from(self.chunk.size).is_err() {
                    return Err(Violation::ChunkSize);
                }
                self.chunk.digits = self.chunk.digits.saturating_add(1);
                State::Size
            }
            // No blanks between size and extension: RFC 9112, 7.1.1 calls them bad, and parsers differ.
            (State::Size, b';') if has_size => State::Extension,
            (State::Size, b'\r') if has_size => State::SizeLf,
            (State::Size, _) => return Err(odd(byte, Violation::ChunkSize)),
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b' '..=b'~' | b'\t') => State::Extension,
            (State::Extension, _) => return Err(odd(byte, Violation::ChunkExtension)),
            (State::SizeLf, b'\n') if self.chunk.size > 0 => State::Data(self.chunk.size),
            (State::SizeLf, b'\n') => {
                self.trailers_left = Some(self.limits.trailers);
                State::LineStart
            }
            (State::SizeLf, _) => return Err(Violation::BareCr),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => self.start_chunk(),
            _ => return Err(Violation::ChunkEnd),
        })
    }
}
