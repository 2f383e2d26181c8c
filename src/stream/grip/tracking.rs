//! What one connection has had of each of its channels, and so what the next item is to it.
//!
//! A channel with a `prev-id` is *reliable*: an item follows if it names the id of the item before it, and what does not
//! follow means that something is missing. Without one every item follows. A hold and a waiting poll have the same
//! questions, so both have one of these. No I/O; the log is only asked where an id stands.

use std::sync::Arc;

use super::catching_up::CatchingUp;
use crate::domain::{ChannelName, Position, PublisherId};
use crate::history::{Found, Log};
use crate::wire::grip::{Channel, Filters, Instruct, Stored, delivers};

/// Which bytes the other protocol has for this; see `wire::grip`.
type Id = Arc<str>;

/// A connection's channels.
#[derive(Debug)]
pub(super) struct Tracking {
    tracked: Box<[Tracked]>,
    meta: Box<[(Box<str>, Box<str>)]>,
    /// The length of what this upstream's channel names begin with here, and not in Django.
    prefix: usize,
    /// Everything up to here was looked at.
    done: Position,
}

#[derive(Debug)]
struct Tracked {
    channel: ChannelName,
    filters: Filters,
    /// Everything up to here the client has, or need not have.
    from: Position,
    /// Up to here, what does not follow was in Django's last answer, or else is missed by what comes next.
    answered: Position,
    /// The newest item the client has; `None`: the channel is not reliable.
    prev_id: Option<Id>,
}

/// What an item is to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Nothing: not for it, or it has it.
    Nothing,
    /// The next one, on the channel of this number.
    Next(usize),
    /// Not the next one: something is missing in between.
    Gap,
}

/// When Django's answer was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    /// The end of the log before Django was asked.
    pub(super) asked: Position,
    /// The end of the log when it had answered.
    pub(super) answered: Position,
    /// Whether the client is given something with it; then it is the newest that the client has.
    pub(super) has_body: bool,
    /// Whether it was asked because something was missing: then what does not follow its answer was in it.
    pub(super) is_again: bool,
}

/// What an answer comes to.
#[derive(Debug)]
pub(super) struct Instructed {
    /// Whether an item may be missing of which nothing in the log tells, so that Django should be asked once more.
    pub(super) is_doubtful: bool,
    /// What is to be read before the log is read on.
    pub(super) catching_up: Option<CatchingUp>,
}

impl Tracking {
    /// On no channel, with everything up to `done` looked at.
    pub(super) fn new(done: Position) -> Self {
        Self {
            tracked: Box::default(),
            meta: Box::default(),
            prefix: 0,
            done,
        }
    }

    /// What Django's answer says, in place of what it said before.
    pub(super) fn instruct(
        &mut self,
        log: &Log,
        prefix: &str,
        instruct: &Instruct,
        when: When,
    ) -> Instructed {
        let mut is_doubtful = false;
        let tracked = instruct.channels.iter().map(|told| {
            let (tracked, doubt) = self.follow(log, prefix, told, when);
            is_doubtful |= doubt;
            tracked
        });
        let tracked = tracked.collect();
        self.tracked = tracked;
        self.meta = instruct.meta.clone().into_boxed_slice();
        self.prefix = prefix.len();
        let earlier = self.tracked.iter().filter(|t| t.prev_id.is_some());
        let earlier = earlier.map(|tracked| (tracked.channel.clone(), tracked.from));
        Instructed {
            is_doubtful,
            catching_up: CatchingUp::new(earlier, self.done),
        }
    }

    fn follow(&self, log: &Log, prefix: &str, told: &Channel, when: When) -> (Tracked, bool) {
        let channel = ChannelName::of_foreign(&format!("{prefix}{}", told.name));
        let before = self.tracked.iter().find(|known| known.channel == channel);
        // A channel it was not on begins where Django was asked: whatever came later may not be in the answer.
        let from = before.map_or(when.asked, |_| self.done);
        let mut tracked = Tracked {
            channel,
            filters: told.filters.clone(),
            from,
            answered: if when.is_again {
                when.answered
            } else {
                Position::START
            },
            prev_id: told.prev_id.as_deref().map(Id::from),
        };
        let Some(prev_id) = &tracked.prev_id else {
            return (tracked, false);
        };
        let Some(place) = place(log, &tracked.channel, prev_id) else {
            tracked.answered = when.answered;
            let newest = log.newest(&tracked.channel);
            let is_doubtful = newest.is_some_and(|(_, id)| id.is_some());
            return (tracked, is_doubtful);
        };
        let had = before.filter(|_| !when.has_body);
        let had = had.and_then(|before| before.newest(log));
        match had {
            // The answer is older than what the client was given meanwhile.
            Some((newest, id)) if newest > place => {
                tracked.prev_id = Some(id);
                tracked.from = newest.min(from);
            }
            // What it was given of a channel that was not reliable it has.
            _ if before.is_some_and(|before| before.prev_id.is_none()) => {}
            _ => tracked.from = place,
        }
        (tracked, false)
    }

