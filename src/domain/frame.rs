//! One event as it goes on the wire, encoded once and shared by every stream.

use bytes::Bytes;

/// The encoded bytes of one event (or of a comment): opaque to the log and the hub, given to every socket as it is. They
/// stand in memory as a chunk of HTTP/1.1 (RFC 9112, section 7.1), so that a socket which speaks it is given those very
/// bytes, and one that does not the part within them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

const HEX: &[u8; 16] = b"0123456789abcdef";
/// What ends a chunk.
const END: &[u8] = b"\r\n";

impl Frame {
    /// A frame of `bytes`, which are copied.
    pub fn new(bytes: &[u8]) -> Self {
        Self::build(bytes.len(), |chunk| chunk.extend_from_slice(bytes))
    }

    /// A frame of exactly `length` bytes that `write` appends, in one allocation without spare room.
    pub fn build(length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        // An empty chunk would be the last one.
        if length == 0 {
            return Self(Bytes::new());
        }
        let digits = (length.ilog2() / 4 + 1) as usize;
        let mut chunk = Vec::with_capacity(digits + length + 2 * END.len());
        chunk.extend((0..digits).rev().map(|digit| {
            let digit = (length >> (4 * digit)) & 0xf;
            HEX.get(digit).copied().unwrap_or_default()
        }));
        chunk.extend_from_slice(END);
        let before = chunk.len();
        write(&mut chunk);
        debug_assert_eq!(chunk.len() - before, length, "the length was counted");
        chunk.extend_from_slice(END);
        Self(chunk.into())
    }

    /// The frame that `chunk` is already, if it is exactly one chunk as a frame writes it; nothing is copied.
    pub fn of_chunk(chunk: Bytes) -> Option<Self> {
        if chunk.is_empty() {
            return Some(Self(chunk));
        }
        let head = chunk.iter().take(usize::BITS as usize / 4 + 1);
        let digits = head.clone().position(|&byte| byte == b'\r')?;
        let length = head.take(digits).try_fold(0_usize, |length, &byte| {
            let digit = HEX.iter().position(|&hex| hex == byte)?;
            Some((length << 4) | digit)
        })?;
        let body = chunk.get(digits..)?.strip_prefix(END)?;
        let is_whole = body.strip_suffix(END)?.len() == length;
        let is_shortest = length > 0 && chunk.first() != Some(&b'0');
        (is_whole && is_shortest).then_some(Self(chunk))
    }

    /// The length in bytes, without what makes it a chunk.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes; they are shared.
    pub fn to_bytes(&self) -> Bytes {
        self.0.slice_ref(self.as_bytes())
    }

    /// Whether both are the very same bytes in memory.
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.as_chunk(), other.as_chunk())
    }

    /// The bytes, borrowed.
    pub fn as_bytes(&self) -> &[u8] {
        let begin = self.0.iter().position(|&byte| byte == b'\n');
        let end = self.0.len().saturating_sub(END.len());
        self.0
            .get(begin.map_or(0, |at| at + 1)..end)
            .unwrap_or_default()
    }

    /// The same as a chunk; empty if there is nothing to send.
    pub fn as_chunk(&self) -> &[u8] {
        &self.0
    }

    /// The chunk.
    pub fn into_chunk(self) -> Bytes {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_chunk_around_its_bytes() {
        for length in [1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 70_000] {
            let bytes: Vec<u8> = b"0123456789".iter().copied().cycle().take(length).collect();
            let frame = Frame::new(&bytes);
            let mut expected = format!("{length:x}\r\n").into_bytes();
            expected.extend_from_slice(&bytes);
            expected.extend_from_slice(b"\r\n");
            assert_eq!(frame.as_chunk(), expected);
            assert_eq!((frame.as_bytes(), frame.len()), (&*bytes, length));
            assert_eq!(frame.to_bytes(), bytes);
            assert!(!frame.is_empty());
        }
    }

    #[test]
    fn a_chunk_that_is_there_becomes_a_frame_only_if_it_is_one() {
        for length in [0, 1, 16, 255, 4096] {
            let frame = Frame::new(&vec![b'\n'; length]);
            assert_eq!(Frame::of_chunk(frame.clone().into_chunk()), Some(frame));
        }
        for odd in [
            "0\r\n\r\n",
            "1\r\n\r\n",
            "1\r\nab\r\n",
            "01\r\na\r\n",
            "A\r\n0123456789\r\n",
            "\r\na\r\n",
            "1;x\r\na\r\n",
            "1\r\na",
            "1",
            "1\na\n",
            "10000000000000001\r\na\r\n",
        ] {
            assert_eq!(
                Frame::of_chunk(Bytes::from_static(odd.as_bytes())),
                None,
                "{odd:?}"
            );
        }
    }

    #[test]
    fn nothing_is_no_chunk_for_that_would_be_the_last() {
        let frame = Frame::new(b"");
        assert!(frame.is_empty() && frame.as_chunk().is_empty() && frame.as_bytes().is_empty());
        assert_eq!((frame.len(), frame.to_bytes()), (0, Bytes::new()));
    }
}
