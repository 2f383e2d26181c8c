//! A histogram of nanoseconds with 64 steps to each doubling: every value is known to 1.6 percent, in constant memory.

use serde_json::{Value, json};

/// Steps to a doubling, as a power of two.
const BITS: u32 = 6;
const STEPS: usize = 1 << BITS;

/// Counts of times.
#[derive(Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self {
            counts: vec![0; STEPS * (64 - BITS as usize + 1)],
            total: 0,
            max: 0,
        }
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.counts[index(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The value below which this part of all values is, in nanoseconds; 0 if there are none.
    pub fn quantile(&self, part: f64) -> u64 {
        let wanted = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(at).min(self.max);
            }
        }
        0
    }

    /// The times that a table shows, in milliseconds.
    pub fn json(&self) -> Value {
        json!({
            "p50_ms": milliseconds(self.quantile(0.5)),
            "p99_ms": milliseconds(self.quantile(0.99)),
            "max_ms": milliseconds(self.max),
        })
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn index(value: u64) -> usize {
    let shift = (63 - (value | 1).leading_zeros()).saturating_sub(BITS);
    shift as usize * STEPS + (value >> shift) as usize
}

/// The highest value that is counted at `index`.
fn highest(index: usize) -> u64 {
    let shift = (index / STEPS).saturating_sub(1);
    let first = (index - shift * STEPS) as u64;
    (first << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_to_two_percent() {
        for value in (0..63).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3]) {
            let high = highest(index(value));
            assert!(
                high >= value && high - value <= value / 50,
                "{value} as {high}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::new();
        for value in 1..=1000 {
            histogram.record(value * 1000);
        }
        let near = |part, value: u64| histogram.quantile(part).abs_diff(value) <= value / 50;
        assert!(near(0.5, 500_000) && near(0.99, 990_000) && near(1.0, 1_000_000));
        assert_eq!(Histogram::new().quantile(0.5), 0);
    }
}
