//! From what a view writes to the events of its recording.
//!
//! The view's ids, names, data and `retry` stay; its comments go, for the gateway sends heartbeats of its own. An id
//! counts for the event it stands in, or, from a block of its own, for the next one: in the format it sticks to the later
//! ones too, but an id used twice means the latest.

use bytes::Bytes;

use crate::domain::{ChannelName, Event, EventId, EventName, Keep, PublisherId, RetryMs};
use crate::wire::sse::{Parsed, Parser};

/// What an event holds beside its data, on which the limit is: a name and what stands before a value.
const FIELD: usize = 2048;

/// Reads the answers of one view, one after the other.
#[derive(Debug)]
pub(super) struct Reading {
    channel: ChannelName,
    longest: usize,
    parser: Parser,
    /// The last id of the answers before.
    before: String,
    /// The last id at the newest event of this answer.
    told: String,
    /// Whether the newest event has an id of the view, so that a view asked to go on from there repeats nothing.
    exact: bool,
}

/// An event that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("an event of the view is longer than publish.max_event")]
    TooLong,
    #[error("an event of the view has a name that cannot be sent on")]
    Name,
}

impl Reading {
    /// `longest` is the most bytes of one event's data.
    pub(super) fn new(channel: ChannelName, longest: usize) -> Self {
        Self {
            channel,
            longest,
            parser: Parser::new(longest + FIELD),
            before: String::new(),
            told: String::new(),
            exact: true,
        }
    }

    /// The channel of the recording.
    pub(super) const fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Takes the next bytes; the events they complete, and why there will be no more.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (Vec<Event>, Option<Unreadable>) {
        let parsed = self.parser.feed(bytes).unwrap_or_default();
        let mut events = Vec::with_capacity(parsed.len());
        for parsed in parsed {
            let has_id = parsed.has_id || parsed.id != self.told;
            self.exact = has_id && !parsed.id.is_empty();
            parsed.id.clone_into(&mut self.told);
            match self.event(parsed, has_id) {
                Ok(event) => events.push(event),
                Err(unreadable) => return (events, Some(unreadable)),
            }
        }
        (
            events,
            self.parser.too_large().then_some(Unreadable::TooLong),
        )
    }

    /// Begins with the next answer of the view. What the last one left unfinished is gone; the events that came after the
    /// last id, or without any, may come again, and the one that an id was said for may never: then viewers must be told.
    pub(super) fn begin_anew(&mut self) -> Option<Event> {
        self.exact &= self.parser.last_event_id() == self.told;
        self.told = String::new();
        self.before = self.last().unwrap_or_default().to_owned();
        self.parser = Parser::new(self.longest + FIELD);
        let told = (!self.exact).then(|| self.reset("restarted"));
        self.exact = true;
        told
    }

    /// The last id that the view gave: where it is asked to go on.
    pub(super) fn last(&self) -> Option<&str> {
        let ids = [self.parser.last_event_id(), self.before.as_str()];
        ids.into_iter().find(|id| !id.is_empty())
    }

    fn event(&self, parsed: Parsed, has_id: bool) -> Result<Event, Unreadable> {
        let Parsed {
            event,
            data,
            id,
            has_id: _,
            retry,
        } = parsed;
        if data.len() > self.longest {
            return Err(Unreadable::TooLong);
        }
        let name = match event.as_str() {
            "message" => None,
            name => Some(EventName::parse(name).map_err(|_| Unreadable::Name)?),
        };
        // An id of the form of ours would be taken for a place in the log.
        let id = PublisherId::parse(&id).ok().filter(|_| has_id);
        let id = id.filter(|id| EventId::parse(id.as_str()).is_none());
        let retry = retry.and_then(|retry| u32::try_from(retry).ok());
        Ok(Event {
            name,
            data: Some(Bytes::from(data)),
            id,
            retry: retry.map(RetryMs),
            ..self.bare(false)
        })
    }