    /// The channels, for the log and the hub.
    pub(super) fn channels(&self) -> Arc<[ChannelName]> {
        let names = self.tracked.iter().map(|tracked| tracked.channel.clone());
        names.collect()
    }

    /// Everything up to here was looked at: where the log is read on.
    pub(super) const fn done(&self) -> Position {
        self.done
    }

    /// From now on everything up to `position` counts as looked at.
    pub(super) const fn pass(&mut self, position: Position) {
        self.done = position;
    }

    /// Whether every channel is reliable, so that Django can say what is missing.
    pub(super) fn is_reliable(&self) -> bool {
        self.tracked.iter().all(|tracked| tracked.prev_id.is_some())
    }

    /// Whether any channel is.
    pub(super) fn is_any_reliable(&self) -> bool {
        self.tracked.iter().any(|tracked| tracked.prev_id.is_some())
    }

    /// The reliable channels as Django names them, and the newest item the client has of each.
    pub(super) fn last(&self) -> impl Iterator<Item = (&str, &str)> {
        let known = |tracked: &Tracked| tracked.prev_id.is_some();
        let last = self.tracked.iter().filter(move |tracked| known(tracked));
        last.map(|tracked| {
            let id = tracked.prev_id.as_deref().unwrap_or_default();
            (self.name(tracked), id)
        })
    }

    /// Looks at the next item. `share` makes an id that many connections may have.
    pub(super) fn judge(&mut self, item: &Stored<'_>, share: impl FnOnce(&str) -> Id) -> Judged {
        let position = Position::after(item.seq);
        let index = self
            .tracked
            .iter()
            .position(|tracked| tracked.channel.foreign() == Some(item.channel));
        let Some((index, tracked)) =
            index.and_then(|index| Some((index, self.tracked.get_mut(index)?)))
        else {
            return Judged::Nothing;
        };
        let judged = if position <= tracked.from {
            Judged::Nothing
        } else {
            tracked.judge(item, position, index)
        };
        if matches!(judged, Judged::Next(_)) && tracked.prev_id.is_some() {
            tracked.prev_id = item.id.map(share);
        }
        judged
    }

    /// Whether an item that was the next one passes the filters of its channel.
    pub(super) fn delivers(&self, index: usize, item: &Stored<'_>) -> bool {
        let Some(tracked) = self.tracked.get(index) else {
            return false;
        };
        let is_on = |name: &str| self.tracked.iter().any(|known| self.name(known) == name);
        delivers(&tracked.filters, |name| self.meta(name), is_on, item)
    }

    /// The filters of a channel.
    pub(super) fn filters(&self, index: usize) -> Option<Filters> {
        Some(self.tracked.get(index)?.filters.clone())
    }

    /// The filters of all channels.
    pub(super) fn all_filters(&self) -> impl Iterator<Item = Filters> {
        self.tracked.iter().map(|tracked| tracked.filters.clone())
    }

    /// What Django told of the connection under `name`.
    pub(super) fn meta(&self, name: &str) -> Option<&str> {
        let told = self.meta.iter().find(|(known, _)| **known == *name);
        told.map(|(_, value)| &**value)
    }

    /// The newest item the client has of the channel that Django calls `name`.
    pub(super) fn prev_id(&self, name: &str) -> Option<&str> {
        let tracked = self.tracked.iter().find(|known| self.name(known) == name);
        tracked?.prev_id.as_deref()
    }

    fn name<'t>(&self, tracked: &'t Tracked) -> &'t str {
        let whole = tracked.channel.foreign().unwrap_or_default();
        whole.get(self.prefix..).unwrap_or_default()
    }
}

impl Tracked {
    /// The place of the newest item the client has, and its id; `None` if the log knows it no more.
    fn newest(&self, log: &Log) -> Option<(Position, Id)> {
        let id = self.prev_id.clone()?;
        Some((place(log, &self.channel, &id)?, id))
    }

    fn judge(&self, item: &Stored<'_>, position: Position, index: usize) -> Judged {
        match &self.prev_id {
            None => Judged::Next(index),
            Some(prev_id) if item.prev_id == Some(prev_id) => Judged::Next(index),
            // Django's answer had it already.
            Some(prev_id) if item.id == Some(prev_id) => Judged::Nothing,
            Some(_) if position <= self.answered => Judged::Nothing,
            Some(_) => Judged::Gap,
        }
    }
}

/// Where the item `id` of `channel` stands.
fn place(log: &Log, channel: &ChannelName, id: &str) -> Option<Position> {
    let id = PublisherId::parse(id).ok()?;
    match log.find(std::slice::from_ref(channel), &id) {
        Found::At(position) => Some(position),
        Found::Ambiguous | Found::Nowhere => None,
    }
}
