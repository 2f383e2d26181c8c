//! What history holds of a channel, read page by page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::publishing::{JSON, site};
use crate::support::streaming::numbers;
use crate::support::{Answer, Publisher};

const TOKENS: &str = "[publish]\ntokens = [\n\
    { name = \"all\", secret = \"one\" },\n\
    { name = \"some\", secret = \"two\", channels = [\"room-*\"] },\n]\n";

async fn page(publisher: &mut Publisher, query: &str) -> Value {
    let answer = publisher
        .get(&format!("/v1/channels/news/events{query}"))
        .await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn data(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["data"].as_str().unwrap())
        .collect()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!(
        (answer.status, &problem["code"]),
        (status, &json!(code)),
        "{problem}"
    );
    assert_eq!(problem["parameter"], "after");
}

#[tokio::test]
async fn history_is_told_as_it_was_published() {
    let (_gateway, mut publisher) = site("").await;
    publisher
        .publish(json!([
            {"channel": "other", "data": "not here"},
            {"channel": "news", "data": "one\r\ntwo", "event": "tick", "id": "own-1"},
            {"channels": ["news", "other"], "data": {"a": 1.0}},
            {"channel": "news", "data": "only passes", "keep": "none"},
            {"channel": "news", "data": "", "retry": 7},
        ]))
        .await;
    let last = publisher.text("news", "last").await;
    publisher
        .publish(json!({"channel": "news", "close": true}))
        .await;
    let all = page(&mut publisher, "").await;
    let told: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["event"].as_str().unwrap(),
                event["data"].as_str().unwrap(),
            )
        })
        .collect();
    let message = "message";
    let expected = [
        ("tick", "one\ntwo"),
        (message, "{\"a\":1.0}"),
        (message, ""),
        (message, "last"),
    ];
    assert_eq!(
        told, expected,
        "without the bare close and what only passed"
    );
    assert_eq!(
        (&all["events"][0]["id"], &all["events"][3]["id"]),
        (&json!("own-1"), &json!(last))
    );
    assert_eq!(all["next"], Value::Null);
    let at: BTreeSet<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["at"].as_str())
        .collect();
    let year = at.first().unwrap().unwrap().split('-').next().unwrap();
    assert!(year.parse::<u32>().unwrap() >= 2026, "{at:?}");
    let empty = publisher.get("/v1/channels/nobody/events").await.json();
    assert_eq!(empty, json!({"events": [], "next": null}));
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let (_gateway, mut publisher) = site("").await;
    numbers(&mut publisher, 1..=7).await;
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = page(&mut publisher, &query).await;
        seen.extend(data(&page).into_iter().map(str::to_owned));
        assert!(data(&page).len() <= 3);
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("?limit=3&after={next}");
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5", "6", "7"]);
    let one = page(&mut publisher, "?limit=7").await;
    assert_eq!(
        (data(&one).len(), &one["next"]),
        (7, &Value::Null),
        "no empty page at the end"
    );
    let many = vec![json!({"channel": "news", "data": ""}); 200];
    publisher.publish(many.into()).await;
    assert_eq!(data(&page(&mut publisher, "").await).len(), 100);
}

