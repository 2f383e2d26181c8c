//! The books of a fan-out: what each listener is owed, what it got, in which order and when.
//!
//! A publisher sends its next event only when the last is answered, so a listener must see the numbers of one publisher in
//! one channel without a gap and rising: a number skipped is lost until it comes after all (then it was out of order), one
//! that comes again is a duplicate. Listeners on one channel must also agree about the order between publishers; for that
//! each keeps a digest of all that it saw.

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::stamp::Stamp;

/// What one listener expects of one publisher.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    next: u32,
    /// Numbers below `next` that have not come.
    skipped: u32,
}

#[derive(Debug)]
pub struct Tally {
    channels: usize,
    /// Publishers to a channel.
    slots: usize,
    listeners: usize,
    /// For each listener and slot.
    expected: Vec<Expected>,
    /// For each listener.
    digests: Vec<u64>,
    /// For each publish, how many listeners have not got it.
    missing: Vec<u32>,
    delivery: Histogram,
    last: Histogram,
    pub deliveries: u64,
    /// When the last payload came.
    pub latest: u64,
    owed: u64,
    duplicated: u64,
    disordered: u64,
    foreign: u64,
    pub disconnected: u64,
}

impl Tally {
    pub fn new(listeners: usize, channels: usize, slots: usize) -> Self {
        Self {
            channels,
            slots,
            listeners,
            expected: vec![Expected::default(); listeners * slots],
            digests: vec![0; listeners],
            missing: Vec::new(),
            delivery: Histogram::new(),
            last: Histogram::new(),
            deliveries: 0,
            latest: 0,
            owed: 0,
            duplicated: 0,
            disordered: 0,
            foreign: 0,
            disconnected: 0,
        }
    }

    /// Something was published to this channel; its number among all publishes.
    pub fn published(&mut self, channel: usize) -> u32 {
        let number = u32::try_from(self.missing.len()).unwrap_or(u32::MAX);
        let here =
            self.listeners / self.channels + usize::from(channel < self.listeners % self.channels);
        self.missing.push(u32::try_from(here).unwrap_or(u32::MAX));
        self.owed += here as u64;
        number
    }

    /// A listener got a payload.
    pub fn delivered(&mut self, listener: usize, stamp: Stamp, now: u64) {
        let slot = stamp.slot as usize;
        let expected = self.expected.get_mut(listener * self.slots + slot);
        let (Some(expected), Some(missing)) =
            (expected, self.missing.get_mut(stamp.publish as usize))
        else {
            self.foreign += 1;
            return;
        };
        self.latest = now;
        if stamp.number < expected.next {
            if expected.skipped == 0 {
                self.duplicated += 1;
                return;
            }
            expected.skipped -= 1;
            self.disordered += 1;
        } else {
            expected.skipped += stamp.number - expected.next;
            expected.next = stamp.number + 1;
        }
        self.deliveries += 1;
        let digest = &mut self.digests[listener];
        *digest = digest
            .wrapping_mul(0x0100_0000_01b3)
            .wrapping_add(u64::from(stamp.publish) + 1);
        let time = now.saturating_sub(stamp.at);
        self.delivery.record(time);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.last.record(time);
        }
    }

    /// Whether everybody has got everything.
    pub fn complete(&self) -> bool {
        self.deliveries >= self.owed
    }

    /// Listeners that have got everything and saw it in another order than the first such on their channel.
    fn otherwise(&self) -> u64 {
        let mut firsts: Vec<Option<u64>> = vec![None; self.channels];
        let whole = |listener: &usize| {
            let expected = &self.expected[listener * self.slots..(listener + 1) * self.slots];
            expected.iter().all(|expected| expected.skipped == 0)
        };
        let differs = |listener: &usize| {
            let digest = self.digests[*listener];
            *firsts[listener % self.channels].get_or_insert(digest) != digest
        };
        if self.complete() {
            (0..self.listeners).filter(whole).filter(differs).count() as u64
        } else {
            0
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "owed": self.owed,
            "deliveries": self.deliveries,
            "delivery": self.delivery.json(),
            "last": self.last.json(),
            "lost": self.owed.saturating_sub(self.deliveries),
            "duplicated": self.duplicated,
            "disordered": self.disordered + self.otherwise(),
            "foreign": self.foreign,
            "disconnected": self.disconnected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(publish: u32, number: u32) -> Stamp {
        Stamp {
            publish,
            number,
            ..Stamp::default()
        }
    }

    #[test]
    fn loss_duplicates_and_order_are_told_apart() {
        let mut tally = Tally::new(3, 1, 1);
        for _ in 0..4 {
            tally.published(0);
        }
        // All in order; one twice and one lost; two swapped.
        for (listener, numbers) in [
            (0, &[0, 1, 2, 3][..]),
            (1, &[0, 1, 1, 3]),
            (2, &[0, 2, 1, 3]),
        ] {
            for &number in numbers {
                tally.delivered(listener, stamp(number, number), 5);
            }
        }
        let found = tally.json();
        let number = |name: &str| found[name].as_u64().unwrap();
        assert_eq!(
            (number("owed"), number("deliveries"), number("lost")),
            (12, 11, 1)
        );
        assert_eq!((number("duplicated"), number("disordered")), (1, 1));
        tally.delivered(1, stamp(2, 2), 6);
        // Late after all; and now two listeners differ from the first.
        assert_eq!(tally.json()["disordered"].as_u64().unwrap(), 2 + 2);
    }

    #[test]
    fn the_listeners_of_a_channel_are_those_that_are_owed() {
        let mut tally = Tally::new(5, 2, 1);
        assert_eq!((tally.published(0), tally.published(1)), (0, 1));
        assert_eq!(tally.missing, [3, 2]);
    }
}
