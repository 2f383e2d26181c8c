//! What the internal listener tells of the gateway: channels, stats, metrics, health, every event in a tap.

use serde_json::json;

use crate::support::publishing::site;
use crate::support::{Conn, EventSource, Gateway};

#[tokio::test]
async fn channels_and_stats_tell_what_is_there() {
    let (gateway, mut publisher) = site("").await;
    let _listening = EventSource::open(&gateway.public, "/events/").await;
    publisher.text("room-1", "a").await;
    let last = publisher.text("room-1", "b").await;
    publisher.text("other", "c").await;
    let all = publisher.get("/v1/channels").await.json();
    let names: Vec<_> = all["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["news", "other", "room-1"]);
    let some = publisher.get("/v1/channels?match=room-*").await.json();
    assert_eq!(
        some["channels"],
        json!([{"name": "room-1", "streams": 0, "events": 2, "last_id": last, "rate": 0.033}])
    );
    let news = publisher.get("/v1/channels?match=news").await.json();
    assert_eq!(
        (
            &news["channels"][0]["streams"],
            &news["channels"][0]["events"]
        ),
        (&json!(1), &json!(0))
    );
    assert_eq!(publisher.get("/v1/channels?match=a%20b").await.status, 422);
    let stats = publisher.get("/v1/stats").await.json();
    assert_eq!(
        (&stats["streams"], &stats["events"]),
        (&json!(1), &json!(3))
    );
}

#[tokio::test]
async fn the_metrics_name_what_the_contract_asks_for() {
    let backend = crate::support::Backend::start(|_| crate::support::Reply::channel("news")).await;
    let text = format!(
        "{}[[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\" }}\n{}",
        crate::support::gateway::upstream(&backend.address, ""),
        crate::support::gateway::PROXY,
    );
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    crate::support::get(&gateway.public, "/page").await;
    drop(EventSource::resume(&gateway.public, "/asked/", "unknown").await);
    let left = "tidegate_streams_ended_total{reason=\"client\"}";
    crate::support::until("the end of a stream", async || {
        publisher.metric(left).await == 1
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/asked/").await;
    publisher.text("news", "x").await;
    source.next().await;
    let answer = publisher.get("/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text();
    for line in [
        "tidegate_streams_open 1",
        "tidegate_streams_opened_total 2",
        "tidegate_streams_ended_total{reason=\"client\"} 1",
        "tidegate_stream_resets_total{reason=\"unknown-id\"} 1",
        "tidegate_events_published_total 1",
        "tidegate_events_delivered_total 1",
        "tidegate_asks_total{status=\"2xx\"} 2",
        "tidegate_requests_total{status=\"2xx\"} 3",
        "tidegate_upstream_response_duration_seconds_count{upstream=\"django\"} 3",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
    for name in [
        "tidegate_connections_open",
        "tidegate_history_memory_bytes",
        "tidegate_build_info",
    ] {
        assert!(
            text.contains(&format!("\n{name}")),
            "{name} is not in\n{text}"
        );
    }
    assert!(!text.contains("_total_total"), "{text}");
    assert_every_family_is_called_as_its_samples_are(text);
}

/// As the text format 0.0.4 wants it, which knows no other types than these.
fn assert_every_family_is_called_as_its_samples_are(text: &str) {
    let mut family = ("", "");
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            family = of.split_once(' ').unwrap();
            assert!(
                ["counter", "gauge", "histogram"].contains(&family.1),
                "{line}"
            );
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let parts = ["_bucket", "_sum", "_count"];
            let part = parts.iter().find_map(|part| name.strip_suffix(part));
            let name = part.filter(|_| family.1 == "histogram").unwrap_or(name);
            assert_eq!(name, family.0, "{line}");
        } else {
            assert!(line.starts_with("# HELP "), "{line}");
        }
    }
}

#[tokio::test]
async fn who_asks_for_openmetrics_gets_it() {
    let (gateway, _publisher) = site("").await;
    let mut conn = Conn::open(&gateway.internal).await;
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    conn.send(format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
    ))
    .await;
    let answer = conn.answer().await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = answer.text();
    assert!(text.contains("\n# TYPE tidegate_build info\n"), "{text}");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[tokio::test]
async fn health_and_readiness_need_no_token_and_wrong_paths_and_methods_are_told_apart() {
    let (_gateway, mut publisher) = site("").await;
    for (method, target, status) in [
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/events", 405),
        ("PUT", "/v1/events", 405),
        ("POST", "/v1/stats", 405),
        ("DELETE", "/metrics", 405),
    ] {
        let answer = publisher.request(method, target, "", b"").await;
        assert_eq!(answer.status, status, "{method} {target}");
        if status == 405 {
            assert!(answer.header("allow").is_some());
        }
        if status >= 400 {
            assert_eq!(answer.json()["status"], status);
        }
    }
}

#[tokio::test]
async fn a_tap_sees_every_event_of_the_channels_it_asks_for() {
    let (gateway, mut publisher) = site("").await;
    let mut all = EventSource::open(&gateway.internal_unix, "/v1/tap").await;
    let mut some = EventSource::open(
        &gateway.internal_unix,
        "/v1/tap?channel=room-*&channel=news",
    )
    .await;
    all.read_past("\n\n").await;
    some.read_past("\n\n").await;
    for (channel, data) in [("other", "a"), ("room-1", "b"), ("news", "c")] {
        publisher.text(channel, data).await;
    }
    for data in ["a", "b", "c"] {
        let event = all.next().await;
        assert!(event.data.contains(data), "{event:?}");
    }
    for data in ["b", "c"] {
        let event = some.next().await;
        assert!(event.data.contains(data), "{event:?}");
    }
}
