//! Where in the log a stream begins: at what the client has seen, at now, or with a reset.

use std::sync::Arc;

use crate::domain::{ChannelName, EventId, Position, PublisherId};
use crate::history::{Found, Log, Reach};
use crate::wire::ask::Terms;
use crate::wire::last_event_id::LastEventId;

/// What a stream hears: the channels that were named, and its user's own.
#[derive(Debug)]
pub(super) struct Hearing {
    all: Arc<[ChannelName]>,
    /// How many of them were named.
    named: usize,
}

impl Hearing {
    pub(super) fn of(terms: &Terms) -> Self {
        let named = terms.channels.len();
        let own = terms.user.as_ref().map(ChannelName::of_user);
        Self {
            all: terms.channels.iter().cloned().chain(own).collect(),
            named,
        }
    }

    pub(super) const fn all(&self) -> &Arc<[ChannelName]> {
        &self.all
    }

    /// The channels whose end is the end of the stream: a user has none.
    pub(super) fn named(&self) -> &[ChannelName] {
        self.all.get(..self.named).unwrap_or_default()
    }
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// After this place, with nothing missing.
    At(Position),
    /// What the client may have missed cannot be known.
    Unknown(Reason),
    /// The client has seen the closing event of every channel: there is nothing more to come.
    Over,
}

/// What a `reset` says, and the label it is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Events after the client's place have been dropped.
    History,
    /// Redis was away, and what was published there meanwhile is lost.
    Redis,
    /// The id is of no event that these channels still hold.
    UnknownId,
    /// The id was used in several of the channels, for different events.
    AmbiguousId,
    /// The id is no id at all.
    MalformedId,
}

impl Reason {
    /// Why something is missing in `channels` after `position`.
    pub(super) fn of_gap(log: &Log, channels: &[ChannelName], position: Position) -> Self {
        if log.is_in_doubt(channels, position) {
            Self::Redis
        } else {
            Self::History
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Redis => "redis",
            Self::UnknownId => "unknown-id",
            Self::AmbiguousId => "ambiguous-id",
            Self::MalformedId => "malformed-id",
        }
    }
}

/// Finds the place of a client that was at `last`, in the channels it may hear now. A client without an id begins at
/// `now`, the place that was noted before anybody was asked.
pub(super) fn find(
    log: &Log,
    hearing: &Hearing,
    last: Option<&LastEventId>,
    now: Position,
    reach: &Reach,
) -> Place {
    let channels = hearing.all();
    let found = match last {
        None => return Place::At(now),
        Some(LastEventId::Unusable) => Err(Reason::MalformedId),
        Some(LastEventId::Foreign(id)) => by_publisher(log, channels, id),
        Some(LastEventId::Own(id)) => own(log, channels, *id),
    };
    match found {
        Ok(position) if log.has_seen_the_end(hearing.named(), position, reach.closed_for) => {
            Place::Over
        }
        Ok(position) if log.has_gap(channels, position, reach) => {
            Place::Unknown(Reason::of_gap(log, channels, position))
        }
        Ok(position) => Place::At(position),
        Err(reason) => Place::Unknown(reason),
    }
}

/// Whether nothing after the place of `last` is missing within `reach`. Which place a publisher's id stands for is
/// known only with the channels.
pub(super) fn is_whole_since(log: &Log, last: Option<&LastEventId>, reach: &Reach) -> bool {
    match last {
        Some(LastEventId::Own(id)) => log
            .place(*id)
            .is_some_and(|place| log.is_whole_since(place, reach)),
        None | Some(LastEventId::Foreign(_) | LastEventId::Unusable) => false,
    }
}

/// An id of this log is a place in it, whichever channel it came from. One of another life may still be an id that a
/// publisher gave.
fn own(log: &Log, channels: &[ChannelName], id: EventId) -> Result<Position, Reason> {
    log.place(id)
        .map_or_else(|| by_publisher(log, channels, &id.to_string()), Ok)
}

fn by_publisher(log: &Log, channels: &[ChannelName], id: &str) -> Result<Position, Reason> {
    let id = PublisherId::parse(id).map_err(|_| Reason::MalformedId)?;
    match log.find(channels, &id) {
        Found::At(position) => Ok(position),
        Found::Ambiguous => Err(Reason::AmbiguousId),
        Found::Nowhere => Err(Reason::UnknownId),
    }
}
