//! What is asked of a scripted gateway, and what is shown of its answers.

use super::*;
use crate::cli::scripted::{Scripted, answer};
use serde_json::{Value, json};

/// The answers to one look.
fn look(published: u64, channels: u64) -> Vec<String> {
    let stats = json!({
        "version": "9.9", "uptime_seconds": 93_784, "streams": 3, "channels": channels, "events": 5, "last_id": "a-7",
    });
    let metrics = format!(
        "# HELP tidegate_events_published x y\ntidegate_events_published_total {published}\ntidegate_events_delivered_total 0\n\
         tidegate_requests_total{{status=\"2xx\"}} 1\ntidegate_requests_total{{status=\"4xx\"}} 2\ntidegate_connections_open 4\n\
         tidegate_upstream_in_flight{{upstream=\"django\"}} 2\ntidegate_upstream_waiting{{upstream=\"django\"}} 1\n\
         tidegate_upstream_servers_up{{upstream=\"django\"}} 1\nnonsense\nx y\n# EOF\n"
    );
    let list = json!({ "channels": [
        { "name": "quiet", "streams": 2, "events": 1, "rate": 0.0, "last_id": "a\u{1b}b" },
        { "name": "busy", "streams": 1, "events": 4, "rate": 2.5, "last_id": null },
    ]});
    let streams = json!({ "streams": [{ "lag": 0, "id": "x" }, { "lag": 7, "id": "y" }] });
    let mut answers = vec![answer(200, &stats.to_string())];
    if channels <= sample::MOST_CHANNELS {
        answers.push(answer(200, &list.to_string()));
    }
    answers.extend([answer(200, &streams.to_string()), answer(200, &metrics)]);
    answers
}

fn wanted(json: bool, by: By) -> Wanted {
    Wanted {
        metrics: "/m".to_owned(),
        every: Duration::from_millis(1),
        by,
        once: true,
        json,
    }
}

async fn shown(json: bool, by: By, channels: u64) -> String {
    let answers = [look(10, channels), look(20, channels)].concat();
    let mut server = Scripted::start(vec![answers]).await;
    let client = Client::new(server.target(), Some("t")).unwrap();
    let mut out = Vec::new();
    once(client, &wanted(json, by), &mut out).await.unwrap();
    let mut asked = Vec::new();
    for _ in 0..3 {
        let request = server.request().await;
        assert_eq!(request.header("authorization"), Some("Bearer t"));
        asked.push(request.line);
    }
    assert!(asked[0].starts_with("GET /v1/stats "));
    assert_eq!(
        asked[1].starts_with("GET /v1/channels "),
        channels <= sample::MOST_CHANNELS
    );
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn one_table_tells_the_numbers_and_the_rates() {
    let text = shown(false, By::Streams, 2).await;
    for line in [
        "tidegate 9.9, up 1 d 2 h",
        "streams 3  channels 2  events 5  connections 4",
        "lag 7 events at most, 1 of 2 streams behind",
        "django            2        1           1",
        "quiet               2        1       0  a\\u{1b}b",
        "busy                1        4     2.5  -",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert!(
        text.contains("requests 0.0/s") && !text.contains("published 0.0/s"),
        "{text}"
    );
    assert!(text.find("quiet").unwrap() < text.find("busy").unwrap());
    let text = shown(false, By::Rate, 2).await;
    assert!(text.find("busy").unwrap() < text.find("quiet").unwrap());
}

#[tokio::test]
async fn the_same_is_said_as_json() {
    let said: Value = serde_json::from_str(&shown(true, By::Rate, 2).await).unwrap();
    assert_eq!(
        (&said["streams"], &said["connections"]),
        (&json!(3), &json!(4.0))
    );
    assert_eq!(
        said["lag"],
        json!({ "looked_at": 2, "behind": 1, "most": 7 })
    );
    assert_eq!(said["upstreams"][0]["waiting"], 1.0);
    assert_eq!(said["list"][0]["name"], "busy");
    assert!(said["published_per_second"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn too_many_channels_are_not_asked_for() {
    let text = shown(false, By::Streams, sample::MOST_CHANNELS + 1).await;
    assert!(text.contains("More than 5000 channels"), "{text}");
}

#[tokio::test]
async fn the_screen_is_put_away_at_the_end_and_at_an_error() {
    let size = || Size {
        columns: 20,
        rows: 10,
    };
    // It goes on until it is ended, each time on the screen as it is then.
    let answers = (0..3).flat_map(|n| look(n, 2)).collect();
    let mut server = Scripted::start(vec![answers]).await;
    let client = Client::new(server.target(), None).unwrap();
    let mut out = Vec::new();
    let screen = Screen::begin(&mut out).unwrap();
    let end = async {
        for _ in 0..12 {
            server.request().await;
        }
    };
    live(client, &wanted(false, By::Streams), screen, size, end)
        .await
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("\x1b[?1049h\x1b[?25l\x1b[Htidegate 9.9, up 1 d\x1b[K\r\n"),
        "{text:?}"
    );
    assert!(text.ends_with("\x1b[J\x1b[?25h\x1b[?1049l"), "{text:?}");
    let first = text.split("\x1b[J").next().unwrap();
    assert_eq!(first.matches("\x1b[K").count(), 10);
    // The gateway has gone.
    let server = Scripted::start(vec![look(0, 2)]).await;
    let client = Client::new(server.target(), None).unwrap();
    let mut out = Vec::new();
    let screen = Screen::begin(&mut out).unwrap();
    let never = std::future::pending();
    let failed = live(client, &wanted(false, By::Streams), screen, size, never).await;
    // Whether its end is seen before the next question is sent is a matter of luck.
    assert!([1, 69].contains(&failed.unwrap_err().exit_code()));
    assert!(out.ends_with(b"\x1b[?25h\x1b[?1049l"));
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_none() {
    for (status, code) in [(200, 1), (401, 77)] {
        let server = Scripted::start(vec![vec![answer(status, "{}")]]).await;
        let client = Client::new(server.target(), None).unwrap();
        let failed = once(client, &wanted(false, By::Streams), &mut Vec::new()).await;
        assert_eq!(failed.unwrap_err().exit_code(), code);
    }
}
