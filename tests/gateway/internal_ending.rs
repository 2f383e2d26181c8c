//! Streams that are ended from inside: by user, channel or id, or with their channel's history. They come back.

use serde_json::{Value, json};

use crate::support::asking::{answering, granted};
use crate::support::publishing::{JSON, site};
use crate::support::streaming::{self, is_reset, numbers};
use crate::support::{EventSource, Publisher, until};

const TOKENS: &str = "[publish]\ntokens = [\n\
    { name = \"all\", secret = \"one\" },\n\
    { name = \"some\", secret = \"two\", channels = [\"room-*\"] },\n]\n";

async fn delete(publisher: &mut Publisher, channel: &str) -> u64 {
    let target = format!("/v1/channels/{channel}");
    let answer = publisher.request("DELETE", &target, "", b"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["ended"].as_u64().unwrap()
}

#[tokio::test]
async fn a_listener_ended_by_its_channel_comes_back_and_resumes() {
    let (gateway, mut publisher) = streaming::site("").await;
    let mut news = EventSource::open(&gateway.public, "/events/").await;
    let mut both = EventSource::open(&gateway.public, "/both/").await;
    let mut room = EventSource::open(&gateway.public, "/rooms/a/").await;
    publisher.text("news", "1").await;
    assert_eq!(
        (news.data(1).await, both.data(1).await),
        (vec!["1".to_owned()], vec!["1".to_owned()])
    );
    assert_eq!(publisher.kick(json!({"channel": "news"})).await, 2);
    let last = news.last_event_id().to_owned();
    news.ends().await;
    both.ends().await;
    publisher.text("news", "2").await;
    let mut again = EventSource::resume(&gateway.public, "/events/", &last).await;
    publisher.text("news", "3").await;
    assert_eq!(again.data(2).await, ["2", "3"], "it missed nothing");
    publisher.text("room-a", "x").await;
    assert_eq!(room.data(1).await, ["x"], "others go on");
    assert_eq!(publisher.kick(json!({"channel": "nobody"})).await, 0);
    assert_eq!(publisher.metric("tidegate_streams_kicked_total").await, 2);
}

#[tokio::test]
async fn one_stream_is_ended_by_its_id() {
    let (gateway, mut publisher) = streaming::site("").await;
    let one = EventSource::open(&gateway.public, "/events/").await;
    let mut other = EventSource::open(&gateway.public, "/events/").await;
    let id = one.stream().to_owned();
    assert_eq!(publisher.kick(json!({"stream": id})).await, 1);
    one.ends().await;
    until("its end", async || publisher.streams().await == 1).await;
    assert_eq!(publisher.kick(json!({"stream": id})).await, 0, "it is gone");
    assert_eq!(publisher.kick(json!({"stream": "f".repeat(32)})).await, 0);
    publisher.text("news", "1").await;
    assert_eq!(other.data(1).await, ["1"]);
}

#[tokio::test]
async fn a_user_is_ended_on_every_stream_and_asked_for_again() {
    let (gateway, mut publisher, backend) = answering(|request| {
        let user = request.target().rsplit('=').next().unwrap().to_owned();
        granted(&format!("SSE-User: {user}\r\n"))
    })
    .await;
    let open = |user| {
        let target = format!("/events/?user={user}");
        let public = gateway.public.clone();
        async move { EventSource::open(&public, &target).await }
    };
    let (first, second, mut other) = (open(42).await, open(42).await, open(7).await);
    assert_eq!(publisher.kick(json!({"user": 42})).await, 2);
    first.ends().await;
    second.ends().await;
    assert_eq!(publisher.kick(json!({"user": "43"})).await, 0);
    let asked = backend.count();
    let mut again = open(42).await;
    assert_eq!(backend.count(), asked + 1, "Django decides anew");
    publisher.text("news", "x").await;
    assert_eq!(
        (again.data(1).await, other.data(1).await),
        (vec!["x".to_owned()], vec!["x".to_owned()])
    );
    assert_eq!(publisher.kick(json!({"user": "42"})).await, 1);
}

#[tokio::test]
async fn who_comes_back_to_a_deleted_channel_gets_one_reset_and_goes_on() {
    let (gateway, mut publisher) = streaming::site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    numbers(&mut publisher, 1..=3).await;
    source.data(3).await;
    let last = source.last_event_id().to_owned();
    publisher.text("sport", "stays").await;
    assert_eq!(delete(&mut publisher, "news").await, 1);
    source.ends().await;
    let shown = publisher.get("/v1/channels").await.json();
    assert_eq!(shown["channels"].as_array().unwrap().len(), 1, "{shown}");
    publisher.text("news", "4").await;
    let mut again = EventSource::resume(&gateway.public, "/events/", &last).await;
    is_reset(&mut again, "history").await;
    publisher.text("news", "5").await;
    assert_eq!(again.data(1).await, ["5"]);
    let last = again.last_event_id().to_owned();
    drop(again);
    let mut third = EventSource::resume(&gateway.public, "/events/", &last).await;
    publisher.text("news", "6").await;
    assert_eq!(third.data(1).await, ["6"], "and no second reset");
    assert_eq!(delete(&mut publisher, "nobody").await, 0);
}

#[tokio::test]
async fn a_channel_of_any_name_can_be_deleted_and_no_other() {
    let (_gateway, mut publisher) = site("").await;
    for name in ["room", "room/events", "room/streams/x", "events"] {
        publisher.text(name, "x").await;
    }
    let names = async |publisher: &mut Publisher| {
        let shown = publisher.get("/v1/channels").await.json();
        let shown = shown["channels"].as_array().unwrap().clone();
        let name = |channel: &Value| channel["name"].as_str().unwrap().to_owned();
        shown.iter().map(name).collect::<Vec<_>>()
    };
    let answer = publisher
        .request("DELETE", "/v1/channels/room/events", "", b"")
        .await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    assert_eq!(
        names(&mut publisher).await.len(),
        4,
        "it is no name, and nothing was deleted"
    );
    delete(&mut publisher, "room%2Fevents").await;
    assert_eq!(
        names(&mut publisher).await,
        ["events", "room", "room/streams/x"]
    );
    delete(&mut publisher, "room/streams/x").await;
    delete(&mut publisher, "events").await;
    assert_eq!(names(&mut publisher).await, ["room"]);
}

#[tokio::test]
async fn a_kick_is_read_as_strictly_as_an_event() {
    let (_gateway, mut publisher) = site("").await;
    for (body, status, code, pointer, hint) in [
        ("", 400, "bad-json", None, None),
        ("{", 400, "bad-json", None, None),
        ("[]", 422, "invalid-field", Some(""), None),
        ("{}", 422, "invalid-field", Some(""), None),
        (
            r#"{"usr":"42"}"#,
            422,
            "invalid-field",
            Some("/usr"),
            Some("did you mean \"user\"?"),
        ),
        (
            r#"{"user":"42","channel":"a"}"#,
            422,
            "invalid-field",
            Some("/channel"),
            None,
        ),
        (r#"{"user":""}"#, 422, "invalid-field", Some("/user"), None),
        (r#"{"user":[1]}"#, 422, "invalid-field", Some("/user"), None),
        (
            r#"{"channel":"~42"}"#,
            422,
            "invalid-field",
            Some("/channel"),
            None,
        ),
        (
            r#"{"stream":"42"}"#,
            422,
            "invalid-field",
            Some("/stream"),
            None,
        ),
    ] {
        let answer = publisher
            .request("POST", "/v1/kick", JSON, body.as_bytes())
            .await;
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"]),
            (status, &json!(code)),
            "{body}: {problem}"
        );
        assert_eq!(
            problem.get("pointer").and_then(Value::as_str),
            pointer,
            "{body}"
        );
        assert_eq!(problem.get("hint").and_then(Value::as_str), hint, "{body}");
    }
    let typed = publisher
        .request("POST", "/v1/kick", "Content-Type: text/plain\r\n", b"{}")
        .await;
    assert_eq!(typed.status, 415);
    let asked = publisher
        .request("POST", "/v1/kick?user=42", JSON, b"{}")
        .await;
    assert_eq!(
        (asked.status, &asked.json()["parameter"]),
        (422, &json!("user"))
    );
    let fits = format!("{{\"user\":1{}}}", " ".repeat(4096 - 10));
    let answer = publisher
        .request("POST", "/v1/kick", JSON, fits.as_bytes())
        .await;
    assert_eq!(answer.status, 200);
    let long = format!("{fits} ");
    let answer = publisher
        .request("POST", "/v1/kick", JSON, long.as_bytes())
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("too-large"))
    );
}

