//! Channel names and the patterns that select them.
//!
//! The grammar of a name is the contract's `[A-Za-z0-9_.:@/-]{1,200}`: nothing in it needs escaping in a URL path, a
//! header, JSON or a log line, and no list separator is in it, so a name can never smuggle in a second one.

use std::fmt;
use std::sync::Arc;

use super::UserId;

/// The longest channel name, in bytes.
const LONGEST: usize = 200;

/// What the name of a user's own channel begins with.
const OF_USER: char = '~';

/// What the name of a recording's channel begins with. Not what a user's begins with: a user may be called anything.
const OF_RECORDING: char = '^';

/// What the name of a foreign channel begins with.
const FOREIGN: char = '=';

/// The name of a channel. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// A text that is no channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChannel {
    /// No character at all.
    #[error("a channel name must not be empty")]
    Empty,
    /// More than 200 bytes.
    #[error("a channel name has at most {LONGEST} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the grammar.
    #[error("a channel name has only letters, digits and _ . : @ / -, not {0:?}")]
    Character(char),
}

impl ChannelName {
    /// Checks `text` against the grammar `[A-Za-z0-9_.:@/-]{1,200}`.
    pub fn parse(text: &str) -> Result<Self, InvalidChannel> {
        if text.is_empty() {
            return Err(InvalidChannel::Empty);
        }
        if let Some(wrong) = text.chars().find(|&c| !is_name_char(c)) {
            return Err(InvalidChannel::Character(wrong));
        }
        if text.len() > LONGEST {
            return Err(InvalidChannel::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The channel of one user: every stream of that user is on it. Its name begins with a character outside the grammar,
    /// so that nobody can name it from outside.
    pub fn of_user(user: &UserId) -> Self {
        Self(format!("{OF_USER}{}", user.as_str()).into())
    }

    /// The channel of one recording, out of random bits. As outside the grammar as that of a user.
    pub fn of_recording(bits: u128) -> Self {
        Self(format!("{OF_RECORDING}{bits:032x}").into())
    }

    /// The channel that another protocol calls `name`, whose names may hold anything. As outside the grammar as the others:
    /// what stands on it is not in the format of a named channel's events.
    pub fn of_foreign(name: &str) -> Self {
        Self(format!("{FOREIGN}{name}").into())
    }

    /// Whether this is a channel that people name: one within the grammar.
    pub fn is_named(&self) -> bool {
        !self.0.starts_with([OF_USER, OF_RECORDING, FOREIGN])
    }

    /// What another protocol calls this channel; `None` if it is none of that protocol.
    pub fn foreign(&self) -> Option<&str> {
        self.0.strip_prefix(FOREIGN)
    }

    /// Whether this is the channel of a recording.
    pub fn is_recording(&self) -> bool {
        self.0.starts_with(OF_RECORDING)
    }

    /// The user whose channel this is.
    pub fn user(&self) -> Option<&str> {
        self.0.strip_prefix(OF_USER)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '@' | '/' | '-')
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A channel name in which each `*` stands for any run of characters, the empty run included: `room-*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPattern(Box<str>);

/// A text that is no channel pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// No character at all.
    #[error("a channel pattern must not be empty")]
    Empty,
    /// More than 200 bytes.
    #[error("a channel pattern has at most {LONGEST} characters")]
    TooLong,
    /// Neither `*` nor a character of a channel name.
    #[error("a channel pattern has only letters, digits, _ . : @ / - and *, not {0:?}")]
    Character(char),
}

impl ChannelPattern {
    /// Checks `text`: the characters of a channel name and `*`.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > LONGEST {
            return Err(InvalidPattern::TooLong);
        }
        match text.chars().find(|&c| c != '*' && !is_name_char(c)) {
            Some(wrong) => Err(InvalidPattern::Character(wrong)),
            None => Ok(Self(text.into())),
        }
    }

    /// Whether `name` fits; none does that nobody can name.
    pub fn matches(&self, name: &ChannelName) -> bool {
        name.is_named() && self.fits(name.as_str())
    }

    /// Whether `text` fits. Linear in it for each `*`, without recursion.
    pub fn fits(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "user-42", "room:Tea_1.x@y/z", &"n".repeat(200)] {
            assert_eq!(ChannelName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a b",
            "a,b",
            "a\n",
            "ä",
            "a%2f",
            "a\0",
            "a*",
            &"n".repeat(201),
        ] {
            assert!(ChannelName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nobody_can_name_the_channel_of_a_user() {
        let user = UserId::parse("42").unwrap();
        let channel = ChannelName::of_user(&user);
        assert_eq!((channel.user(), channel.is_named()), (Some("42"), false));
        assert!(ChannelName::parse(channel.as_str()).is_err());
        let named = ChannelName::parse("42").unwrap();
        assert_eq!((named.user(), named.is_named()), (None, true));
    }

    #[test]
    fn nobody_can_name_the_channel_of_a_recording() {
        let channel = ChannelName::of_recording(0xfeed);
        assert!(channel.is_recording() && !channel.is_named() && channel.user().is_none());
        assert!(ChannelName::parse(channel.as_str()).is_err());
        let lookalike = UserId::parse(channel.as_str()).unwrap();
        assert_ne!(ChannelName::of_user(&lookalike), channel);
    }

    #[test]
    fn nobody_can_name_a_foreign_channel_by_the_grammar() {
        let channel = ChannelName::of_foreign("events-a%20b");
        assert_eq!(
            (channel.foreign(), channel.is_named()),
            (Some("events-a%20b"), false)
        );
        assert!(ChannelName::parse(channel.as_str()).is_err());
        assert!(!channel.is_recording() && channel.user().is_none());
        for name in ["~42", "^7"] {
            let lookalike = ChannelName::of_foreign(name);
            assert!(
                !lookalike.is_recording() && lookalike.user().is_none(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        let fits = |pattern: &str, name: &str| {
            ChannelPattern::parse(pattern)
                .unwrap()
                .matches(&ChannelName::parse(name).unwrap())
        };
        assert!(
            fits("*", "x")
                && fits("room-*", "room-")
                && fits("a*c", "abc")
                && fits("a*b*c", "a-b-b-c")
        );
        let everything = ChannelPattern::parse("*").unwrap();
        let user = ChannelName::of_user(&UserId::parse("42").unwrap());
        assert!(!everything.matches(&user) && !everything.matches(&ChannelName::of_foreign("a")));
        assert!(
            fits("exact", "exact") && !fits("exact", "exactly") && !fits("room-*", "my-room-1")
        );
        assert!(
            !fits("ab*ba", "aba"),
            "the two ends must not share characters"
        );
    }

    proptest! {
        #[test]
        fn patterns_agree_with_a_naive_matcher(pattern in "[ab*]{1,8}", name in "[ab]{1,10}") {
            fn naive(p: &[u8], n: &[u8]) -> bool {
                match (p.split_first(), n.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), None) => naive(rest, n),
                    (Some((b'*', rest)), Some((_, tail))) => naive(rest, n) || naive(p, tail),
                    (Some((a, rest)), Some((b, tail))) => a == b && naive(rest, tail),
                    _ => false,
                }
            }
            let expected = naive(pattern.as_bytes(), name.as_bytes());
            let found = ChannelPattern::parse(&pattern).unwrap().matches(&ChannelName::parse(&name).unwrap());
            prop_assert_eq!(found, expected);
        }
    }
}
