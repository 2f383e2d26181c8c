//! What leaves the log, and when: by the count of a channel, by age, or, oldest first, when memory runs out.
//!
//! What a channel's window pushes out, and what only passes, stays for a moment for the streams that are open, at most
//! `lag` bytes for each channel. States and recordings outlive the age of history, not its memory. A channel without
//! events and readers is kept for a while, because it knows what it has dropped; forgotten channels leave that knowledge in
//! a fixed number of buckets, so that a name that comes back may report a gap that was none, but never hides one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::{Channel, Entry};
use super::state::{State, channel_cost};
use crate::domain::{ChannelName, Position};

/// How long those who keep up have to read what is there for open streams only.
const TRAIL_TIME: Duration = Duration::from_secs(10);

impl State {
    /// Drops what is too old; then, while memory is short, forgets idle channels before it drops events.
    pub(super) fn trim(&mut self, now: Instant) {
        let age = self.settings.age;
        let memory = self.settings.memory.as_len();
        while self
            .events
            .first_key_value()
            .is_some_and(|(_, e)| now.saturating_duration_since(e.entry.at) >= age)
        {
            self.expire_first(now);
        }
        self.cut_trails(now);
        // Until then neither a dropped event nor a closing one is of use to anybody who comes back.
        let remembered = age.max(self.settings.closed_for);
        while let Some((since, _)) = self.idle.front() {
            if self.bytes <= memory && now.saturating_duration_since(*since) < remembered {
                break;
            }
            if let Some((since, name)) = self.idle.pop_front() {
                self.forget_unless_used(name, since);
            }
        }
        while self.bytes > memory && self.evict_oldest(now) {}
    }

    /// Takes the oldest event, whose time is over, out of its channels; what outlives its age stands aside.
    fn expire_first(&mut self, now: Instant) {
        let Some((_, oldest)) = self.events.first_key_value() else {
            return;
        };
        let position = oldest.entry.position;
        for name in Arc::clone(&oldest.channels).iter() {
            let Some(key) = self.channels.key(name) else {
                continue;
            };
            let Some(channel) = self.channels.at(key) else {
                continue;
            };
            // All older ones are gone, or their channel is a recording.
            let kept = !channel.whole && is_at(channel.kept_front(), position);
            let passing = is_at(channel.passing_front(), position);
            if kept {
                self.drop_kept(key);
            }
            if passing {
                self.drop_passing(key);
            }
            self.note_if_idle(key, now);
        }
        if let Some(standing) = self.events.remove(&position.seq()) {
            self.standing.insert(position.seq(), standing);
            self.freed = self.freed.max(position);
        }
    }

    /// Takes the oldest event of all out of every channel; whether there was one.
    fn evict_oldest(&mut self, now: Instant) -> bool {
        let trees = [&self.standing, &self.events];
        let first = trees.into_iter().filter_map(|tree| tree.first_key_value());
        let Some((_, oldest)) = first.min_by_key(|(seq, _)| **seq) else {
            return false;
        };
        let position = oldest.entry.position;
        for name in Arc::clone(&oldest.channels).iter() {
            let Some(key) = self.channels.key(name) else {
                continue;
            };
            let Some(channel) = self.channels.at(key) else {
                continue;
            };
            let kept = is_at(channel.kept_front(), position);
            let passing = is_at(channel.passing_front(), position);
            let state = is_at(channel.state_front(), position);
            if kept {
                self.drop_kept(key);
            }
            if passing {
                self.drop_passing(key);
            }
            if state {
                self.drop_state(key);
            }
            self.note_if_idle(key, now);
        }
        let seq = position.seq();
        let left = self
            .events
            .remove(&seq)
            .or_else(|| self.standing.remove(&seq));
        debug_assert!(
            left.is_none(),
            "the oldest event is the first in all its places"
        );
        if let Some(left) = left {
            self.bytes -= left.cost;
        }
        true
    }

    /// Drops the oldest kept event of one channel, for everybody.
    fn drop_kept(&mut self, key: u32) {
        let gone = self.channels.at_mut(key).and_then(Channel::drop_kept);
        self.lost(key, gone.as_ref());
    }

    /// Drops the oldest state of one channel, for everybody.
    pub(super) fn drop_state(&mut self, key: u32) {
        let gone = self.channels.at_mut(key).and_then(Channel::drop_state);
        self.lost(key, gone.as_ref());
    }

    /// Drops the oldest event that only passes through one channel.
    fn drop_passing(&mut self, key: u32) {
        if let Some(gone) = self.channels.at_mut(key).and_then(Channel::drop_passing) {
            self.freed = self.freed.max(gone.position);
            self.let_go(gone.position);
        }
    }

    fn lost(&mut self, key: u32, gone: Option<&Arc<Entry>>) {
        let Some(gone) = gone else { return };
        if let Some(channel) = self.channels.at(key) {
            self.freed = self.freed.max(channel.freed());
            // Nobody who is asked for listens to a recording.
            if !self.is_recording(key) {
                self.dropped = self.dropped.max(channel.dropped());
            }
        }
        self.let_go(gone.position);
    }

    /// Takes everything out of one channel, for everybody: whoever was before now has missed something.
    pub(super) fn clear(&mut self, name: &ChannelName, now: Instant) {
        let head = self.head;
        let Some(key) = self.channels.key(name) else {
            return;
        };
        if let Some(channel) = self.channels.at_mut(key) {
            channel.whole = false;
            channel.set_closed(None);
        }
        while self
            .channels
            .get(name)
            .is_some_and(|c| c.kept_front().is_some())
        {
            self.drop_kept(key);
        }
        while self
            .channels
            .get(name)
            .is_some_and(|c| c.state_front().is_some())
        {
            self.drop_state(key);
        }
        while self
            .channels
            .get(name)
            .is_some_and(|c| c.passing_front().is_some())
        {
            self.drop_passing(key);
        }
        if let Some(channel) = self.channels.at_mut(key) {
            channel.lose(head);
        }
        if !self.is_recording(key) {
            self.dropped = head;
        }
        self.note_if_idle(key, now);
    }

