//! What the frames of an HTTP/2 connection cost, and what they earn.
//!
//! Called by [`Guard`](super::Guard) with what the client sends, once it has sent the preface, and with what it is
//! answered. Frames that carry nothing (pings, settings, resets, empty data and their like) are cheap to send and not to
//! take; each costs credit, and answers and time earn it back. Who has none left is cut off at the end of a frame, so that
//! hyper reads no half of one. It counts only: what a frame says is hyper's to judge. Invariant: the verdict does not depend
//! on how the bytes were cut.

const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const PADDED: u8 = 8;

/// What a stream that ends by a reset costs, whoever sends it (CVE-2023-44487, CVE-2025-8671): its request may have gone on
/// to Django, and does not count for the limit of streams any more.
const RESET: u32 = 4;
/// What the head of an answer earns, and each part of its body beside its size.
const ANSWER: u32 = 4;
/// One for so many bytes of an answer: clients open their windows in smaller steps than we write.
const EARNING: u32 = 1024;

/// The credit of one connection.
#[derive(Debug)]
pub(super) struct Credit {
    left: u32,
    most: u32,
    received: Frames,
    sent: Frames,
}

/// Where in a sequence of frames we are.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER],
    /// How much of it is there.
    filled: usize,
    /// How much of the payload is to come, once the header is there.
    payload: u32,
}

/// What the header of a frame says.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: u8,
    flags: u8,
    length: u32,
}

impl Credit {
    pub(super) fn new(most: u32) -> Self {
        Self {
            left: most,
            most,
            received: Frames::default(),
            sent: Frames::default(),
        }
    }

    /// Takes what the client sends. The place of the first frame for which there is no credit left.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left == 0 && self.received.at_start() {
                return Some(bytes.len().saturating_sub(rest.len()));
            }
            let (frame, after) = self.received.next(rest);
            if let Some(frame) = frame {
                self.left = self.left.saturating_sub(frame.cost());
            }
            rest = after;
        }
        None
    }

    /// Takes what the client is sent.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, after) = self.sent.next(rest);
            match frame {
                Some(frame) if frame.kind == RST_STREAM => {
                    self.left = self.left.saturating_sub(RESET);
                }
                Some(frame) => self.earn(frame.earning()),
                None => {}
            }
            rest = after;
        }
    }

    pub(super) fn earn(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }
}

impl Frames {
    const fn at_start(&self) -> bool {
        self.filled == 0 && self.payload == 0
    }

    /// Goes on by some bytes: the frame whose header is complete with them, and what comes after them.
    fn next<'b>(&mut self, bytes: &'b [u8]) -> (Option<Frame>, &'b [u8]) {
        if self.payload > 0 {
            let skipped = usize::try_from(self.payload).map_or(bytes.len(), |n| n.min(bytes.len()));
            self.payload = self
                .payload
                .saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
            return (None, bytes.get(skipped..).unwrap_or_default());
        }
        let room = self.header.get_mut(self.filled..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        let (now, after) = bytes.split_at(taken);
        for (place, byte) in room.iter_mut().zip(now) {
            *place = *byte;
        }
        self.filled = self.filled.saturating_add(taken);
        if self.filled < HEADER {
            return (None, after);
        }
        self.filled = 0;
        let [a, b, c, kind, flags, ..] = self.header;
        self.payload = u32::from_be_bytes([0, a, b, c]);
        let frame = Frame {
            kind,
            flags,
            length: self.payload,
        };
        (Some(frame), after)
    }
}

impl Frame {
    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// So much of it may be padding and its length.
    const fn padding(self) -> u32 {
        if self.has(PADDED) { 256 } else { 0 }
    }

    /// What a frame of the client costs.
    const fn cost(self) -> u32 {
        match self.kind {
            // How many requests there may be is bounded by the number of streams, how long they may be by their limits.
            HEADERS => 0,
            DATA if self.has(END_STREAM) => 0,
            DATA if self.length > self.padding() => 0,
            RST_STREAM => RESET,
            _ => 1,
        }
    }

    /// What a frame of ours earns.
    const fn earning(self) -> u32 {
        match self.kind {
            HEADERS => ANSWER,
            DATA => ANSWER + self.length / EARNING,
            // Whoever is asked may answer.
            PING if !self.has(ACK) => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + length, kind);
        bytes
    }

    /// After how many of these frames the client is cut off.
    fn cut_after(bytes: &[u8]) -> Option<usize> {
        let mut credit = Credit::new(100);
        (0..1000).find(|_| credit.received(bytes).is_some())
    }

    #[test]
    fn what_carries_nothing_costs() {
        for (kind, flags, length, most) in [
            (PING, 0, 8, Some(100)),
            (PING, ACK, 8, Some(100)),
            (SETTINGS, 0, 0, Some(100)),
            (WINDOW_UPDATE, 0, 4, Some(100)),
            (2, 0, 5, Some(100)),
            (9, 0, 20, Some(100)),
            (0xbe, 0, 3, Some(100)),
            (DATA, 0, 0, Some(100)),
            (DATA, PADDED, 256, Some(100)),
            (RST_STREAM, 0, 4, Some(25)),
            (DATA, 0, 1, None),
            (DATA, PADDED, 257, None),
            (DATA, END_STREAM, 0, None),
            (HEADERS, 4, 30, None),
        ] {
            assert_eq!(cut_after(&frame(kind, flags, length)), most, "{kind}");
        }
    }

    #[test]
    fn answers_earn_and_resets_of_ours_cost() {
        let mut credit = Credit::new(100);
        let update = frame(WINDOW_UPDATE, 0, 4);
        for _ in 0..1000 {
            // As many as a client sends that takes a page in small steps.
            for _ in 0..20 {
                assert_eq!(credit.received(&update), None);
            }
            credit.sent(&frame(HEADERS, 4, 50));
            credit.sent(&frame(DATA, 0, 16 << 10));
        }
        credit.sent(&frame(PING, 0, 8));
        assert_eq!(credit.left, 100, "no more than at the beginning");
        for _ in 0..25 {
            assert_eq!(credit.received(&frame(HEADERS, 4, 30)), None);
            credit.sent(&frame(RST_STREAM, 0, 4));
        }
        assert_eq!(credit.received(b"\0"), Some(0));
        credit.earn(1);
        assert_eq!(credit.received(&update), None, "time heals");
        assert_eq!(credit.received(&update), Some(0));
    }

    #[test]
    fn the_end_of_a_frame_is_where_it_is_cut_off() {
        let mut credit = Credit::new(1);
        let bytes = [frame(HEADERS, 4, 3), frame(PING, 0, 8), frame(PING, 0, 8)].concat();
        let at = HEADER + 3 + HEADER + 8;
        assert_eq!(credit.received(&bytes), Some(at));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            frames in prop::collection::vec((0_u8..12, any::<u8>(), 0_usize..20), 0..30), size in 1_usize..30,
        ) {
            let bytes: Vec<u8> = frames.into_iter().flat_map(|(kind, flags, length)| frame(kind, flags, length)).collect();
            let whole = Credit::new(9).received(&bytes);
            let mut credit = Credit::new(9);
            let mut before = 0;
            let cut = bytes.chunks(size).find_map(|piece| {
                let found = credit.received(piece).map(|at| before + at);
                before += piece.len();
                found
            });
            prop_assert_eq!(cut, whole);
            let (mut one, mut other) = (Credit::new(50), Credit::new(50));
            one.left = 0;
            other.left = 0;
            one.sent(&bytes);
            bytes.chunks(size).for_each(|piece| other.sent(piece));
            prop_assert_eq!(one.left, other.left);
        }
    }
}
