//! An event stream of any bytes: cuts change nothing, the bound holds, and what was read can be written and read again.

use tidegate::domain::{Event, EventName, Keep, PublisherId, RetryMs};
use tidegate::wire::sse::{self, Parsed, Parser};

use super::event::{own, read};
use crate::cut::same_however_cut;

pub fn check(data: &[u8]) -> Option<()> {
    for max in [0, 24, usize::MAX] {
        let (events, ..) = same_however_cut(data, |pieces| fed(max, pieces));
        for event in &events {
            assert!(event.data.len() <= max);
            assert!(!event.event.is_empty() && !event.event.contains(['\r', '\n']));
            assert!(!event.id.contains(['\r', '\n', '\0']) && !event.data.contains('\r'));
        }
        for event in events.into_iter().take(8) {
            reads_back(event);
        }
    }
    Some(())
}

/// The events, and all that the parser says at the end.
fn fed(
    max: usize,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Parsed>, bool, Option<u64>, String) {
    let (mut parser, mut events) = (Parser::new(max), Vec::new());
    for piece in pieces {
        events.extend(parser.feed(piece).unwrap_or_default());
    }
    let id = parser.last_event_id().to_owned();
    (events, parser.too_large(), parser.retry(), id)
}

fn reads_back(parsed: Parsed) {
    let (Ok(name), id) = (
        EventName::parse(&parsed.event),
        PublisherId::parse(&parsed.id),
    ) else {
        return;
    };
    let retry = parsed.retry.and_then(|ms| u32::try_from(ms).ok());
    let again = Event {
        channels: Vec::new(),
        name: Some(name),
        data: Some(parsed.data.clone().into()),
        id: id.as_ref().ok().cloned(),
        retry: retry.map(RetryMs),
        keep: Keep::All,
        close: false,
        except: None,
    };
    let expected = Parsed {
        id: id.map_or_else(|_| own().to_string(), |id| id.as_str().to_owned()),
        has_id: true,
        retry: retry.map(u64::from),
        ..parsed
    };
    assert_eq!(read(sse::event(&again, own()).as_bytes()), [expected]);
}