#[tokio::test]
async fn a_page_is_bounded_by_its_bytes_too() {
    let (_gateway, mut publisher) = site("[publish]\nmax_event = \"2MiB\"\n").await;
    let long = "x".repeat(600 << 10);
    let longer = "y".repeat(1200 << 10);
    for data in [&long, &long, &longer, &long] {
        publisher.text("news", data).await;
    }
    let mut query = String::new();
    let mut lengths = Vec::new();
    loop {
        let page = page(&mut publisher, &query).await;
        lengths.push(
            data(&page)
                .iter()
                .map(|data| data.len() >> 10)
                .collect::<Vec<_>>(),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("?after={next}");
    }
    assert_eq!(
        lengths,
        [[600], [600], [1200], [600]],
        "but never an empty page"
    );
}

#[tokio::test]
async fn after_an_event_by_its_own_id_or_that_of_the_publisher() {
    let (_gateway, mut publisher) = site("").await;
    let first = publisher.text("news", "1").await;
    let elsewhere = publisher.text("other", "x").await;
    publisher
        .publish(json!({"channel": "news", "data": "2", "id": "own 1"}))
        .await;
    publisher.text("news", "3").await;
    for (after, expected) in [
        (first.as_str(), &["2", "3"][..]),
        (&elsewhere, &["2", "3"]),
        ("own%201", &["3"]),
        ("own+1", &["3"]),
    ] {
        let page = page(&mut publisher, &format!("?after={after}")).await;
        assert_eq!(data(&page), expected, "{after}");
    }
    for unknown in ["own-2", "0123456789-1", &format!("{first}000000")] {
        let answer = publisher
            .get(&format!("/v1/channels/news/events?after={unknown}"))
            .await;
        refused(&answer, 422, "invalid-parameter");
    }
    for malformed in ["", "%0a", "%00", "a%0db", "+"] {
        let answer = publisher
            .get(&format!("/v1/channels/news/events?after={malformed}"))
            .await;
        refused(&answer, 422, "invalid-parameter");
    }
    // A publisher's id is known in its own channel only.
    let answer = publisher.get("/v1/channels/other/events?after=own+1").await;
    refused(&answer, 422, "invalid-parameter");
}

#[tokio::test]
async fn what_was_dropped_is_never_skipped_silently() {
    let (_gateway, mut publisher) = site("[sse]\nhistory = { events = 3 }\n").await;
    let ids = numbers(&mut publisher, 1..=5).await;
    let kept = page(&mut publisher, "").await;
    assert_eq!(data(&kept), ["3", "4", "5"], "from the oldest there is");
    let after = |id: &str| format!("/v1/channels/news/events?after={id}");
    refused(&publisher.get(&after(&ids[0])).await, 410, "gone");
    assert_eq!(
        data(&publisher.get(&after(&ids[1])).await.json()),
        ["3", "4", "5"]
    );
    let deleted = publisher
        .request("DELETE", "/v1/channels/news", "", b"")
        .await;
    assert_eq!(deleted.status, 200);
    refused(&publisher.get(&after(&ids[3])).await, 410, "gone");
    let seen_all = publisher.get(&after(&ids[4])).await;
    assert_eq!(seen_all.status, 200, "nothing came after it");
    assert_eq!(
        page(&mut publisher, "").await,
        json!({"events": [], "next": null})
    );
    let new = publisher.text("news", "6").await;
    assert_eq!(data(&page(&mut publisher, "").await), ["6"]);
    assert!(data(&page(&mut publisher, &format!("?after={new}")).await).is_empty());
}

#[tokio::test]
async fn a_head_a_wrong_parameter_and_a_name_with_slashes() {
    let (_gateway, mut publisher) = site("").await;
    publisher.text("a/b/events", "deep").await;
    let head = publisher
        .request("HEAD", "/v1/channels/news/events", "", b"")
        .await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("application/json"))
    );
    for target in ["a/b/events/events", "a%2Fb%2Fevents/events"] {
        let page = publisher
            .get(&format!("/v1/channels/{target}"))
            .await
            .json();
        assert_eq!(data(&page), ["deep"], "{target}");
    }
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=a", "limit"),
        ("limit=1&limit=1", "limit"),
        ("afer=1", "afer"),
    ] {
        let answer = publisher
            .get(&format!("/v1/channels/news/events?{query}"))
            .await;
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"]),
            (422, &json!("invalid-parameter"))
        );
        assert_eq!(problem["parameter"], parameter);
    }
}

#[tokio::test]
async fn a_token_reads_only_its_channels() {
    let (_gateway, mut publisher) = site(TOKENS).await;
    for (secret, channel, status) in [
        ("one", "news", 200),
        ("two", "room-1", 200),
        ("two", "news", 403),
        ("none", "news", 401),
    ] {
        let lines = format!("{JSON}Authorization: Bearer {secret}\r\n");
        let target = format!("/v1/channels/{channel}/events");
        let answer = publisher.request("GET", &target, &lines, b"").await;
        assert_eq!(answer.status, status, "{secret} {channel}");
    }
}
