//! What of a held stream is to be written before anything else, and the one write for all that is ready.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::raw::Raw;
use crate::domain::Frame;

/// The last chunk of a body (RFC 9112, section 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    All,
    /// Not all, perhaps nothing: the socket takes no more now.
    Blocked,
}

/// What is left of a write; most of the time nothing.
#[derive(Debug, Default)]
pub(super) struct Rest(Option<Box<Unsent>>);

#[derive(Debug)]
struct Unsent {
    /// Not so with the head, which waits for the first frames.
    tried: bool,
    pieces: VecDeque<Bytes>,
}

impl Rest {
    pub(super) fn of(head: Vec<u8>) -> Self {
        Self(Some(Box::new(Unsent {
            tried: false,
            pieces: VecDeque::from([Bytes::from(head)]),
        })))
    }

    /// Whether a write was cut short.
    pub(super) const fn is_blocked(&self) -> bool {
        matches!(&self.0, Some(unsent) if unsent.tried)
    }

    /// The bytes that are left.
    pub(super) fn left(&self) -> usize {
        let pieces = self.0.iter().flat_map(|unsent| &unsent.pieces);
        pieces.map(Bytes::len).sum()
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self, socket: &mut Raw) -> io::Result<Wrote> {
        if let Some(unsent) = &mut self.0 {
            unsent.tried = true;
            while !unsent.pieces.is_empty() {
                let slices: Vec<_> = unsent
                    .pieces
                    .iter()
                    .map(|piece| IoSlice::new(piece))
                    .collect();
                let sent = socket.send(&slices)?;
                if sent == 0 {
                    return Ok(Wrote::Blocked);
                }
                advance(&mut unsent.pieces, sent);
            }
            self.0 = None;
        }
        Ok(all_of(socket))
    }

    /// Writes the head, if it is still to be written, `frames`, and the end, if they are the last. What the socket does not
    /// take is left.
    pub(super) fn write(
        &mut self,
        socket: &mut Raw,
        frames: &mut VecDeque<Frame>,
        last: bool,
    ) -> io::Result<Wrote> {
        if self.0.is_none() && !last {
            return self.write_frames(socket, frames);
        }
        let unsent = self.0.get_or_insert_with(|| {
            Box::new(Unsent {
                tried: false,
                pieces: VecDeque::new(),
            })
        });
        unsent
            .pieces
            .extend(frames.drain(..).map(Frame::into_chunk));
        if last {
            unsent.pieces.push_back(Bytes::from_static(LAST_CHUNK));
        }
        self.flush(socket)
    }

    /// The way of nearly every event: nothing is copied and nothing allocated where it is one.
    fn write_frames(
        &mut self,
        socket: &mut Raw,
        frames: &mut VecDeque<Frame>,
    ) -> io::Result<Wrote> {
        let sent = match (frames.len(), frames.front()) {
            (_, None) => return Ok(Wrote::All),
            (1, Some(one)) => socket.send(&[IoSlice::new(one.as_chunk())])?,
            _ => {
                let chunks = frames.iter().map(|frame| IoSlice::new(frame.as_chunk()));
                socket.send(&chunks.collect::<Vec<_>>())?
            }
        };
        let whole: usize = frames.iter().map(|frame| frame.as_chunk().len()).sum();
        if sent == whole {
            frames.clear();
            return Ok(all_of(socket));
        }
        let mut pieces = frames.drain(..).map(Frame::into_chunk).collect();
        advance(&mut pieces, sent);
        self.0 = Some(Box::new(Unsent {
            tried: true,
            pieces,
        }));
        // Less than all was taken, and yet there may be room: TLS takes a record at a time, the kernel 1,024 pieces. And it
        // tells of room again only after it has said that there was none.
        if sent > 0 {
            return self.flush(socket);
        }
        Ok(Wrote::Blocked)
    }
}

/// Everything was taken: by the socket as well?
fn all_of(socket: &Raw) -> Wrote {
    if socket.is_behind() {
        Wrote::Blocked
    } else {
        Wrote::All
    }
}

/// Takes so many bytes off the front.
fn advance(pieces: &mut VecDeque<Bytes>, mut sent: usize) {
    while let Some(first) = pieces.front_mut() {
        if sent < first.len() {
            first.advance(sent);
            return;
        }
        sent -= first.len();
        pieces.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Raw, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (OwnedFd::from(near).into(), far)
    }

    fn frames(count: usize, length: usize) -> VecDeque<Frame> {
        let letters = (b'a'..=b'z').cycle().take(count);
        letters
            .map(|letter| Frame::new(&vec![letter; length]))
            .collect()
    }

    fn bytes(frames: &VecDeque<Frame>) -> Vec<u8> {
        frames.iter().flat_map(|f| f.as_chunk().to_vec()).collect()
    }

    #[test]
    fn more_pieces_than_the_kernel_takes_at_once_are_written_all() {
        let (mut near, mut far) = pair();
        let mut frames = frames(3000, 1);
        let expected = bytes(&frames);
        let mut rest = Rest::default();
        let wrote = rest.write(&mut near, &mut frames, false).unwrap();
        assert_eq!(wrote, Wrote::All);
        assert!(!rest.is_blocked() && frames.is_empty());
        drop(near);
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).unwrap();
        assert!(seen == expected);
    }

    #[test]
    fn what_a_full_socket_does_not_take_is_written_later_and_nothing_twice() {
        let (mut near, mut far) = pair();
        let mut frames = frames(40, 100_000);
        let mut expected = b"head".to_vec();
        expected.extend(bytes(&frames));
        expected.extend_from_slice(LAST_CHUNK);
        let mut rest = Rest::of(b"head".to_vec());
        assert!(!rest.is_blocked(), "nobody has tried");
        let mut wrote = rest.write(&mut near, &mut frames, true).unwrap();
        let mut seen = Vec::new();
        let mut room = vec![0; 70_001];
        while wrote == Wrote::Blocked {
            assert!(rest.is_blocked() && rest.left() > 0);
            let read = far.read(&mut room).unwrap();
            seen.extend_from_slice(&room[..read]);
            wrote = rest.flush(&mut near).unwrap();
        }
        assert_eq!(rest.left(), 0);
        drop(near);
        far.read_to_end(&mut seen).unwrap();
        assert!(seen == expected);
    }

    #[test]
    fn a_client_that_is_gone_is_an_error() {
        let (mut near, far) = pair();
        drop(far);
        let mut rest = Rest::default();
        assert!(rest.write(&mut near, &mut frames(1, 10), false).is_err());
    }
}
