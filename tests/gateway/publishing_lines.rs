//! A stream of lines: each event is heard when its line ends, and whatever ends the request is told with its line.

use std::time::Duration;

use serde_json::json;

use crate::support::publishing::{Lines, site};
use crate::support::{EventSource, Gateway, pass, until};

fn event(data: &str) -> String {
    json!({"channel": "news", "data": data}).to_string()
}

#[tokio::test]
async fn each_line_is_heard_before_the_next_is_sent() {
    let (gateway, _) = site("[limits]\nbody = \"1KiB\"\n[publish]\nmax_event = \"1KiB\"").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let mut lines = Lines::open(&gateway.internal, "", "").await;
    // More than any body may be.
    for number in 0..20 {
        let text = format!("{number} {}", "x".repeat(100));
        lines.piece(&format!("{}\n", event(&text))).await;
        assert_eq!(source.next().await.data, text);
    }
    let (start, rest) = (event("cut"), event("last"));
    let (start, middle) = start.split_at(7);
    lines.piece(start).await;
    lines.piece(&format!("{middle}\r\n\r\n \n{rest}")).await;
    assert_eq!(source.next().await.data, "cut");
    let answer = lines.end().await;
    let last = source.next().await;
    assert_eq!((answer.status, last.data.as_str()), (200, "last"));
    assert_eq!(answer.json(), json!({"published": 22, "last_id": last.id}));
}

#[tokio::test]
async fn a_body_with_a_length_and_each_of_the_types_is_read_by_lines() {
    let (_gateway, mut publisher) = site("").await;
    for media in [
        "application/x-ndjson",
        "application/ndjson; charset=utf-8",
        "Application/JSONL",
    ] {
        let body = format!("{}\n{}\n", event("a"), event("b"));
        let lines = format!("Content-Type: {media}\r\n");
        let answer = publisher
            .request("POST", "/v1/events", &lines, body.as_bytes())
            .await;
        assert_eq!(
            (answer.status, &answer.json()["published"]),
            (200, &json!(2)),
            "{media}"
        );
        let answer = publisher.request("POST", "/v1/events", &lines, b"").await;
        assert_eq!(answer.json(), json!({"published": 0, "last_id": null}));
    }
}

