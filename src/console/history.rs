//! What history holds of a channel, page by page. Nothing is skipped: whoever goes on after events that have been dropped
//! is told so.

use bytes::Bytes;
use jiff::Timestamp;

use super::Console;
use crate::domain::{ChannelName, Position, PublisherId};
use crate::history::Found;
use crate::wire::console::{Kept, history};
use crate::wire::last_event_id::LastEventId;

/// The most bytes of events on one page, if it has more than one.
const MOST_BYTES: usize = 1 << 20;

/// There is no page after this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPage {
    /// Its place is not known.
    #[error(
        "history holds no event of this channel with that id, and it is no place of this log: it may be of another life of \
         the log, before a restart"
    )]
    Unknown,
    /// What came after it is not all there.
    #[error("events of this channel after that one have been dropped from history")]
    Dropped,
}

impl Console {
    /// The JSON of up to `most` events of `channel`, the oldest first: after an event, or from the oldest that is there.
    pub fn history(
        &self,
        channel: &ChannelName,
        after: Option<&LastEventId>,
        most: usize,
    ) -> Result<Bytes, NoPage> {
        let after = after.map(|id| self.place(channel, id)).transpose()?;
        let page = self.hub.log().history(channel, after, most);
        let (kept, mut more) = page.ok_or(NoPage::Dropped)?;
        let mut events = Vec::new();
        let mut last = None;
        let mut room = MOST_BYTES;
        for one in kept {
            if last.is_some() && one.frame.len() > room {
                more = true;
                break;
            }
            room = room.saturating_sub(one.frame.len());
            last = Some(one.place);
            // A clock that is beyond what can be written is no reason to tell nothing.
            let at = Timestamp::try_from(one.at).unwrap_or_default();
            events.extend(Kept::of(&one.frame, one.id, at));
        }
        Ok(history(&events, last.filter(|_| more)))
    }

    /// The place of an event: an id of this log is one, a publisher's is looked up in the channel.
    fn place(&self, channel: &ChannelName, id: &LastEventId) -> Result<Position, NoPage> {
        let log = self.hub.log();
        let text = match id {
            LastEventId::Own(id) => match log.place(*id) {
                Some(place) => return Ok(place),
                // One of another life may still be an id that a publisher gave.
                None => id.to_string(),
            },
            LastEventId::Foreign(id) => id.clone(),
            LastEventId::Unusable => return Err(NoPage::Unknown),
        };
        let id = PublisherId::parse(&text).map_err(|_| NoPage::Unknown)?;
        match log.find(std::slice::from_ref(channel), &id) {
            Found::At(place) => Ok(place),
            Found::Ambiguous | Found::Nowhere => Err(NoPage::Unknown),
        }
    }
}
