//! `Last-Event-ID` of any bytes: what goes on to Django is what came, and the query says the same as the header.

use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidegate::domain::PublisherId;
use tidegate::wire::last_event_id::{LAST_EVENT_ID, LastEventId, of_request};

pub fn check(data: &[u8]) -> Option<()> {
    let by_query = std::str::from_utf8(data).ok().and_then(|text| {
        let query = utf8_percent_encode(text, NON_ALPHANUMERIC);
        is_an_id(of_request(
            &HeaderMap::new(),
            Some(&format!("x=1&lastEventId={query}")),
        ))
    });
    let _any = is_an_id(of_request(
        &HeaderMap::new(),
        std::str::from_utf8(data).ok(),
    ));
    let value = HeaderValue::from_bytes(data).ok()?;
    let mut headers = HeaderMap::new();
    headers.append(LAST_EVENT_ID, value.clone());
    let by_header = is_an_id(of_request(&headers, Some("lastEventId=other")));
    if data.is_empty() {
        assert_eq!(by_header, Some(LastEventId::Foreign("other".to_owned())));
        return Some(());
    }
    let id = by_header.expect("the header says something");
    if let Some(sent) = id.as_header() {
        assert_eq!(sent, value);
    }
    if std::str::from_utf8(data).is_ok() {
        assert_eq!(by_query.as_ref(), Some(&id));
    }
    headers.append(LAST_EVENT_ID, value);
    assert_eq!(of_request(&headers, None), Some(LastEventId::Unusable));
    Some(())
}

fn is_an_id(id: Option<LastEventId>) -> Option<LastEventId> {
    match &id {
        Some(LastEventId::Own(own)) => {
            let text = own.to_string();
            assert!(PublisherId::parse(&text).is_ok() && !text.contains(char::is_whitespace));
        }
        Some(LastEventId::Foreign(text)) => {
            assert!(PublisherId::parse(text).is_ok());
            assert!(
                id.as_ref().is_some_and(|id| id.as_header().is_some()),
                "{text:?}"
            );
        }
        Some(LastEventId::Unusable) | None => {}
    }
    id
}
