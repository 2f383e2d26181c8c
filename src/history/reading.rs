//! What readers ask of the log's structure: the next events of some channels, gaps, ends, ids.
//!
//! The other half of `State`, which keeps what is read here. Nothing is changed but what has run out by `now`.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::channel::Channel;
use super::state::State;
use super::{Depth, Found, Progress, Told};
use crate::domain::{ChannelName, EventId, Frame, Position, PublisherId, StreamId};

impl State {
    pub(super) fn read(
        &mut self,
        channels: &[ChannelName],
        from: Position,
        stream: StreamId,
        most: usize,
        now: Instant,
        out: &mut VecDeque<Frame>,
    ) -> (Progress, Position) {
        self.trim(now);
        let mut rings = Vec::with_capacity(channels.len());
        for channel in channels.iter().filter_map(|name| self.channels.get(name)) {
            if channel.freed() > from {
                return (Progress::Gap, from);
            }
            rings.push(channel.after(from).peekable());
        }
        let mut position = from;
        for _ in 0..most {
            let Some(next) = rings
                .iter_mut()
                .filter_map(|ring| ring.peek().map(|e| e.position))
                .min()
            else {
                return (Progress::UpToDate, self.head);
            };
            position = next;
            // An event of several channels is one event: every ring moves past it, it is sent once.
            let mut found = None;
            for ring in &mut rings {
                found = ring.next_if(|entry| entry.position == next).or(found);
            }
            let Some(entry) = found else { continue };
            if entry.except != Some(stream) && !entry.frame.is_empty() {
                out.push_back(entry.frame.clone());
            }
            if entry.close {
                return (Progress::Closed, position);
            }
        }
        (Progress::More, position)
    }

    /// Whether an event of any of `channels` after `position` has been dropped.
    pub(super) fn has_gap(
        &mut self,
        channels: &[ChannelName],
        position: Position,
        now: Instant,
    ) -> bool {
        self.trim(now);
        let dropped = |name| {
            self.channels
                .get(name)
                .map_or_else(|| self.floor(name), Channel::dropped)
        };
        channels.iter().any(|name| dropped(name) > position)
    }

    pub(super) fn read_all(&self, from: Position, most: usize) -> Option<(Vec<Told>, Position)> {
        if self.freed > from {
            return None;
        }
        let after = self.events.range(from.next().seq()..).take(most);
        let events: Vec<_> = after
            .map(|(_, s)| (Arc::clone(&s.channels), s.entry.frame.clone()))
            .collect();
        let last = self.events.range(from.next().seq()..).take(most).last();
        let place = if events.len() < most {
            self.head
        } else {
            last.map_or(self.head, |(_, s)| s.entry.position)
        };
        Some((events, place))
    }

    pub(super) fn find(
        &mut self,
        channels: &[ChannelName],
        id: &PublisherId,
        now: Instant,
    ) -> Found {
        self.trim(now);
        let mut found = Found::Nowhere;
        for channel in channels.iter().filter_map(|name| self.channels.get(name)) {
            found = match (found, channel.find(id)) {
                (so_far, None) => so_far,
                (Found::Nowhere, Some(position)) => Found::At(position),
                (Found::At(before), Some(position)) if before == position => Found::At(position),
                (Found::At(_) | Found::Ambiguous, Some(_)) => return Found::Ambiguous,
            };
        }
        found
    }

    /// Whether any of `channels` was closed after `position`.
    pub(super) fn was_closed_since(&self, channels: &[ChannelName], position: Position) -> bool {
        let end = |name| self.channels.get(name).and_then(|channel| channel.closed);
        channels
            .iter()
            .filter_map(end)
            .any(|(end, _)| end > position)
    }

    pub(super) fn has_seen_the_end(
        &self,
        channels: &[ChannelName],
        position: Position,
        now: Instant,
    ) -> bool {
        let seen = |name| {
            let closed = self
                .channels
                .get(name)
                .and_then(|channel: &Channel| channel.closed);
            closed.is_some_and(|(end, at)| {
                end <= position && now.saturating_duration_since(at) < self.settings.closed_for
            })
        };
        !channels.is_empty() && channels.iter().all(seen)
    }

    pub(super) fn depths(&self, id: impl Fn(Position) -> EventId) -> Vec<Depth> {
        let depth = |(name, channel): (&ChannelName, &Channel)| Depth {
            channel: name.clone(),
            events: channel.window(),
            last_id: channel.newest().map(|entry| match &entry.id {
                Some(own) => own.as_str().to_owned(),
                None => id(entry.position).to_string(),
            }),
        };
        let there = |(_, channel): &(&ChannelName, &Channel)| !channel.is_idle();
        self.channels.iter().filter(there).map(depth).collect()
    }
}
