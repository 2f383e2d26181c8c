//! The stamp at the beginning of every payload, and the search for it in what a stream delivers.
//!
//! A stamp is `~TG~` and four numbers, four bits to a letter from `a` to `p`: no format between publisher and listener has
//! to escape any of it, and reading one costs some twenty instructions. `~` stands nowhere else, so the search is a memchr.
//! Behind a stamp the rest of the payload is skipped unread; an event counts when its last byte is there.

use crate::error::Error;

const MARK: &[u8; 4] = b"~TG~";

/// The least length of a payload.
pub const LEAST: usize = 40;

/// What a payload says of its publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The number of the publish over all publishers.
    pub publish: u32,
    /// Which of the publishers of its channel sent it.
    pub slot: u32,
    /// The number among the publishes of this slot in this channel.
    pub number: u32,
    /// When it was sent, or was to be sent, in nanoseconds.
    pub at: u64,
}

impl Stamp {
    /// Puts the stamp at the beginning of a payload.
    pub fn write(&self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(MARK);
        payload[4..12].copy_from_slice(&letters(self.publish));
        // The upper half of this number is always zero.
        payload[12..16].copy_from_slice(&letters(self.slot)[4..]);
        payload[16..24].copy_from_slice(&letters(self.number));
        payload[24..32].copy_from_slice(&letters((self.at >> 32) as u32));
        payload[32..40].copy_from_slice(&letters(self.at as u32));
    }

    fn read(bytes: &[u8; LEAST]) -> Option<Self> {
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            number(eight)
        };
        (bytes[..4] == *MARK).then(|| Self {
            publish: number(4),
            slot: number(12) >> 16,
            number: number(16),
            at: u64::from(number(24)) << 32 | u64::from(number(32)),
        })
    }
}

/// A payload of so many bytes, without a stamp.
pub fn blank(size: usize) -> Result<Vec<u8>, Error> {
    if size < LEAST {
        return Err(Error::Size { least: LEAST });
    }
    Ok(vec![b'x'; size])
}

fn letters(number: u32) -> [u8; 8] {
    std::array::from_fn(|at| b'a' + (number >> (28 - 4 * at) & 15) as u8)
}

/// Eight letters at once: the bytes become pairs, then fours, then the number.
fn number(letters: [u8; 8]) -> u32 {
    let x = u64::from_be_bytes(letters).wrapping_sub(0x6161_6161_6161_6161);
    let x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

/// How far one listener is within a payload.
#[derive(Debug)]
pub struct Search {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between payloads.
    Between,
    /// So many bytes of a stamp are here.
    Stamp(usize, [u8; LEAST]),
    /// The stamp is known, so many bytes of the payload are to come.
    Rest(usize, Stamp),
}

impl Search {
    pub const fn new() -> Self {
        Self {
            state: State::Between,
        }
    }

    /// Goes on with these bytes; `found` is called for each payload of `size` bytes that is complete.
    pub fn feed(&mut self, mut data: &[u8], size: usize, mut found: impl FnMut(Stamp)) {
        loop {
            match &mut self.state {
                State::Between => {
                    let Some(at) = memchr::memchr(b'~', data) else {
                        return;
                    };
                    data = &data[at..];
                    let whole = data.get(..size).and_then(<[u8]>::first_chunk);
                    if let Some(stamp) = whole.and_then(Stamp::read) {
                        found(stamp);
                        data = &data[size..];
                    } else {
                        self.state = State::Stamp(0, [0; LEAST]);
                    }
                }
                State::Stamp(here, bytes) => {
                    let length = (LEAST - *here).min(data.len());
                    bytes[*here..*here + length].copy_from_slice(&data[..length]);
                    *here += length;
                    data = &data[length..];
                    if *here < LEAST {
                        return;
                    }
                    self.state = match Stamp::read(bytes) {
                        Some(stamp) => State::Rest(size - LEAST, stamp),
                        None => State::Between,
                    };
                }
                State::Rest(left, stamp) => {
                    let length = (*left).min(data.len());
                    *left -= length;
                    data = &data[length..];
                    if *left > 0 {
                        return;
                    }
                    found(*stamp);
                    self.state = State::Between;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_found_however_they_are_cut() {
        let stamp = |n: u32| Stamp {
            publish: n,
            slot: n % 16,
            number: n * 7,
            at: u64::from(n) * 1_234_567_890_123,
        };
        for size in [LEAST, 200] {
            let mut bytes = b": hi\n\nretry: 5\n\n".to_vec();
            for n in 0..5 {
                let mut payload = blank(size).unwrap();
                stamp(n).write(&mut payload);
                bytes.extend_from_slice(b"id: a-1\ndata: ");
                bytes.extend_from_slice(&payload);
                bytes.extend_from_slice(b"\n\n: heartbeat\n\n");
            }
            for cut in 1..bytes.len() {
                let (mut search, mut all) = (Search::new(), Vec::new());
                for piece in bytes.chunks(cut) {
                    search.feed(piece, size, |stamp| all.push(stamp));
                }
                assert_eq!(
                    all,
                    (0..5).map(stamp).collect::<Vec<_>>(),
                    "in pieces of {cut}"
                );
            }
        }
    }
}
