//! A viewer of a recording: where on it he begins.
//!
//! A recording is a channel, so all the rest is a stream as any other. `proxy` enters with what `record` found.

use std::net::IpAddr;

use http::HeaderMap;

use super::place::{self, Hearing, Place, Reason};
use crate::ask::Grant;
use crate::domain::{ChannelName, Position};
use crate::history::{Log, Reach};
use crate::hub::{Era, Session};
use crate::limits::Present;
use crate::wire::ask::Terms;
use crate::wire::last_event_id::LastEventId;

/// A recording as one viewer meets it.
#[derive(Debug)]
pub struct Recorded {
    /// Its channel.
    pub channel: ChannelName,
    /// The place before its first event.
    pub start: Position,
    /// The id of the view after which it begins; `None` if it begins with the view.
    pub since: Option<String>,
    /// The place after its end, if the view has come to an end.
    pub end: Option<Position>,
    /// Where a viewer begins of whom it is not known where he was.
    pub begin: Begin,
    /// When the viewer was let in, counted in kicks.
    pub era: Era,
    /// More headers of the answer: of the viewer's own answer of Django.
    pub headers: HeaderMap,
    /// Whether its streams go on while the gateway drains, for nobody can have it again.
    pub outlasts: bool,
    /// Keeps the recording going.
    pub present: Present,
}

/// A viewer, and what he comes to see.
#[derive(Debug)]
pub struct Viewing {
    /// The client's address.
    pub client: IpAddr,
    /// The session of Django that came with the request.
    pub session: Option<Session>,
    /// Where the client says it was.
    pub last: Option<LastEventId>,
    /// The recording.
    pub recorded: Recorded,
}

/// Where a viewer begins of whom it is not known where he was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With the recording.
    Start,
    /// At this place.
    At(Position),
}

impl Recorded {
    /// The place of a viewer without one of his own.
    pub(super) const fn begin(&self) -> Position {
        match self.begin {
            Begin::Start => self.start,
            Begin::At(position) => position,
        }
    }

    /// What lets a stream on the recording.
    pub(super) fn grant(&self) -> Grant {
        let terms = Terms {
            channels: vec![self.channel.clone()],
            user: None,
            expires: None,
            retry: None,
        };
        Grant {
            terms,
            initial: bytes::Bytes::new(),
            cors: self.headers.clone(),
            era: self.era.0,
        }
    }

    /// Where a viewer begins who says that he was at `last`.
    pub(super) fn place(
        &self,
        log: &Log,
        hearing: &Hearing,
        last: Option<&LastEventId>,
        reach: &Reach,
    ) -> Place {
        // What was sent before the recording began was sent by another one, which is gone.
        let before = |place: Position| place < self.start;
        match last {
            Some(LastEventId::Own(id)) if log.place(*id).is_some_and(before) => {
                return Place::Unknown(Reason::UnknownId);
            }
            // All of it is asked for, and it lacks its beginning.
            None if self.begin == Begin::Start && self.since.is_some() => {
                return Place::Unknown(Reason::History);
            }
            _ => {}
        }
        match (place::find(log, hearing, last, self.begin(), reach), last) {
            // The view was told this very id and has gone on from there.
            (Place::Unknown(Reason::UnknownId), Some(LastEventId::Foreign(id)))
                if self.since.as_ref() == Some(id) =>
            {
                Place::At(self.start)
            }
            (Place::At(position), _) if self.end.is_some_and(|end| end <= position) => Place::Over,
            (place, _) => place,
        }
    }
}
