//! How many events a token may publish: as many as its rate says, whoever else publishes.

use serde_json::{Value, json};

use crate::support::Publisher;
use crate::support::client::Answer;
use crate::support::publishing::{JSON, site};

const TOKENS: &str = "[publish]\ntokens = [\n\
    { name = \"slow\", secret = \"one\", rate = \"5/h\" },\n\
    { name = \"free\", secret = \"two\" },\n]\n";

async fn post(publisher: &mut Publisher, token: &str, events: &Value) -> Answer {
    let lines = format!("{JSON}Authorization: Bearer {token}\r\n");
    let body = events.to_string();
    publisher
        .request("POST", "/v1/events", &lines, body.as_bytes())
        .await
}

#[tokio::test]
async fn beyond_its_rate_a_token_is_told_when_to_come_back() {
    let (_gateway, mut publisher) = site(TOKENS).await;
    let event = json!({"channel": "news", "data": ""});
    let batch = |events: usize| Value::from(vec![event.clone(); events]);
    assert_eq!(post(&mut publisher, "one", &batch(4)).await.status, 200);
    assert_eq!(post(&mut publisher, "one", &event).await.status, 200);
    for events in [&event, &batch(1), &batch(5)] {
        let answer = post(&mut publisher, "one", events).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (429, &json!("too-many-requests"))
        );
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        let pauses = events.as_array().map_or(1, Vec::len) as u64;
        // One is free every 720 seconds; the test itself took a few.
        assert!(
            (720 * pauses - 60..=720 * pauses).contains(&seconds),
            "{seconds}"
        );
    }
    let target = "/v1/channels/news/events";
    let lines = "Authorization: Bearer one\r\n";
    let answer = publisher.request("POST", target, lines, b"").await;
    assert_eq!(answer.status, 429);
    assert_eq!(post(&mut publisher, "two", &batch(100)).await.status, 200);
    assert_eq!(post(&mut publisher, "one", &batch(0)).await.status, 200);
}

#[tokio::test]
async fn a_batch_that_no_patience_would_let_through_is_too_large() {
    let (_gateway, mut publisher) = site(TOKENS).await;
    let batch = Value::from(vec![json!({"channel": "news", "data": ""}); 6]);
    let answer = post(&mut publisher, "one", &batch).await;
    assert_eq!(answer.status, 413);
    let detail = answer.json()["detail"].clone();
    assert_eq!(detail, "this token may publish at most 5 events at once");
    let batch = Value::from(vec![json!({"channel": "news", "data": ""}); 5]);
    assert_eq!(
        post(&mut publisher, "one", &batch).await.status,
        200,
        "nothing was counted"
    );
}
