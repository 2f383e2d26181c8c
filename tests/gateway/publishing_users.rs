//! Events for a user, and who may publish them.

use serde_json::json;

use crate::support::publishing::{JSON, site};
use crate::support::{Backend, EventSource, Gateway, Reply, gateway};

const TOKENS: &str = "[publish]\ntokens = [\n\
    { name = \"all\", secret = \"one\" },\n\
    { name = \"some\", secret = \"two\", channels = [\"*\"] },\n]\n";

#[tokio::test]
async fn an_event_for_a_user_and_a_channel_is_one_event() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let answer = publisher
        .publish(json!({"channel": "news", "user": 42, "data": "both"}))
        .await;
    assert_eq!(answer["streams"], 1);
    let alone = publisher
        .publish(json!({"user": "42", "data": "alone"}))
        .await;
    assert_eq!(alone["streams"], 0);
    let target = "/v1/channels/news/events?user=42&keep=none";
    let last = publisher.request("POST", target, "", b"query").await.json();
    let ids: Vec<_> = [answer, last].iter().map(|a| a["id"].clone()).collect();
    for (data, id) in [("both", &ids[0]), ("query", &ids[1])] {
        let event = source.next().await;
        assert_eq!((event.data.as_str(), &json!(event.id)), (data, id));
    }
}

#[tokio::test]
async fn every_stream_of_the_user_gets_it_once_and_nobody_else_does() {
    let backend = Backend::start(|request| {
        let (_, user) = request.target().split_once("user=").unwrap();
        let lines = format!("SSE-Channel: news\r\nSSE-User: {user}\r\n");
        Reply::answer("200 OK", &lines, "")
    })
    .await;
    let upstream = gateway::upstream(&backend.address, "");
    let route = "[[route]]\npath = \"/events/\"\nsse = { ask = \"django\" }\n";
    let gateway = Gateway::start(&format!("{upstream}{route}")).await;
    let mut sources = Vec::new();
    for user in [42, 42, 43] {
        let target = format!("/events/?user={user}");
        sources.push(EventSource::open(&gateway.public, &target).await);
    }
    let mut publisher = gateway.publisher().await;
    for (event, streams) in [
        (json!({"user": 42, "data": "mine"}), 2),
        (json!({"channel": "news", "user": "42", "data": "all"}), 3),
        (json!({"user": 4, "data": "nobody's"}), 0),
        (json!({"channel": "news", "data": "end"}), 3),
    ] {
        assert_eq!(publisher.publish(event).await["streams"], streams);
    }
    for source in sources.iter_mut().take(2) {
        assert_eq!(source.data(3).await, ["mine", "all", "end"]);
    }
    assert_eq!(sources[2].data(2).await, ["all", "end"]);
}

#[tokio::test]
async fn a_token_for_some_channels_publishes_to_no_user() {
    let (_gateway, mut publisher) = site(TOKENS).await;
    for (token, body, status) in [
        ("one", json!({"user": 42, "data": ""}), 200),
        ("two", json!({"user": 42, "data": ""}), 403),
        (
            "two",
            json!({"channel": "news", "user": 42, "data": ""}),
            403,
        ),
        ("two", json!({"channel": "news", "data": ""}), 200),
    ] {
        let lines = format!("{JSON}Authorization: Bearer {token}\r\n");
        let text = body.to_string();
        let answer = publisher
            .request("POST", "/v1/events", &lines, text.as_bytes())
            .await;
        assert_eq!(answer.status, status, "{body}");
        if status == 403 {
            assert_eq!(answer.json()["pointer"], "/user");
            assert_eq!(
                answer.json()["detail"],
                "this token may not publish to a user"
            );
        }
    }
    let target = "/v1/channels/news/events?user=42";
    let answer = publisher
        .request("POST", target, "Authorization: Bearer two\r\n", b"")
        .await;
    assert_eq!(answer.status, 403);
}
