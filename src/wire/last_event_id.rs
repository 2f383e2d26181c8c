//! Where a client says it was when its stream broke off.
//!
//! `stream` calls [`of_request`] when it opens a stream, a recording when a viewer comes back. A browser sends the header
//! with a reconnect, while the URL still has the place the page was made with: so the header counts, and the query is
//! for the first connection and for clients that cannot set a header. Invariant: a [`LastEventId::Foreign`] is an id that
//! a publisher could have given.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::query;
use crate::domain::{EventId, PublisherId};

/// The header's name.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What it is called in a query.
pub const IN_QUERY: [&str; 2] = ["lastEventId", "last-event-id"];

/// A last event id as a client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastEventId {
    /// A place in a log: this one's, or, by its epoch, one that is gone.
    Own(EventId),
    /// Perhaps the id of a publisher.
    Foreign(String),
    /// No id that was ever sent: too long, not UTF-8, with a line end or a NUL, or several. The stream says a reset.
    Unusable,
}

impl LastEventId {
    /// The id as the header for Django; `None` if it is unusable or cannot stand in a header.
    pub fn as_header(&self) -> Option<HeaderValue> {
        match self {
            Self::Own(id) => HeaderValue::from_str(&id.to_string()).ok(),
            Self::Foreign(id) => HeaderValue::from_bytes(id.as_bytes()).ok(),
            Self::Unusable => None,
        }
    }

    /// Reads the text of an id.
    pub fn parse(text: &str) -> Self {
        match (EventId::parse(text), PublisherId::parse(text)) {
            (Some(own), _) => Self::Own(own),
            (None, Ok(foreign)) => Self::Foreign(foreign.as_str().to_owned()),
            (None, Err(_)) => Self::Unusable,
        }
    }
}

/// The last event id of a request: of the header, else of `lastEventId` or `last-event-id` in the query. An empty one is
/// none.
pub fn of_request(headers: &HeaderMap, query: Option<&str>) -> Option<LastEventId> {
    let mut lines = headers
        .get_all(LAST_EVENT_ID)
        .iter()
        .filter(|value| !value.is_empty());
    match (lines.next(), lines.next()) {
        (Some(_), Some(_)) => Some(LastEventId::Unusable),
        // The bytes are UTF-8, which is why this is not `to_str`.
        (Some(value), None) => Some(
            std::str::from_utf8(value.as_bytes()).map_or(LastEventId::Unusable, LastEventId::parse),
        ),
        (None, _) => query::first(query, &IN_QUERY)
            .filter(|text| !text.is_empty())
            .map(|text| LastEventId::parse(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(lines: &[&[u8]], query: Option<&str>) -> Option<LastEventId> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(LAST_EVENT_ID, HeaderValue::from_bytes(line).unwrap());
        }
        of_request(&headers, query)
    }

    fn foreign(text: &str) -> LastEventId {
        LastEventId::Foreign(text.to_owned())
    }

    #[test]
    fn the_header_counts_before_the_query() {
        let own = EventId::parse("00000000ab-7").map(LastEventId::Own);
        assert_eq!(asked(&[b"00000000ab-7"], Some("lastEventId=x")), own);
        assert_eq!(asked(&[], Some("a=b&last-event-id=00000000ab-7")), own);
        assert_eq!(
            asked(&[b""], Some("lastEventId=a%20b")),
            Some(foreign("a b"))
        );
        assert_eq!(asked(&["ä-1".as_bytes()], None), Some(foreign("ä-1")));
        assert_eq!(
            asked(&[b"00000000AB-7"], None),
            Some(foreign("00000000AB-7"))
        );
        for none in [
            asked(&[], None),
            asked(&[b""], Some("")),
            asked(&[], Some("lastEventId=")),
        ] {
            assert_eq!(none, None);
        }
    }

    #[test]
    fn an_id_that_was_never_sent_is_unusable() {
        let longest = "i".repeat(1024);
        assert_eq!(asked(&[longest.as_bytes()], None), Some(foreign(&longest)));
        for unusable in [
            asked(&["i".repeat(1025).as_bytes()], None),
            asked(&[b"\xff"], None),
            asked(&[b"a", b"a"], None),
            asked(&[], Some("lastEventId=a%0ab")),
            asked(&[], Some("lastEventId=%00")),
        ] {
            assert_eq!(unusable, Some(LastEventId::Unusable));
        }
        assert_eq!(LastEventId::Unusable.as_header(), None);
        assert_eq!(foreign("\u{1}").as_header(), None);
    }

    proptest! {
        #[test]
        fn what_goes_to_django_is_what_the_client_sent(line in "[^\0- \u{7f}]([^\0-\u{1f}\u{7f}]{0,38}[^\0- \u{7f}])?|[0-9a-f]{10}-[0-9]{1,9}") {
            let id = asked(&[line.as_bytes()], None).unwrap();
            let sent = id.as_header().unwrap();
            prop_assert_eq!(sent.as_bytes(), line.as_bytes());
        }

        #[test]
        fn any_query_is_read(query in ".{0,20}|lastEventId=.{0,40}") {
            let _id = asked(&[], Some(&query));
        }
    }
}