    /// What tells viewers that events may be missing or come twice, and why.
    pub(super) fn reset(&self, reason: &str) -> Event {
        Event {
            name: EventName::parse("reset").ok(),
            data: Some(format!(r#"{{"reason":"{reason}"}}"#).into()),
            ..self.bare(false)
        }
    }

    /// What no viewer sees, but has a place.
    pub(super) fn mark(&self) -> Event {
        self.bare(false)
    }

    /// The end.
    pub(super) fn close(&self) -> Event {
        self.bare(true)
    }

    fn bare(&self, close: bool) -> Event {
        Event {
            channels: vec![self.channel.clone()],
            name: None,
            data: None,
            id: None,
            retry: None,
            keep: Keep::All,
            close,
            except: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(longest: usize) -> Reading {
        Reading::new(ChannelName::of_recording(1), longest)
    }

    fn ids(text: &[u8]) -> Vec<Option<String>> {
        let (events, unreadable) = reading(1000).feed(text);
        assert_eq!(unreadable, None);
        let ids = events
            .iter()
            .map(|e| e.id.as_ref().map(ToString::to_string));
        ids.collect()
    }

    #[test]
    fn an_id_counts_for_its_own_event() {
        let found = ids(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: \xc3\xa4\ndata: d\n\n");
        assert_eq!(
            found,
            [Some("1".to_owned()), None, None, Some("\u{e4}".to_owned())]
        );
    }

    #[test]
    fn an_id_in_a_block_of_its_own_counts_for_the_next_event_alone() {
        let found = ids(b"id: 1\n\ndata: a\n\ndata: b\n\nid: 2\n\nid: 3\n\ndata: c\n\n");
        assert_eq!(found, [Some("1".to_owned()), None, Some("3".to_owned())]);
    }

    #[test]
    fn an_id_that_could_not_come_back_or_is_like_ours_is_left_out() {
        let long = format!("id: {}\ndata: a\n\n", "i".repeat(1025));
        for text in [
            "id: a\tb\u{1}\ndata: a\n\n",
            "id: 00000000ab-7\ndata: a\n\n",
            &long,
        ] {
            let (events, _) = reading(2000).feed(text.as_bytes());
            assert_eq!((events.len(), events[0].id.as_ref()), (1, None), "{text}");
        }
    }

    #[test]
    fn what_is_too_long_ends_it_after_what_came_before() {
        let (events, unreadable) = reading(4).feed(b"data: 1234\n\ndata: 12345\n\ndata: x\n\n");
        assert_eq!((events.len(), unreadable), (1, Some(Unreadable::TooLong)));
        let endless = [b"data: ".as_slice(), &[b'x'; 3000]].concat();
        assert_eq!(reading(4).feed(&endless).1, Some(Unreadable::TooLong));
        let name = format!("event: {}\ndata: x\n\n", "n".repeat(1025));
        assert_eq!(
            reading(2000).feed(name.as_bytes()).1,
            Some(Unreadable::Name)
        );
    }

    #[test]
    fn a_view_that_begins_anew_repeats_nothing_only_after_an_id_of_its_own() {
        for (text, exact) in [
            ("", true),
            ("data: cut of", true),
            ("data: a\n\n", false),
            ("id: 1\ndata: a\n\n", true),
            ("id: 1\ndata: a\n\ndata: b\n\n", false),
            ("data: a\n\nid: 1\n\n", false),
            ("id: 1\n\ndata: a\n\n", true),
            ("id: 1\ndata: a\n\nid: 2\n\n", false),
            ("id: 1\n\n", false),
        ] {
            let mut reading = reading(100);
            reading.feed(text.as_bytes());
            assert_eq!(reading.begin_anew().is_none(), exact, "{text:?}");
            assert!(reading.begin_anew().is_none(), "told once");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            text in "(\r|\n|\r\n|data:|id: |event: |retry: 5|[a-f0-9ä-ü€😀]){0,80}",
            cut in 1_usize..9,
        ) {
            let (mut whole, mut pieces) = (reading(1000), reading(1000));
            let (expected, _) = whole.feed(text.as_bytes());
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                found.extend(pieces.feed(piece).0);
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(whole.last(), pieces.last());
            prop_assert_eq!(whole.exact, pieces.exact);
        }
    }
}
