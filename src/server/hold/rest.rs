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
    /// The socket takes no more now.
    Some,
}

/// What is left of a write; most of the time nothing.
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
    pub(super) fn flush(&mut self, socket: &mut Raw) -> io::Result<Wrote> {
        if let Some(cut) = &mut self.0 {
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
        self.0 = Some(Box::new(Cut {
            fresh: false,
            pieces,
        }));
        // TLS takes a record at a time and may well have room for the next.
        if sent > 0 && socket.is_tls() {
            return self.flush(socket);
        }
        Ok(Wrote::Some)
    }
}

/// Everything was taken: by the socket as well?
fn all_of(socket: &Raw) -> Wrote {
    if socket.is_behind() {
        Wrote::Some
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
