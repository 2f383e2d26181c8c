//! Places in a log, and how they are written on the wire.
//!
//! A gateway's own event id is `<epoch>-<seq>`: `seq` grows by one per event over all channels of one log, `epoch`
//! names the life of that log. Any such id is a place in the log, whichever channel its event went to.

use std::fmt;

/// A place in a log: right after the event with this number. `Position::START` is before the first event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The place right after the event numbered `seq`.
    pub const fn after(seq: u64) -> Self {
        Self(seq)
    }

    /// The number of the event this place comes right after; 0 at the start.
    pub const fn seq(self) -> u64 {
        self.0
    }

    /// The place one event further on.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The life of a log: a random number drawn when it is created, written as ten hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    const DIGITS: usize = 10;

    /// An epoch out of random bits, of which the lowest forty count.
    pub fn from_random(bits: u128) -> Self {
        Self(u64::try_from(bits & 0xff_ffff_ffff).unwrap_or_default())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = Self::DIGITS)
    }
}

/// A gateway's own event id, `<epoch>-<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The life of the log that gave the id.
    pub epoch: Epoch,
    /// The place right after the event.
    pub position: Position,
}

impl EventId {
    /// Reads `<epoch>-<seq>` in the one spelling the gateway writes, so that ids which are equal are equal as text.
    /// Anything else is `None`: it may be a publisher's id.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('-')?;
        let id = Self {
            epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
            position: Position(seq.parse().ok()?),
        };
        // Signs, capitals, leading zeros and wrong widths all end here.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for EventId {
    /// Every proxied request and every event says one: written by hand, and at once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // Ten digits of the epoch, a dash, at most twenty digits.
        let mut text = [b'-'; Epoch::DIGITS + 21];
        let mut epoch = self.epoch.0;
        for digit in text.iter_mut().take(Epoch::DIGITS).rev() {
            *digit = HEX
                .get(usize::try_from(epoch & 0xf).unwrap_or_default())
                .copied()
                .unwrap_or_default();
            epoch >>= 4;
        }
        let mut seq = self.position.0;
        let mut length = 0;
        for digit in text.iter_mut().skip(Epoch::DIGITS + 1).rev() {
            *digit = b'0' + u8::try_from(seq % 10).unwrap_or_default();
            seq /= 10;
            length += 1;
            if seq == 0 {
                break;
            }
        }
        let number = text.len() - length;
        text.copy_within(number.., Epoch::DIGITS + 1);
        let text = text.get(..Epoch::DIGITS + 1 + length).unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_gateways_own_spelling_is_an_event_id() {
        for other in [
            "",
            "-",
            "5",
            "00000000ab-+5",
            "00000000AB-5",
            "00000000ab-05",
            "ab-5",
            "00000000ab-5 ",
            "x-1",
        ] {
            assert_eq!(EventId::parse(other), None, "{other:?}");
        }
        assert_eq!(
            EventId::parse("00000000ab-99999999999999999999"),
            None,
            "overflow"
        );
        let id = EventId::parse("00000000ab-5").unwrap();
        assert_eq!(
            (id.epoch, id.position),
            (Epoch::from_random(0xab), Position::after(5))
        );
    }

    proptest! {
        #[test]
        fn event_ids_read_back(bits: u128, seq: u64) {
            let id = EventId { epoch: Epoch::from_random(bits), position: Position::after(seq) };
            prop_assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".*") {
            let _id = EventId::parse(&text);
        }
    }
}