    /// Keeps what is there for open streams only as far as the bound allows. Without readers nobody needs a trail; what
    /// passes stays its moment, for those who look at all channels.
    pub(super) fn bound_trailing(&mut self, key: u32, now: Instant) {
        let lag = self.settings.lag.as_len();
        let unread = |channel: &Channel| channel.cursors == 0 && channel.has_trail();
        while self.channels.at(key).is_some_and(unread) {
            self.drop_kept(key);
        }
        let over = |channel: &Channel| {
            let (count, bytes) = channel.trailing();
            count > 0 && bytes > lag
        };
        while self.channels.at(key).is_some_and(over) {
            self.drop_trailing(key);
        }
        let unlisted =
            |channel: &Channel| channel.trailing().0 > 0 && channel.listed_trailing().is_none();
        if self.channels.at(key).is_some_and(unlisted) {
            self.list_trailing(key, now);
            self.bound_list();
        }
    }

    fn list_trailing(&mut self, key: u32, now: Instant) {
        let Some(name) = self.channels.name(key).cloned() else {
            return;
        };
        if let Some(channel) = self.channels.at_mut(key) {
            channel.list_trailing(Some(now));
            self.trailing.push_back((now, name));
        }
    }

    /// Channels that were forgotten stay on the list until it is twice as long as it need be.
    fn bound_list(&mut self) {
        if self.trailing.len() <= 2 * self.channels.len() + 64 {
            return;
        }
        let channels = &self.channels;
        let is_listed = |(since, name): &(Instant, ChannelName)| {
            let channel = channels.get(name);
            channel.is_some_and(|channel| channel.listed_trailing() == Some(*since))
        };
        self.trailing.retain(is_listed);
    }

    /// Drops the oldest event that one channel has for open streams only.
    fn drop_trailing(&mut self, key: u32) {
        let Some(channel) = self.channels.at(key) else {
            return;
        };
        let oldest = channel.oldest_trailing().map(|entry| entry.position);
        if oldest.is_some_and(|position| is_at(channel.passing_front(), position)) {
            self.drop_passing(key);
        } else {
            self.drop_kept(key);
        }
    }

    /// Lets go of what every stream that keeps up has read by now.
    fn cut_trails(&mut self, now: Instant) {
        while let Some((since, _)) = self.trailing.front() {
            if now.saturating_duration_since(*since) < TRAIL_TIME {
                return;
            }
            let Some((since, name)) = self.trailing.pop_front() else {
                return;
            };
            let Some(key) = self.channels.key(&name) else {
                continue;
            };
            let channel = self.channels.at(key);
            if channel.is_none_or(|channel| channel.listed_trailing() != Some(since)) {
                continue;
            }
            let is_old = |channel: &Channel| {
                let oldest = channel.oldest_trailing();
                oldest.is_some_and(|entry| now.saturating_duration_since(entry.at) >= TRAIL_TIME)
            };
            while self.channels.at(key).is_some_and(is_old) {
                self.drop_trailing(key);
            }
            let Some(channel) = self.channels.at_mut(key) else {
                continue;
            };
            if channel.trailing().0 > 0 {
                self.list_trailing(key, now);
            } else {
                channel.list_trailing(None);
                self.note_if_idle(key, now);
            }
        }
    }

    /// A channel that became idle is forgotten at once if it knows no more than its bucket (so that names nobody ever
    /// published to cost nothing), else after a while: a quiet channel whose client comes back in a moment must not report
    /// the gaps of others. The name of a recording never comes back.
    pub(super) fn note_if_idle(&mut self, key: u32, now: Instant) {
        if !self.channels.at(key).is_some_and(Channel::is_idle) {
            return;
        }
        let Some(name) = self.channels.name(key).cloned() else {
            return;
        };
        let floor = self.floor(&name);
        let Some(channel) = self.channels.at_mut(key) else {
            return;
        };
        let knows_nothing = channel.dropped() == floor && channel.closed().is_none();
        if (knows_nothing || name.is_recording()) && !channel.listed_idle {
            self.channels.remove(key);
            self.bytes -= channel_cost(&name);
            return;
        }
        channel.idle_since = Some(now);
        if !channel.listed_idle {
            channel.listed_idle = true;
            self.idle.push_back((now, name));
        }
    }

    fn forget_unless_used(&mut self, name: ChannelName, since: Instant) {
        let Some(key) = self.channels.key(&name) else {
            return;
        };
        let bucket = self.bucket(&name);
        let Some(channel) = self.channels.at_mut(key) else {
            return;
        };
        match channel.idle_since {
            Some(again) if channel.is_idle() && again > since => self.idle.push_back((again, name)),
            Some(_) if channel.is_idle() => {
                let dropped = channel.dropped();
                self.channels.remove(key);
                self.bytes -= channel_cost(&name);
                if let Some(floor) = self.forgotten.get_mut(bucket) {
                    *floor = dropped.max(*floor);
                }
            }
            _ => channel.listed_idle = false,
        }
    }

    fn is_recording(&self, key: u32) -> bool {
        self.channels
            .name(key)
            .is_some_and(ChannelName::is_recording)
    }
}

fn is_at(entry: Option<&Arc<Entry>>, position: Position) -> bool {
    entry.is_some_and(|entry| entry.position == position)
}
