//! A file with mistakes changes nothing and all of them are told; not everybody may have it read.

use serde_json::{Value, json};

use crate::support::{EventSource, Gateway, get};

const GOOD: &str =
    "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";

const MISTAKEN: &str = "[limits]\nbody = \"much\"\n[sse]\nheartbeet = \"1s\"\n\
    [[route]]\npath = \"/other/\"\nproxy = \"django\"\n";

#[tokio::test]
async fn mistakes_change_nothing_and_all_of_them_are_told_with_their_places() {
    let gateway = Gateway::start(GOOD).await;
    let mut publisher = gateway.publisher().await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    gateway.write(MISTAKEN);
    for _ in 0..2 {
        let answer = publisher.request("POST", "/v1/reload", "", b"").await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["code"], "bad-configuration");
        assert_eq!(problem["file"], "gateway.toml");
        let told: Vec<_> = problem["problems"].as_array().unwrap().iter().collect();
        let keys: Vec<_> = told
            .iter()
            .map(|told| told["key"].as_str().unwrap())
            .collect();
        assert_eq!(keys, ["limits.body", "sse.heartbeet", "route[0].proxy"]);
        for mistake in told {
            let all = ["line", "column", "message", "hint"];
            assert!(
                all.iter().all(|name| mistake.get(name).is_some()),
                "{mistake}"
            );
            assert!(mistake["line"].as_u64() > Some(1), "{mistake}");
        }
    }
    assert_eq!(get(&gateway.public, "/other/").await.status, 404);
    publisher.text("news", "as before").await;
    assert_eq!(source.next().await.data, "as before");
    gateway.write(&GOOD.replace("/events/", "/more/"));
    let answer = publisher.request("POST", "/v1/reload", "", b"").await;
    assert_eq!(answer.json(), json!({"changed": ["route"], "restart": []}));
    let answer = publisher.request("POST", "/v1/reload", "", b"").await;
    assert_eq!(answer.json(), json!({"changed": [], "restart": []}));
    for (outcome, count) in [("refused", 2), ("changed", 1), ("unchanged", 1)] {
        let metric = format!("tidegate_reloads_total{{outcome=\"{outcome}\"}}");
        assert_eq!(publisher.metric(&metric).await, count, "{outcome}");
    }
}

#[tokio::test]
async fn only_a_token_for_all_channels_may() {
    let tokens = "[publish]\ntokens = [{ name = \"a\", secret = \"one\" },\n\
        { name = \"b\", secret = \"two\", channels = [\"room-*\"] }]\n";
    let gateway = Gateway::start(&format!("{tokens}{GOOD}")).await;
    let mut publisher = gateway.publisher().await;
    for (secret, status) in [("one", 200), ("two", 403), ("three", 401)] {
        let lines = format!("Authorization: Bearer {secret}\r\n");
        let answer = publisher.request("POST", "/v1/reload", &lines, b"").await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    // Without tokens whoever is on this machine may, but no web page.
    gateway.reload(GOOD).await.unwrap();
    let page = "Origin: http://evil.test\r\n";
    for (lines, status) in [("", 200), (page, 403)] {
        let answer = publisher.request("POST", "/v1/reload", lines, b"").await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test]
async fn who_asks_while_another_reload_runs_is_answered_after_it() {
    let gateway = Gateway::start(GOOD).await;
    let mut asking = tokio::task::JoinSet::new();
    gateway.write(&GOOD.replace("/events/", "/more/"));
    for _ in 0..10 {
        let mut publisher = gateway.publisher().await;
        asking.spawn(async move {
            let answer = publisher.request("POST", "/v1/reload", "", b"").await;
            answer.json()["changed"].clone()
        });
    }
    let all = asking.join_all().await;
    let changed = all.iter().filter(|changed| **changed == json!(["route"]));
    assert_eq!(changed.count(), 1, "{all:?}");
    assert!(all.iter().all(Value::is_array), "{all:?}");
}