#[tokio::test]
async fn a_bad_line_ends_the_request_with_its_number_and_what_was_published() {
    let tokens = "[publish]\nmax_event = \"1KiB\"\ntokens = [{ name = \"t\", secret = \"s\", channels = [\"news\"] }]";
    let (gateway, _) = site(tokens).await;
    let long_line = format!("\"{}\"", "x".repeat(200_000));
    for (bad, status, detail) in [
        (
            "{\"channel\":",
            422,
            "not JSON: column 11: EOF while parsing a value",
        ),
        ("\u{e9}", 422, "not JSON: column 1: expected value"),
        ("[]", 422, "an event is a JSON object"),
        (r#"{"channel":"news"}"#, 422, "\"data\" is missing"),
        (
            r#"{"channel":"news","data":1,"evnt":1}"#,
            422,
            "\"evnt\" is no field",
        ),
        (
            r#"{"channel":"other","data":1}"#,
            403,
            "this token may not publish to other",
        ),
        (
            r#"{"user":1,"data":1}"#,
            403,
            "this token may not publish to a user",
        ),
        (event(&"x".repeat(1025)).as_str(), 413, "at most 1024 bytes"),
        (long_line.as_str(), 413, "a line has at most 137216 bytes"),
    ] {
        let mut lines = Lines::open(&gateway.internal, "", "Authorization: Bearer s\r\n").await;
        lines
            .piece(&format!("{}\n\n{}\n{bad}\n", event("a"), event("b")))
            .await;
        // It is still writing, and hears of it all the same.
        for _ in 0..1000 {
            lines
                .piece(&format!("{}\n", event(&"more".repeat(200))))
                .await;
        }
        let answer = lines.answer().await;
        let problem = answer.json();
        assert_eq!(answer.status, status, "{problem}");
        assert_eq!(
            (&problem["line"], &problem["published"]),
            (&json!(4), &json!(2)),
            "{problem}"
        );
        let found = problem["detail"].as_str().unwrap();
        assert!(found.contains(detail), "{found}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_refused_when_it_is_too_long() {
    let (gateway, _) = site("[publish]\nmax_event = \"1KiB\"").await;
    let mut lines = Lines::open(&gateway.internal, "", "").await;
    for _ in 0..15 {
        lines.piece(&" ".repeat(10_000)).await;
    }
    let answer = lines.answer().await;
    assert_eq!((answer.status, &answer.json()["line"]), (413, &json!(1)));
}

#[tokio::test]
async fn no_other_time_limit_ends_a_body_of_lines() {
    let limits =
        "[limits]\nheader_timeout = \"150ms\"\nbody_idle = \"150ms\"\nkeepalive = \"150ms\"";
    let (gateway, _) = site(limits).await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let mut lines = Lines::open(&gateway.internal, "", "").await;
    for data in ["a", "b"] {
        lines.piece(&format!("{}\n", event(data))).await;
        assert_eq!(source.next().await.data, data);
        pass(Duration::from_millis(600)).await;
    }
    assert_eq!(lines.end().await.json()["published"], 2);
}

#[tokio::test]
async fn too_long_a_pause_ends_the_request() {
    let (gateway, _) = site("[publish]\nndjson_idle = \"200ms\"").await;
    let mut lines = Lines::open(&gateway.internal, "", "").await;
    lines.piece(&format!("{}\n{{", event("a"))).await;
    let answer = lines.answer().await;
    let problem = answer.json();
    assert_eq!(
        (answer.status, &problem["code"]),
        (408, &json!("request-timeout"))
    );
    assert_eq!(
        (&problem["line"], &problem["published"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(problem["detail"], "nothing came for 200ms");
}

#[tokio::test]
async fn a_publisher_over_its_rate_is_slowed_down_and_not_refused() {
    let publish = "[publish]\nndjson_idle = \"150ms\"\ntokens = [{ name = \"t\", secret = \"s\", rate = \"5/s\" }]";
    let (gateway, _) = site(publish).await;
    let mut lines = Lines::open(&gateway.internal, "", "Authorization: Bearer s\r\n").await;
    let before = tokio::time::Instant::now();
    let body = format!("{}\n", event("x")).repeat(9);
    lines.piece(&body).await;
    let answer = lines.end().await;
    assert_eq!(
        (answer.status, &answer.json()["published"]),
        (200, &json!(9)),
        "{}",
        answer.text()
    );
    // Five at once, then one every 200 ms: longer than any pause of the publisher's own might be.
    assert!(before.elapsed() >= Duration::from_millis(750));
}

#[tokio::test]
async fn it_ends_when_nobody_has_listened_for_a_while() {
    let (gateway, mut publisher) = site("").await;
    let query = "?stop_when_alone=1s";
    let mut unheard = Lines::open(&gateway.internal, query, "").await;
    unheard.piece(&format!("{}\n", event("x"))).await;
    let before = tokio::time::Instant::now();
    let source = EventSource::open(&gateway.public, "/events/").await;
    let mut heard = Lines::open(&gateway.internal, query, "").await;
    heard.piece(&format!("{}\n", event("x"))).await;
    let mut silent = Lines::open(&gateway.internal, query, "").await;
    let mut elsewhere = Lines::open(&gateway.internal, query, "").await;
    elsewhere
        .piece("{\"channel\":\"elsewhere\",\"data\":\"\"}\n")
        .await;
    let answer = elsewhere.answer().await;
    assert_eq!(
        (answer.status, &answer.json()["stopped"]),
        (200, &json!("alone"))
    );
    assert_eq!(answer.json()["published"], 1);
    assert!(before.elapsed() >= Duration::from_millis(990));
    // Somebody has come to these; and who has published nothing yet is not alone.
    for lines in [&mut unheard, &mut heard, &mut silent] {
        assert!(lines.conn.is_silent_for(Duration::from_millis(1300)).await);
    }
    drop(source);
    until("nobody", async || publisher.streams().await == 0).await;
    for lines in [unheard, heard] {
        assert_eq!(lines.answer().await.json()["stopped"], "alone");
    }
    let answer = silent.end().await.json();
    assert_eq!(answer, json!({"published": 0, "last_id": null}));
}

#[tokio::test]
async fn with_an_eye_on_its_audience_it_publishes_to_so_many_channels() {
    let (gateway, _) = site("").await;
    let mut lines = Lines::open(&gateway.internal, "?stop_when_alone=1h", "").await;
    let body: Vec<_> = (0..1026)
        .map(|n| format!("{{\"channel\":\"c-{}\",\"data\":\"\"}}\n", n.min(1024)))
        .collect();
    lines.piece(&body.concat()).await;
    let answer = lines.answer().await;
    let problem = answer.json();
    assert_eq!(
        (answer.status, &problem["line"], &problem["published"]),
        (422, &json!(1025), &json!(1024))
    );
}

#[tokio::test]
async fn what_cannot_go_with_lines_is_refused_before_any() {
    let (gateway, _) = site("").await;
    for (query, lines, status, named) in [
        ("?stop_when_alone=soon", "", 422, "parameter"),
        ("?stop_when_alone=0s", "", 422, "parameter"),
        ("?stop_when_alone=999ms", "", 422, "parameter"),
        ("?stop_alone=1s", "", 422, "parameter"),
        ("", "Idempotency-Key: k\r\n", 400, "detail"),
    ] {
        let mut request = Lines::open(&gateway.internal, query, lines).await;
        request.piece(&format!("{}\n", event("x"))).await;
        let answer = request.answer().await;
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.json().get(named).is_some());
        assert!(answer.json().get("line").is_none());
    }
}

#[tokio::test]
async fn so_many_streams_of_lines_and_no_more() {
    let (gateway, mut publisher) = site("").await;
    let mut open = Vec::new();
    for _ in 0..1024 {
        let mut lines = Lines::open(&gateway.internal, "", "").await;
        lines.piece(&format!("{}\n", event("x"))).await;
        open.push(lines);
    }
    let name = "tidegate_events_published_total";
    until("all of them", async || publisher.metric(name).await == 1024).await;
    let answer = Lines::open(&gateway.internal, "", "").await.answer().await;
    assert_eq!(answer.status, 429);
    open.pop().unwrap().end().await;
    let mut next = Lines::open(&gateway.internal, "", "").await;
    next.piece(&format!("{}\n", event("x"))).await;
    assert_eq!(next.end().await.status, 200);
}

#[tokio::test]
async fn the_end_of_the_gateway_is_told_with_the_line() {
    let gateway = Gateway::start(
        "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }",
    )
    .await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let mut lines = Lines::open(&gateway.internal, "", "").await;
    lines
        .piece(&format!("{}\n{}\n", event("a"), event("b")))
        .await;
    assert_eq!(source.data(2).await, ["a", "b"]);
    drop(source);
    gateway.stop().await;
    let answer = lines.answer().await;
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (503, &json!("stopping")));
    assert_eq!(
        (&problem["line"], &problem["published"]),
        (&json!(3), &json!(2))
    );
    assert!(answer.header("retry-after").is_some());
}
