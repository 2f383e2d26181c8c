//! Standard Webhooks: who signs may publish, for a few minutes, once.

use std::time::SystemTime;

use serde_json::json;
use tidegate::wire::webhook::Secret;

use crate::support::publishing::{JSON, site};
use crate::support::{Answer, Conn, EventSource, Gateway, Publisher, until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

async fn shop() -> (Gateway, Publisher) {
    let tokens = format!(
        "[limits]\nbody = \"1KiB\"\n[publish]\nmax_event = \"1KiB\"\ntokens = [\n\
         {{ name = \"shop\", webhook = \"{SECRET}\", channels = [\"news\"] }},\n\
         {{ name = \"both\", webhook = \"{OTHER}\", secret = \"s\" }},\n]\n"
    );
    site(&tokens).await
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn headers(secret: &str, id: &str, timestamp: u64, body: &str) -> String {
    let signature = Secret::parse(secret)
        .unwrap()
        .sign(id, timestamp, body.as_bytes());
    format!(
        "{JSON}webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n"
    )
}

async fn post(publisher: &mut Publisher, lines: &str, body: &str) -> Answer {
    publisher
        .request("POST", "/v1/events", lines, body.as_bytes())
        .await
}

#[tokio::test]
async fn a_signed_request_publishes_within_its_channels() {
    let (gateway, mut publisher) = shop().await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let news = json!({"channel": "news", "data": "x"}).to_string();
    let other = json!({"channel": "other", "data": "x"}).to_string();
    let answer = post(&mut publisher, &headers(SECRET, "a", now(), &news), &news).await;
    assert_eq!(
        (answer.status, &answer.json()["streams"]),
        (200, &json!(1)),
        "{}",
        answer.text()
    );
    assert_eq!(source.next().await.data, "x");
    let target = "/v1/channels/news/events?event=e";
    let lines = headers(SECRET, "b", now(), "raw");
    assert_eq!(
        publisher
            .request("POST", target, &lines, b"raw")
            .await
            .status,
        200
    );
    assert_eq!(source.next().await.data, "raw");
    for (secret, status) in [(SECRET, 403), (OTHER, 200)] {
        let answer = post(&mut publisher, &headers(secret, "c", now(), &other), &other).await;
        assert_eq!(answer.status, status);
    }
    let bearer = format!("{JSON}Authorization: Bearer s\r\n");
    assert_eq!(post(&mut publisher, &bearer, &other).await.status, 200);
}

#[tokio::test]
async fn whatever_is_not_signed_as_it_should_be_is_refused() {
    let (_gateway, mut publisher) = shop().await;
    let body = json!({"channel": "news", "data": "x"}).to_string();
    let good = headers(SECRET, "a", now(), &body);
    let unknown = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for lines in [
        JSON.to_owned(),
        headers(unknown, "a", now(), &body),
        headers(SECRET, "a", now() - 302, &body),
        headers(SECRET, "a", now() + 310, &body),
        headers(SECRET, "a", now(), "{}"),
        headers(SECRET, "a.b", now(), &body),
        good.replace("webhook-id: a", "webhook-id: b"),
        good.replace("v1,", "v1a,"),
        good.replace("webhook-timestamp", "webhook-time"),
        format!("{good}webhook-id: a\r\n"),
        format!("{good}webhook-signature: v1,AAAA\r\n"),
        format!("{good}Authorization: Bearer wrong\r\n"),
        good.replace("application/json", "application/x-ndjson"),
    ] {
        let answer = post(&mut publisher, &lines, &body).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (401, &json!("unauthorized")),
            "{lines}"
        );
    }
    for target in ["/v1/stats", "/v1/channels", "/v1/tap"] {
        let lines = headers(SECRET, "a", now(), "");
        assert_eq!(
            publisher.request("GET", target, &lines, b"").await.status,
            401
        );
    }
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 0);
    assert_eq!(post(&mut publisher, &good, &body).await.status, 200);
}

