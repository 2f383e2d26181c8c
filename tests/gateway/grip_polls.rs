//! Requests that are answered later, and the control endpoint.

use serde_json::json;

use crate::support::grip::{item, poll, site, site_with};
use crate::support::{Backend, Conn, Gateway, Reply, until, within};

async fn waiting(gateway: &Gateway) -> Conn {
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET /poll HTTP/1.1\r\nHost: site.test\r\n\r\n")
        .await;
    conn
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn a_poll_is_answered_once_and_its_connection_goes_on() {
    let (gateway, mut publisher, _backend) = site(|request| match request.target() {
        "/poll" => poll("c", "X-First: 1\r\n", "nothing"),
        _ => Reply::ok("a page"),
    })
    .await;
    let mut conn = waiting(&gateway).await;
    until("it waits", async || publisher.streams().await == 1).await;
    let response = json!({"code": 201, "headers": {"X-Item": "2"}, "body": "something"});
    publisher
        .items(&[
            item("c", "not for polls"),
            json!({"channel": "c", "http-response": response}),
        ])
        .await;
    let answer = conn.answer().await;
    assert_eq!((answer.status, answer.text()), (201, "something"));
    assert_eq!(
        (answer.header("x-first"), answer.header("x-item")),
        (Some("1"), Some("2"))
    );
    let page = conn
        .ask("GET /page HTTP/1.1\r\nHost: site.test\r\n\r\n")
        .await;
    assert_eq!(page.text(), "a page");
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn what_does_not_follow_has_a_poll_asked_again_once() {
    let (gateway, mut publisher, backend) = site(|_| poll("c; prev-id=1", "", "nothing")).await;
    let mut conn = waiting(&gateway).await;
    until("it waits", async || publisher.streams().await == 1).await;
    publisher
        .items(&[json!({"channel": "c", "http-response": {"body": "stray"}})])
        .await;
    let again = backend.request(1).await;
    assert_eq!(again.header("grip-last"), Some("c; last-id=1"));
    until("it waits again", async || publisher.streams().await == 1).await;
    let response = json!({"body": "2"});
    publisher
        .items(&[json!({"channel": "c", "id": "2", "prev-id": "1", "http-response": response})])
        .await;
    assert_eq!((conn.answer().await.text(), backend.count()), ("2", 2));
}

#[tokio::test]
async fn what_comes_before_a_poll_is_asked_again_answers_it() {
    let (gateway, mut publisher, backend) = site(|_| poll("c", "", "nothing")).await;
    let mut conn = waiting(&gateway).await;
    let hint = json!({"channel": "c", "http-response": {"action": "hint"}});
    for asked in 1..=2 {
        until("it waits", async || publisher.streams().await == 1).await;
        publisher.items(std::slice::from_ref(&hint)).await;
        if asked == 1 {
            backend.request(1).await;
        }
    }
    // The second request comes a second after the first, and this before.
    publisher
        .items(&[json!({"channel": "c", "http-response": {"body": "something"}})])
        .await;
    assert_eq!(
        (conn.answer().await.text(), backend.count()),
        ("something", 3)
    );
}

#[tokio::test]
async fn a_long_body_is_not_kept_for_a_second_request() {
    let (gateway, mut publisher, backend) = site(|_| poll("c", "", "nothing")).await;
    let mut conn = Conn::open(&gateway.public).await;
    let chunk = "x".repeat(70_000);
    conn.send(format!(
        "POST /poll HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\n0\r\n\r\n",
        chunk.len()
    ))
    .await;
    until("it waits", async || publisher.streams().await == 1).await;
    // It cannot be asked again, so what Django said is the answer.
    publisher
        .items(&[json!({"channel": "c", "http-response": {"action": "hint"}})])
        .await;
    assert_eq!(
        (conn.answer().await.text(), backend.count()),
        ("nothing", 1)
    );
}

#[tokio::test]
async fn who_leaves_a_poll_leaves_nothing_behind() {
    let (gateway, mut publisher, _backend) = site(|_| poll("c", "", "nothing")).await;
    let conn = waiting(&gateway).await;
    until("it waits", async || publisher.streams().await == 1).await;
    drop(conn);
    until("it is gone", async || publisher.streams().await == 0).await;
}

#[tokio::test]
async fn a_drain_answers_polls_with_what_django_said() {
    let (gateway, mut publisher, _backend) = site(|_| poll("c", "", "nothing")).await;
    let mut conn = waiting(&gateway).await;
    until("it waits", async || publisher.streams().await == 1).await;
    gateway.stop().await;
    assert_eq!(within("the answer", conn.answer()).await.text(), "nothing");
}

#[tokio::test]
async fn the_control_endpoint_takes_a_token_or_the_key_where_one_is_needed() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let tokens = "[publish]\ntokens = [{ name = \"a\", secret = \"all\" }, \
                  { name = \"b\", secret = \"some\", channels = [\"events-*\"] }]\n";
    let (_gateway, mut publisher) = site_with("{ key = \"changeme\" }", tokens, &backend).await;
    let body = json!({"items": [item("room", "x")]}).to_string();
    for (token, status) in [
        (None, 401),
        (Some("wrong"), 401),
        (Some("all"), 200),
        (Some("some"), 403),
        (Some("changeme"), 200),
    ] {
        let lines = token.map(bearer).unwrap_or_default();
        for (target, body, status) in [
            ("/publish/", body.as_str(), status),
            ("/recover/", "", status),
        ] {
            let answer = publisher
                .request("POST", target, &lines, body.as_bytes())
                .await;
            assert_eq!(
                answer.status,
                status,
                "{token:?} {target} {}",
                answer.text()
            );
        }
    }
    let lines = bearer("some");
    let body = json!({"items": [item("events-a%20b", "x")]}).to_string();
    let answer = publisher
        .request("POST", "/publish/", &lines, body.as_bytes())
        .await;
    assert_eq!(answer.status, 200);
}
