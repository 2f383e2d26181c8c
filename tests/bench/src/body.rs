//! The framing of HTTP/1.1 bodies, read piece by piece wherever the network cut them: chunked, by length, to the end.

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// These bytes are of the body.
    Data(&'a [u8]),
    /// The input is used up.
    More,
    /// The body has ended; what is left of the input is not its own.
    End,
    /// This is no chunked body.
    Malformed,
}

/// How far a body has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// Everything until the connection ends.
    Rest,
    /// Within the line of a chunk's size.
    Size(u64),
    /// Behind the digits, until the line ends.
    Extension(u64),
    /// Within a chunk.
    Chunk(u64),
    /// Within the line end behind a chunk.
    ChunkEnd,
    /// Behind the last chunk; whether the line is empty so far.
    Trailer(bool),
    /// Over.
    Ended,
}

impl Body {
    /// The beginning of a chunked body.
    pub const CHUNKED: Self = Self::Size(0);

    /// Takes the next piece off the input.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        loop {
            match self {
                Self::Length(0) => *self = Self::Ended,
                Self::Ended => return Step::End,
                _ if input.is_empty() => return Step::More,
                Self::Rest => return Step::Data(std::mem::take(input)),
                Self::Length(left) | Self::Chunk(left) => {
                    let length = (*left).min(input.len() as u64);
                    *left -= length;
                    let data;
                    (data, *input) = input.split_at(length as usize);
                    if *self == Self::Chunk(0) {
                        *self = Self::ChunkEnd;
                    }
                    return Step::Data(data);
                }
                _ => {
                    if !self.framing(input) {
                        return Step::Malformed;
                    }
                }
            }
        }
    }

    /// Takes bytes between the data; false if they cannot stand there.
    fn framing(&mut self, input: &mut &[u8]) -> bool {
        while let Some((&byte, rest)) = input.split_first() {
            let next = match (*self, byte) {
                (Self::Size(size), b'\n') | (Self::Extension(size), b'\n') => match size {
                    0 => Self::Trailer(true),
                    _ => Self::Chunk(size),
                },
                (Self::Size(size), _) => match (byte as char).to_digit(16) {
                    Some(digit) if size < 1 << 40 => Self::Size(size << 4 | u64::from(digit)),
                    Some(_) => return false,
                    None if matches!(byte, b'\r' | b';' | b' ') => Self::Extension(size),
                    None => return false,
                },
                (Self::Trailer(true), b'\n') => Self::Ended,
                (Self::Trailer(_), b'\n') => Self::Trailer(true),
                (Self::Trailer(empty), _) => Self::Trailer(empty && byte == b'\r'),
                (Self::ChunkEnd, b'\r') => Self::ChunkEnd,
                (Self::ChunkEnd, b'\n') => Self::CHUNKED,
                (Self::ChunkEnd, _) => return false,
                (same, _) => same,
            };
            *self = next;
            *input = rest;
            if matches!(next, Self::Chunk(_) | Self::Ended) {
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Body, bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
        let (mut body, mut data) = (body, Vec::new());
        for mut piece in bytes.chunks(size) {
            loop {
                match body.step(&mut piece) {
                    Step::Data(bytes) => data.extend_from_slice(bytes),
                    Step::More => break,
                    Step::End => return (data, true),
                    Step::Malformed => panic!("{bytes:?}"),
                }
            }
        }
        (data, body == Body::Length(0))
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let chunked = b"5\r\nhello\r\n1;x=y\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext";
        for size in 1..chunked.len() {
            assert_eq!(
                read(Body::CHUNKED, chunked, size),
                (b"hello 0123456789".to_vec(), true),
                "{size}"
            );
            assert_eq!(
                read(Body::Length(3), b"abcdef", size),
                (b"abc".to_vec(), true)
            );
            assert_eq!(
                read(Body::Rest, b"abcdef", size),
                (b"abcdef".to_vec(), false)
            );
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for wrong in [&b"x\r\n"[..], b"1\r\naXX", b"ffffffffffffff\r\n"] {
            let (mut body, mut input) = (Body::CHUNKED, wrong);
            let last = loop {
                match body.step(&mut input) {
                    Step::Data(_) => {}
                    last => break last,
                }
            };
            assert_eq!(last, Step::Malformed);
        }
    }
}