#[tokio::test]
async fn a_captured_request_publishes_nothing_again() {
    let (_gateway, mut publisher) = shop().await;
    let body = json!({"channel": "news", "data": "x"}).to_string();
    // It is good for nine minutes more; a key of one's own changes nothing.
    let captured = headers(SECRET, "a", now() + 240, &body);
    let first = post(&mut publisher, &captured, &body).await;
    assert_eq!(
        (first.status, first.header("idempotency-replayed")),
        (200, None)
    );
    for lines in [
        captured.clone(),
        format!("{captured}Idempotency-Key: new\r\n"),
        headers(SECRET, "a", now(), &body),
    ] {
        let again = post(&mut publisher, &lines, &body).await;
        assert_eq!(
            (again.status, again.header("idempotency-replayed")),
            (200, Some("true"))
        );
        assert_eq!(again.body, first.body);
    }
    let target = "/v1/channels/news/events";
    let elsewhere = publisher
        .request("POST", target, &captured, body.as_bytes())
        .await;
    assert_eq!(
        elsewhere.status, 409,
        "the signature does not cover the path"
    );
    let other = json!({"channel": "news", "data": "y"}).to_string();
    let answer = post(&mut publisher, &headers(SECRET, "a", now(), &other), &other).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("idempotency-conflict"))
    );
    // While a secret is replaced a request is signed by both, and who captured it may take one signature off.
    let line = |lines: &str| {
        let (_, signature) = lines.split_once("webhook-signature: ").unwrap();
        signature.trim_end().to_owned()
    };
    let sent = now();
    let [one, two] = [SECRET, OTHER].map(|secret| headers(secret, "r", sent, &body));
    let (first, second) = (line(&one), line(&two));
    let both = one.replace(&first, &format!("{first} {second}"));
    let answer = post(&mut publisher, &both, &body).await;
    assert_eq!(
        (answer.status, answer.header("idempotency-replayed")),
        (200, None)
    );
    for lines in [one, two, both, headers(OTHER, "a", now(), &body)] {
        let again = post(&mut publisher, &lines, &body).await;
        assert_eq!(
            (again.status, again.header("idempotency-replayed")),
            (200, Some("true")),
            "{lines}"
        );
    }
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 2);
}

#[tokio::test]
async fn what_strangers_may_send_before_they_are_known_is_bounded() {
    let (gateway, mut publisher) = shop().await;
    let long = "x".repeat(1025);
    let answer = post(&mut publisher, &headers(SECRET, "a", now(), &long), &long).await;
    assert_eq!(answer.status, 413);
    // Its length is enough to refuse it.
    let lines = headers(SECRET, "a", now(), "");
    let mut conn = Conn::open(&gateway.internal).await;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: 1025\r\n\r\n"
    );
    assert_eq!(conn.ask_head(head).await, 413);
    let (gateway, mut publisher) = site(&format!(
        "[publish]\nmax_event = \"1KiB\"\ntokens = [\n\
         {{ name = \"shop\", webhook = \"{SECRET}\" }},\n\
         {{ name = \"both\", webhook = \"{OTHER}\", secret = \"s\" }},\n]\n"
    ))
    .await;
    // The data of one event is no longer than that, whatever a body may be.
    let mut conn = Conn::open(&gateway.internal).await;
    let head = format!(
        "POST /v1/channels/news/events HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: 1025\r\n\r\n"
    );
    assert_eq!(conn.ask_head(head).await, 413);
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut conn = Conn::open(&gateway.internal).await;
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        );
        conn.send(head).await;
        // The gateway asks for the body: it gathers.
        assert_eq!(conn.bytes(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
        waiting.push(conn);
    }
    let body = json!({"channel": "news", "data": "x"}).to_string();
    let good = headers(SECRET, "b", now(), &body);
    let answer = post(&mut publisher, &good, &body).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    // Nobody else is kept out by them.
    let bearer = format!("{JSON}Authorization: Bearer s\r\n");
    assert_eq!(post(&mut publisher, &bearer, &body).await.status, 200);
    // They do not hold their places for long.
    let slow = waiting.pop().unwrap().answer().await;
    assert_eq!(
        (slow.status, &slow.json()["code"]),
        (400, &json!("bad-request"))
    );
    drop(waiting);
    until("room again", async || {
        post(&mut publisher, &good, &body).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_signature_opens_nothing_but_publishing() {
    let (_gateway, mut publisher) = shop().await;
    for (number, (method, target)) in [
        ("GET", "/v1/channels/news/events"),
        ("HEAD", "/v1/channels/news/events"),
        ("GET", "/v1/channels/news/streams"),
        ("DELETE", "/v1/channels/news"),
        ("GET", "/v1/channels"),
        ("GET", "/v1/streams"),
        ("POST", "/v1/kick"),
        ("GET", "/openapi.json"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = r#"{"user":"42"}"#;
        let lines = headers(SECRET, &format!("n{number}"), now(), body);
        let answer = publisher
            .request(method, target, &lines, body.as_bytes())
            .await;
        assert_eq!(answer.status, 401, "{method} {target}");
    }
}
