//! The socket of one held stream: written without waiting, in one call for all that is ready.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::{Buf, Bytes};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::domain::Frame;

/// The last chunk of a body (RFC 9112, section 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A socket that does not wait.
#[derive(Debug)]
pub(in crate::server) struct Raw(OwnedFd);

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    All,
    /// The socket takes no more now.
    Some,
}

impl From<OwnedFd> for Raw {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl Raw {
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Writes as much as the socket takes now.
    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let sent = match parts {
                [one] => rustix::net::send(&self.0, one, SendFlags::NOSIGNAL),
                many => rustix::io::writev(&self.0, many),
            };
            match sent {
                Ok(sent) => return Ok(sent),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, Shutdown::Write)?)
    }

    /// Throws away what has been received, as far as it is not endless.
    pub(super) fn drain(&self) {
        let mut scratch = [0; 4096];
        for _ in 0..64 {
            match rustix::net::recv(&self.0, &mut scratch, RecvFlags::DONTWAIT) {
                Ok((1.., _)) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// What is to be written before anything else; most of the time nothing.
#[derive(Debug, Default)]
pub(super) struct Rest(Option<Box<Cut>>);

#[derive(Debug)]
struct Cut {
    /// Not tried yet: the head, which waits for the first frames.
    fresh: bool,
    pieces: VecDeque<Bytes>,
}

impl Rest {
    pub(super) fn of(head: Vec<u8>) -> Self {
        Self(Some(Box::new(Cut {
            fresh: true,
            pieces: VecDeque::from([Bytes::from(head)]),
        })))
    }

    /// Whether a write was cut short.
    pub(super) const fn is_cut(&self) -> bool {
        matches!(&self.0, Some(cut) if !cut.fresh)
    }

    /// The bytes that are left.
    pub(super) fn left(&self) -> usize {
        let pieces = self.0.iter().flat_map(|cut| &cut.pieces);
        pieces.map(Bytes::len).sum()
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self, socket: &Raw) -> io::Result<Wrote> {
        let Some(cut) = &mut self.0 else {
            return Ok(Wrote::All);
        };
        cut.fresh = false;
        while !cut.pieces.is_empty() {
            let slices: Vec<_> = cut.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let sent = socket.send(&slices)?;
            if sent == 0 {
                return Ok(Wrote::Some);
            }
            advance(&mut cut.pieces, sent);
        }
        self.0 = None;
        Ok(Wrote::All)
    }

    /// Writes the head, if it is still to be written, `frames`, and the end, if they are the last. What the socket does not
    /// take is left.
    pub(super) fn write(
        &mut self,
        socket: &Raw,
        frames: &mut VecDeque<Frame>,
        last: bool,
    ) -> io::Result<Wrote> {
        if self.0.is_none() && !last {
            let sent = match (frames.len(), frames.front()) {
                (0, _) | (_, None) => return Ok(Wrote::All),
                (1, Some(one)) => socket.send(&[IoSlice::new(one.as_chunk())])?,
                _ => {
                    let chunks = frames.iter().map(|frame| IoSlice::new(frame.as_chunk()));
                    socket.send(&chunks.collect::<Vec<_>>())?
                }
            };
            let whole: usize = frames.iter().map(|frame| frame.as_chunk().len()).sum();
            if sent == whole {
                frames.clear();
                return Ok(Wrote::All);
            }
            let mut pieces = frames.drain(..).map(Frame::into_chunk).collect();
            advance(&mut pieces, sent);
            self.0 = Some(Box::new(Cut {
                fresh: false,
                pieces,
            }));
            return Ok(Wrote::Some);
        }
        let cut = self.0.get_or_insert_with(|| {
            Box::new(Cut {
                fresh: true,
                pieces: VecDeque::new(),
            })
        });
        cut.pieces.extend(frames.drain(..).map(Frame::into_chunk));
        if last {
            cut.pieces.push_back(Bytes::from_static(LAST_CHUNK));
        }
        self.flush(socket)
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
