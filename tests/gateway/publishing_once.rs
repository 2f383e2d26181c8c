//! `Idempotency-Key`: a request that is sent twice publishes once.

use serde_json::json;

use crate::support::publishing::{JSON, site};
use crate::support::{Answer, EventSource, Publisher, pass, within};

const TOKENS: &str = "[publish]\ntokens = [\n\
    { name = \"one\", secret = \"one\" },\n{ name = \"two\", secret = \"two\", rate = \"1/h\" },\n]\n";

async fn post(publisher: &mut Publisher, key: &str, body: &str) -> Answer {
    let lines = format!("{JSON}Idempotency-Key: {key}\r\n");
    publisher
        .request("POST", "/v1/events", &lines, body.as_bytes())
        .await
}

#[tokio::test]
async fn the_first_answer_is_repeated_and_nothing_published_again() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let event = json!({"channel": "news", "data": "x"}).to_string();
    let first = post(&mut publisher, "\"k-1\"", &event).await;
    assert_eq!(
        (first.status, first.header("idempotency-replayed")),
        (200, None)
    );
    for _ in 0..2 {
        let again = post(&mut publisher, "\"k-1\"", &event).await;
        assert_eq!(
            (again.status, again.header("idempotency-replayed")),
            (200, Some("true"))
        );
        assert_eq!(again.body, first.body);
    }
    let batch = json!([{"channel": "news", "data": "y"}]).to_string();
    let first = post(&mut publisher, "k-2", &batch).await;
    assert_eq!(post(&mut publisher, "k-2", &batch).await.body, first.body);
    let target = "/v1/channels/news/events?event=e";
    let line = "Idempotency-Key: k-3\r\n";
    let first = publisher.request("POST", target, line, b"z").await;
    assert_eq!(
        publisher.request("POST", target, line, b"z").await.body,
        first.body
    );
    publisher.text("news", "end").await;
    assert_eq!(source.data(4).await, ["x", "y", "z", "end"]);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_a_conflict() {
    let (_gateway, mut publisher) = site("").await;
    let event = json!({"channel": "news", "data": "x"}).to_string();
    assert_eq!(post(&mut publisher, "k", &event).await.status, 200);
    let spaced = format!("{event} ");
    for (target, body) in [
        ("/v1/events", spaced.as_bytes()),
        ("/v1/events?stop_when_alone=1s", event.as_bytes()),
        ("/v1/channels/news/events", event.as_bytes()),
    ] {
        let line = format!("{JSON}Idempotency-Key: k\r\n");
        let answer = publisher.request("POST", target, &line, body).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (409, &json!("idempotency-conflict")),
            "{target}"
        );
    }
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 1);
}

#[tokio::test]
async fn a_refused_request_is_not_remembered_and_each_token_has_keys_of_its_own() {
    let (_gateway, mut publisher) = site(TOKENS).await;
    let event = json!({"channel": "news", "data": "x"}).to_string();
    for (token, body, status, replayed) in [
        ("one", "{", 400, None),
        ("one", "{\"channel\":\"news\"}", 422, None),
        ("one", &event, 200, None),
        ("one", &event, 200, Some("true")),
        ("two", &event, 200, None),
        ("two", &event, 200, Some("true")),
    ] {
        let lines = format!("{JSON}Authorization: Bearer {token}\r\nIdempotency-Key: k\r\n");
        let answer = publisher
            .request("POST", "/v1/events", &lines, body.as_bytes())
            .await;
        assert_eq!(answer.status, status, "{token} {body}");
        assert_eq!(answer.header("idempotency-replayed"), replayed);
    }
    let lines = format!("{JSON}Authorization: Bearer two\r\nIdempotency-Key: l\r\n");
    for _ in 0..2 {
        let answer = publisher
            .request("POST", "/v1/events", &lines, event.as_bytes())
            .await;
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (429, None)
        );
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let (_gateway, mut publisher) = site("").await;
    let event = json!({"channel": "news", "data": "x"}).to_string();
    for key in ["", "a b", &"k".repeat(256), "a\r\nIdempotency-Key: a"] {
        let answer = post(&mut publisher, key, &event).await;
        assert_eq!(answer.status, 400, "{key:?}");
    }
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 0);
}

#[tokio::test]
async fn it_is_forgotten_after_a_while() {
    let (_gateway, mut publisher) = site("[publish]\nidempotency = \"300ms\"").await;
    let event = json!({"channel": "news", "data": "x"}).to_string();
    let first = post(&mut publisher, "k", &event).await;
    pass(std::time::Duration::from_millis(350)).await;
    let later = post(&mut publisher, "k", &event).await;
    assert_eq!(
        (later.status, later.header("idempotency-replayed")),
        (200, None)
    );
    assert_ne!(later.body, first.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_the_same_time_publish_once() {
    let (gateway, mut publisher) = site("").await;
    let event = json!({"channel": "news", "data": "x"}).to_string();
    for round in 0..20 {
        let mut posts = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (mut publisher, event) = (gateway.publisher().await, event.clone());
            posts.spawn(async move { post(&mut publisher, &format!("k-{round}"), &event).await });
        }
        let answers = within("all answers", posts.join_all()).await;
        let done = |a: &&Answer| a.status == 200 && a.header("idempotency-replayed").is_none();
        assert_eq!(answers.iter().filter(done).count(), 1);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let code = answer.json()["code"].clone();
            assert_eq!(
                (answer.status, code),
                (409, json!("idempotency-in-progress"))
            );
        }
    }
    assert_eq!(
        publisher.metric("tidegate_events_published_total").await,
        20
    );
}

#[tokio::test]
async fn the_id_of_a_webhook_will_do_for_a_key() {
    let event = json!({"channel": "news", "data": "x"}).to_string();
    for (tokens, bearer) in [("", ""), (TOKENS, "Authorization: Bearer one\r\n")] {
        let (_gateway, mut publisher) = site(tokens).await;
        for (lines, status, replayed) in [
            ("webhook-id: msg_1.2\r\n", 200, None),
            ("webhook-id: msg_1.2\r\n", 200, Some("true")),
            ("webhook-id: msg_1.2\r\nIdempotency-Key: k\r\n", 200, None),
            ("Idempotency-Key: k\r\n", 200, Some("true")),
            ("webhook-id: k\r\n", 200, None),
            ("webhook-id: a b\r\n", 400, None),
        ] {
            let lines = format!("{JSON}{bearer}{lines}");
            let answer = publisher
                .request("POST", "/v1/events", &lines, event.as_bytes())
                .await;
            assert_eq!(
                (answer.status, answer.header("idempotency-replayed")),
                (status, replayed),
                "{lines}"
            );
        }
    }
}
