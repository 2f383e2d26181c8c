//! A gateway with streams that anybody may open, and what is published to them.

use serde_json::Value;

use super::{EventSource, Gateway, Publisher};

pub const ROUTES: &str = "\
    [[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n\
    [[route]]\npath = \"/both/\"\nsse = { channels = [\"news\", \"sport\"], public = true }\n\
    [[route]]\npath = \"/beating/\"\nsse = { channels = [\"news\"], public = true, heartbeat = \"30ms\" }\n\
    [[route]]\npath = \"/skipping/\"\nsse = { channels = [\"news\"], public = true, slow_client = \"skip\" }\n\
    [[route]]\npath = \"/named/\"\nsse = { channels = [\"news\"], public = true, open_event = \"open\" }\n\
    [[route]]\npath = \"/rooms/<str:room>/\"\nsse = { channels = [\"room-{room}\"], public = true }\n\
    [[route]]\npath = \"/paths/<path:room>\"\nsse = { channels = [\"room-{room}\"], public = true }\n";

pub async fn site(sse: &str) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!(
        "[sse]\nper_ip = 0\nretry = \"3s\"\n{sse}\n{ROUTES}"
    ))
    .await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

/// Publishes `news` with the data `from` to `to`; their ids.
pub async fn numbers(
    publisher: &mut Publisher,
    numbers: std::ops::RangeInclusive<u32>,
) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(publisher.text("news", &number.to_string()).await);
    }
    ids
}

pub fn texts(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

pub async fn is_reset(source: &mut EventSource, reason: &str) {
    let reset = source.next().await;
    assert_eq!(reset.event, "reset", "{:?}", source.text);
    let data: Value = serde_json::from_str(&reset.data).unwrap();
    assert_eq!(data["reason"], reason);
}
