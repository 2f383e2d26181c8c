//! The keys of one thing in a table of many: nearly always one key, which then costs no allocation.

/// Some keys, in the order they were given.
#[derive(Debug)]
pub enum Keys {
    /// Just one.
    One(u32),
    /// None, or several.
    Many(Box<[u32]>),
}

impl Keys {
    /// All of them.
    pub const fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

impl FromIterator<u32> for Keys {
    fn from_iter<I: IntoIterator<Item = u32>>(keys: I) -> Self {
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (Some(only), None) => Self::One(only),
            (first, second) => Self::Many(first.into_iter().chain(second).chain(keys).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_however_many_there_are() {
        for count in 0..4 {
            let keys: Keys = (0..count).collect();
            assert_eq!(keys.as_slice(), (0..count).collect::<Vec<_>>());
            assert_eq!(matches!(keys, Keys::One(_)), count == 1);
        }
    }
}
