//! The keys of upstreams whose answers are held, and how far each reaches at the control endpoint.
//!
//! A key is one upstream's, and so are the channels whose names begin with that upstream's prefix. A name may begin with several
//! prefixes, one of them may be empty: then it is of the upstream with the longest. Upstreams with the same prefix share their
//! channels, and those with the same key reach each other's.

use crate::wire::grip::signature::Key;

/// The upstreams whose answers are held.
#[derive(Debug, Default)]
pub struct Keys(Vec<Keyed>);

/// One of them.
#[derive(Debug)]
pub struct Keyed {
    /// What the names of its channels begin with.
    pub prefix: Box<str>,
    /// Unset: nobody has its key, and its channels are for tokens.
    pub key: Option<Key>,
}

/// The channels that a key is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What the names begin with of the upstreams that have the key.
    own: Vec<Box<str>>,
    /// The same of all others.
    others: Vec<Box<str>>,
}

impl Keys {
    /// Those of these upstreams.
    pub fn new(upstreams: impl Iterator<Item = Keyed>) -> Self {
        Self(upstreams.collect())
    }

    /// Whether there is no such upstream, so that nobody is held on items.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How far `shown` reaches, at `now_unix`; `None` if it is neither a key of an upstream nor signed with one.
    pub fn verify(&self, shown: &[u8], now_unix: u64) -> Option<Scope> {
        let shown = std::str::from_utf8(shown).ok()?;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for Keyed { prefix, key } in &self.0 {
            let is_opened = key.as_ref().is_some_and(|key| key.opens(shown, now_unix));
            let prefixes = if is_opened { &mut own } else { &mut others };
            prefixes.push(prefix.clone());
        }
        (!own.is_empty()).then_some(Scope { own, others })
    }
}

impl Scope {
    /// Whether the channel that the control endpoint calls `name` is of an upstream with this key.
    pub fn has(&self, name: &str) -> bool {
        let longest = |prefixes: &[Box<str>]| {
            let fitting = prefixes
                .iter()
                .filter(|prefix| name.starts_with(&***prefix));
            fitting.map(|prefix| prefix.len()).max()
        };
        let own = longest(&self.own);
        own.is_some() && own >= longest(&self.others)
    }

    /// Whether an upstream with this prefix has this key.
    pub fn has_all_of(&self, prefix: &str) -> bool {
        self.own.iter().any(|own| **own == *prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prefix and a key.
    type Upstream = (&'static str, Option<&'static str>);

    fn keys(all: &[Upstream]) -> Keys {
        Keys::new(all.iter().map(|(prefix, key)| Keyed {
            prefix: (*prefix).into(),
            key: key.map(|key| Key::parse(key).unwrap()),
        }))
    }

    #[test]
    fn a_key_reaches_what_is_of_its_upstreams() {
        let (a, b, both) = (Some("a"), Some("b"), Some("both"));
        let cases: [(&[Upstream], _, _, _); 9] = [
            (&[("", a)], "a", "anything", true),
            (&[("x-", a)], "a", "x-1", true),
            (&[("x-", a)], "a", "y-1", false),
            (&[("x-", a), ("y-", b)], "a", "y-1", false),
            (&[("x-", both), ("y-", both)], "both", "y-1", true),
            // The longest counts, also of one that has no key.
            (&[("", a), ("y-", None)], "a", "y-1", false),
            (&[("", a), ("y-", b)], "b", "x-1", false),
            (&[("x-", a), ("x-y-", b)], "b", "x-y-1", true),
            (&[("x-", a), ("x-", b)], "a", "x-1", true),
        ];
        for (upstreams, key, name, has) in cases {
            let scope = keys(upstreams).verify(key.as_bytes(), 0).unwrap();
            assert_eq!(scope.has(name), has, "{upstreams:?} {key} {name}");
        }
    }

    #[test]
    fn anything_else_reaches_nothing() {
        for wrong in ["", "b", "a ", "x-"] {
            let scope = keys(&[("x-", Some("a")), ("", None)]).verify(wrong.as_bytes(), 0);
            assert_eq!(scope, None, "{wrong}");
        }
        assert!(keys(&[]).is_empty() && keys(&[]).verify(b"a", 0).is_none());
    }
}
