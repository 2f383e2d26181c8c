//! Who was ended, remembered for a while.
//!
//! A permission may be given while its end is on the way: Django answers an ask, then takes the permission back and kicks,
//! and only then is the stream on its channels. So whoever comes on its channels shows the [`Era`] in which its permission
//! was asked for, and is ended if it was kicked since. Bound: the last 4,096 kicks; who asked before those is ended as well,
//! and asked anew when it comes back.

use std::collections::VecDeque;

use super::seat::Identity;
use crate::domain::{ChannelName, StreamId, UserId};

/// Kicks that are remembered.
const MOST: usize = 4096;

/// How many kicks there had been at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Era(pub u64);

/// A session of Django: what is left of the value of its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session(pub(super) u64);

/// Whose streams are ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// Those of a user.
    User(UserId),
    /// Those that are on a channel.
    Channel(ChannelName),
    /// This one.
    Stream(StreamId),
    /// Those that were opened with a session.
    Session(Session),
}

impl Whom {
    fn is(&self, stream: StreamId, session: Option<Session>, identity: &Identity<'_>) -> bool {
        match self {
            Self::User(user) => identity.user == Some(user),
            Self::Channel(name) => identity.channels.contains(name),
            Self::Stream(id) => *id == stream,
            Self::Session(ended) => session == Some(*ended),
        }
    }
}

/// The last kicks.
#[derive(Debug, Default)]
pub(super) struct Kicks {
    now: Era,
    recent: VecDeque<Whom>,
}

impl Kicks {
    pub(super) const fn now(&self) -> Era {
        self.now
    }

    pub(super) fn note(&mut self, whom: Whom) {
        self.now.0 += 1;
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back(whom);
    }

    /// Whether this stream was kicked since `era`, or may have been.
    pub(super) fn since(
        &self,
        era: Era,
        stream: StreamId,
        session: Option<Session>,
        identity: &Identity<'_>,
    ) -> bool {
        let count = usize::try_from(self.now.0.saturating_sub(era.0)).unwrap_or(usize::MAX);
        count > self.recent.len()
            || self
                .recent
                .iter()
                .rev()
                .take(count)
                .any(|whom| whom.is(stream, session, identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId::from_random(1);
    const NOBODY: Identity<'_> = Identity {
        user: None,
        channels: &[],
    };

    #[test]
    fn a_kick_counts_for_permissions_from_before_it() {
        let mut kicks = Kicks::default();
        let before = kicks.now();
        kicks.note(Whom::Stream(STREAM));
        assert!(kicks.since(before, STREAM, None, &NOBODY));
        assert!(!kicks.since(before, StreamId::from_random(2), None, &NOBODY));
        assert!(!kicks.since(kicks.now(), STREAM, None, &NOBODY));
    }

    #[test]
    fn who_asked_before_what_is_remembered_is_kicked_as_well() {
        let mut kicks = Kicks::default();
        let before = kicks.now();
        for _ in 0..MOST {
            kicks.note(Whom::Session(Session(7)));
        }
        assert!(!kicks.since(before, STREAM, None, &NOBODY));
        kicks.note(Whom::Session(Session(7)));
        assert!(kicks.since(before, STREAM, None, &NOBODY));
        assert_eq!(kicks.recent.len(), MOST);
    }
}
