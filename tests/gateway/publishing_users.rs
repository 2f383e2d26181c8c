//! Events for a user, and who may publish them.

use serde_json::json;

use crate::support::EventSource;
use crate::support::publishing::{JSON, site};

const TOKENS: &str = "[publish]\ntokens = [\n\
    { name = \"all\", secret = \"one\" },\n\
    { name = \"some\", secret = \"two\", channels = [\"*\"] },\n]\n";

#[tokio::test]
async fn an_event_for_a_user_and_a_channel_is_one_event() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let answer = publisher
        .publish(json!({"channel": "news", "user": 42, "data": "both"}))
        .await;
    assert_eq!(answer["streams"], 1);
    let alone = publisher
        .publish(json!({"user": "42", "data": "alone"}))
        .await;
    assert_eq!(alone["streams"], 0);
    let target = "/v1/channels/news/events?user=42&keep=none";
    let last = publisher.request("POST", target, "", b"query").await.json();
    let ids: Vec<_> = [answer, last].iter().map(|a| a["id"].clone()).collect();
    for (data, id) in [("both", &ids[0]), ("query", &ids[1])] {
        let event = source.next().await;
        assert_eq!((event.data.as_str(), &json!(event.id)), (data, id));
    }
}

#[tokio::test]
async fn a_token_for_some_channels_publishes_to_no_user() {
    let (_gateway, mut publisher) = site(TOKENS).await;
    for (token, body, status) in [
        ("one", json!({"user": 42, "data": ""}), 200),
        ("two", json!({"user": 42, "data": ""}), 403),
        (
            "two",
            json!({"channel": "news", "user": 42, "data": ""}),
            403,
        ),
        ("two", json!({"channel": "news", "data": ""}), 200),
    ] {
        let lines = format!("{JSON}Authorization: Bearer {token}\r\n");
        let text = body.to_string();
        let answer = publisher
            .request("POST", "/v1/events", &lines, text.as_bytes())
            .await;
        assert_eq!(answer.status, status, "{body}");
        if status == 403 {
            assert_eq!(answer.json()["pointer"], "/user");
            assert_eq!(
                answer.json()["detail"],
                "this token may not publish to a user"
            );
        }
    }
    let target = "/v1/channels/news/events?user=42";
    let answer = publisher
        .request("POST", target, "Authorization: Bearer two\r\n", b"")
        .await;
    assert_eq!(answer.status, 403);
}
