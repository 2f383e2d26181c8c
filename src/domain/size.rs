//! Byte counts with their unit in the type.

use std::fmt;

/// A number of bytes, written `"256KiB"`, `"10MiB"`, `"1GiB"`, `"512B"` or, in powers of ten, `"10MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a size is a whole number and a unit: B, KiB, MiB, GiB, kB, MB or GB, as in \"256KiB\"")]
pub struct InvalidSize;

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// So many times 1,024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads a size with its unit.
    pub fn parse(text: &str) -> Result<Self, InvalidSize> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| InvalidSize)?;
        let factor = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim_start())
            .ok_or(InvalidSize)?
            .1;
        number.checked_mul(factor).map(Self).ok_or(InvalidSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = &UNITS[..3];
        match binary
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
        {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back() {
        for (text, bytes) in [
            ("256KiB", 262_144),
            ("10MiB", 10_485_760),
            ("0B", 0),
            ("3 kB", 3000),
        ] {
            assert_eq!(ByteSize::parse(text).unwrap().get(), bytes);
        }
        for text in ["256KiB", "1GiB", "1500B", "0B"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "1",
            "KiB",
            "-1B",
            "1.5MiB",
            "1 parsec",
            "99999999999GiB",
            "1kib",
        ] {
            assert_eq!(ByteSize::parse(bad), Err(InvalidSize), "{bad:?}");
        }
    }
}
