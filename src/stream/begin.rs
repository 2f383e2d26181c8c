//! How a held stream begins, and how it goes on with other channels.
//!
//! What a client is told at its beginning is in one order: the head; a reset, if something was missed; the initial state
//! of the view; the newest events from before, where the last of a name is kept; the place after all of these; then
//! events. Invariant: a place is told only after everything before it, for a client that is cut off comes back with it.

use std::sync::Arc;

use super::held::{Arrival, Held, Reading, drawn};
use super::permission::Renewal;
use super::place::{Hearing, Place, Reason};
use crate::ask::Grant;
use crate::domain::{ChannelName, Frame, Position, RetryMs};
use crate::history::Progress;
use crate::hub::{Ending, Era, Membership};
use crate::wire::sse;

impl Held {
    /// The first bytes of a stream that is not granted yet. A client that came with an id keeps it: a place it has not
    /// reached must not take its stead.
    pub(super) fn wait_for_permission(&mut self) {
        let id = match &self.reading {
            Reading::Nothing(Arrival { now, last: None }) => Some(self.log().id(*now).to_string()),
            _ => None,
        };
        self.say_head(drawn(&self.settings.retry), id.as_deref());
    }

    /// The first bytes of a granted stream. The id comes after an initial state, and after the states of its channels: a
    /// client cut off within them must not come back as one who has them.
    pub(super) fn begin(&mut self, grant: &Grant, place: Place, renewal: Renewal) {
        let retry = grant
            .terms
            .retry
            .unwrap_or_else(|| drawn(&self.settings.retry));
        let known = match place {
            Place::At(position)
                if grant.initial.is_empty() && !self.has_states(grant, position) =>
            {
                Some(self.log().id(position).to_string())
            }
            _ => None,
        };
        self.say_head(retry, known.as_deref());
        self.start(grant, place, known.is_some());
        self.permit(grant, renewal);
    }

    fn say_head(&mut self, retry: RetryMs, id: Option<&str>) {
        self.say(sse::head(retry, id));
        if let Some(name) = &self.settings.open_event {
            let data = format!(r#"{{"stream":"{}"}}"#, self.seat.id());
            self.say(sse::named(&name.clone(), &data));
        }
    }

    /// Goes on its channels, with the initial state and, unless `told`, the place it begins at.
    pub(super) fn start(&mut self, grant: &Grant, place: Place, told: bool) {
        let Reading::Nothing(Arrival { now, last }) = &self.reading else {
            return;
        };
        let (now, fresh) = (*now, last.is_none());
        let hearing = Hearing::of(&grant.terms);
        let (position, reset) = match place {
            Place::At(position) => (position, None),
            Place::Unknown(reason) => (now, Some(reason)),
            Place::Over => return self.end("closed"),
        };
        // A stream that was held for long may have lost even the place it came with.
        let (position, reset) = if self
            .log()
            .has_gap(hearing.all(), position, &self.settings.reach)
        {
            let reason = Reason::of_gap(self.log(), hearing.all(), position);
            (self.log().position(), Some(reason))
        } else {
            (position, reset)
        };
        let membership = self.join(grant, &hearing);
        let cursor = self.log().cursor(Arc::clone(hearing.all()), position);
        let cursor = cursor.lagging(self.settings.reach.lag);
        self.seat.note(position, 0);
        self.reading = Reading::Channels(cursor, membership);
        // Who was kicked since the permission was asked for gets nothing of what it would have allowed.
        if self.is_revoked() {
            return;
        }
        let with_states = fresh || reset.is_some();
        let states = with_states.then(|| self.states(hearing.all(), &[], position));
        self.say_beginning(
            reset,
            &grant.initial,
            states.unwrap_or_default(),
            position,
            told,
        );
        // Who missed the closing event is told that something is missing, and then nothing more comes.
        let closed_for = self.settings.reach.closed_for;
        if reset.is_some()
            && self
                .log()
                .has_seen_the_end(hearing.named(), position, closed_for)
        {
            return self.end("closed");
        }
        // What was dropped since a moment ago is a reset as well, not a slow client.
        if self.read() == Some(Progress::Gap) {
            self.skip();
        }
    }

    /// Whether a stream that begins at `position` is given states.
    fn has_states(&self, grant: &Grant, position: Position) -> bool {
        let channels = Hearing::of(&grant.terms);
        let fresh = matches!(&self.reading, Reading::Nothing(Arrival { last: None, .. }));
        fresh && !self.states(channels.all(), &[], position).is_empty()
    }

    /// What `channels` keep for whoever comes later than `position` and has not `heard` it.
    pub(super) fn states(
        &self,
        channels: &[ChannelName],
        heard: &[ChannelName],
        position: Position,
    ) -> Vec<Frame> {
        let states = self.log().states(channels, heard, position, self.seat.id());
        if self.is_revoked() { vec![] } else { states }
    }

    /// A reset, the state that answers it, the newest events from before; and, unless it was `told`, the place after all
    /// of these: a client cut off among them must not come back as one who has them.
    pub(super) fn say_beginning(
        &mut self,
        reset: Option<Reason>,
        initial: &[u8],
        states: Vec<Frame>,
        position: Position,
        told: bool,
    ) {
        let id = self.log().id(position);
        let quiet = initial.is_empty() && states.is_empty();
        if let Some(reason) = reset {
            self.reset(reason, quiet.then_some(id));
        }
        if !initial.is_empty() {
            self.say(Frame::new(initial));
        }
        self.delivered(position, states.len());
        self.ready.extend(states);
        if !quiet || !(told || reset.is_some()) {
            self.say(sse::place(id));
        }
    }

    fn join(&self, grant: &Grant, hearing: &Hearing) -> Membership {
        let user = grant.terms.user.as_ref();
        self.seat.join(user, hearing.all(), Era(grant.era))
    }

    /// Goes on with the channels of a new grant, from the same place.
    pub(super) fn move_to(&mut self, grant: &Grant) {
        let hearing = Hearing::of(&grant.terms);
        // Also if nothing seems to change: a kick since the ask ends the stream.
        let joined = self.join(grant, &hearing);
        let Reading::Channels(cursor, membership) = &mut self.reading else {
            return;
        };
        *membership = joined;
        if matches!(self.seat.ending(), Some(Ending::Kick | Ending::Logout)) {
            return;
        }
        let before = Arc::clone(cursor.channels());
        let is_new = |channel: &&ChannelName| !before.contains(channel);
        let added: Vec<_> = hearing.all().iter().filter(is_new).cloned().collect();
        if added.is_empty() && before.len() == hearing.all().len() {
            return;
        }
        let position = cursor.position();
        *cursor = cursor.moved_to(Arc::clone(hearing.all()));
        // The state of channels that were not there before.
        let states = self.states(&added, &before, position);
        self.say_beginning(None, &grant.initial, states, position, true);
        // What only passed the new channels meanwhile is a reset, not a slow client.
        if self.read() == Some(Progress::Gap) {
            self.skip();
        }
    }
}