#[tokio::test]
async fn a_token_for_some_channels_ends_only_those() {
    let (gateway, mut publisher) = site(&format!("{TOKENS}{ROOMS}")).await;
    let mut news = EventSource::open(&gateway.public, "/events/").await;
    let room = EventSource::open(&gateway.public, "/rooms/1/").await;
    let stream = json!({"stream": news.stream()}).to_string();
    let nobody = json!({"stream": "f".repeat(32)}).to_string();
    for (method, target, body, all, some) in [
        ("POST", "/v1/kick", r#"{"user":"42"}"#, 200, 403),
        ("POST", "/v1/kick", &nobody, 200, 403),
        ("POST", "/v1/kick", r#"{"channel":"nobody"}"#, 200, 403),
        ("POST", "/v1/kick", r#"{"channel":"room-2"}"#, 200, 200),
        ("DELETE", "/v1/channels/nobody", "", 200, 403),
        ("DELETE", "/v1/channels/room-2", "", 200, 200),
        ("GET", "/v1/streams", "", 200, 403),
        ("GET", "/v1/channels/news/streams", "", 200, 403),
        ("GET", "/v1/channels/room-1/streams", "", 200, 200),
        ("GET", "/v1/stats", "", 200, 200),
        ("GET", "/openapi.json", "", 200, 200),
    ] {
        for (secret, status) in [("one", all), ("two", some), ("three", 401)] {
            let lines = format!("{JSON}Authorization: Bearer {secret}\r\n");
            let answer = publisher
                .request(method, target, &lines, body.as_bytes())
                .await;
            assert_eq!(answer.status, status, "{secret} {method} {target} {body}");
        }
    }
    let lines = format!("{JSON}Authorization: Bearer two\r\n");
    let refused = publisher
        .request("POST", "/v1/kick", &lines, stream.as_bytes())
        .await;
    assert_eq!(refused.status, 403);
    let body = br#"{"channel":"room-1"}"#;
    let answer = publisher.request("POST", "/v1/kick", &lines, body).await;
    assert_eq!(answer.json(), json!({"ended": 1}));
    room.ends().await;
    let body = json!({"channel": "news", "data": "on"}).to_string();
    let lines = format!("{JSON}Authorization: Bearer one\r\n");
    publisher
        .request("POST", "/v1/events", &lines, body.as_bytes())
        .await;
    assert_eq!(news.data(1).await, ["on"], "the other stream is untouched");
}

const ROOMS: &str = "[[route]]\npath = \"/rooms/<str:room>/\"\nsse = { channels = [\"room-{room}\"], public = true }\n";
