//! Places before which something may be missing that the log never saw.
//!
//! Whoever publishes into the log from a source that may lose events (a subscription to Redis that was broken off) notes
//! here, for the channels it publishes to, that up to now nobody knows. Whoever reads such a channel from before that place
//! is told so, once, and goes on there; it costs him nothing that the log still has.
//!
//! Bound: one place for each pattern, of which the configuration has a fixed number.

use crate::domain::{ChannelName, ChannelPattern, Position};

#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// The newest of all, so that almost every reader is answered by one comparison.
    newest: Position,
    places: Vec<(ChannelPattern, Position)>,
}

impl Doubts {
    /// Nobody knows what the channels that fit one of `patterns` have missed up to `at`.
    pub(super) fn note(&mut self, patterns: &[ChannelPattern], at: Position) {
        for pattern in patterns {
            match self.places.iter_mut().find(|(known, _)| known == pattern) {
                Some((_, place)) => *place = at,
                None => self.places.push((pattern.clone(), at)),
            }
        }
        self.newest = at;
    }

    /// Whether a place after `position` is in doubt, whatever the channel.
    pub(super) fn any_after(&self, position: Position) -> bool {
        self.newest > position
    }

    /// The newest place in doubt after `position` on any of `channels`.
    pub(super) fn after<'a>(
        &self,
        channels: impl Iterator<Item = &'a ChannelName>,
        position: Position,
    ) -> Option<Position> {
        if !self.any_after(position) {
            return None;
        }
        // Only by its name does anybody outside publish to a channel.
        let places = channels.filter(|name| name.is_named()).flat_map(|name| {
            let fits = move |(pattern, _): &&(ChannelPattern, Position)| pattern.matches(name);
            self.places.iter().filter(fits).map(|(_, place)| *place)
        });
        places.filter(|place| *place > position).max()
    }
}
