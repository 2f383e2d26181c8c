//! Who is listening: the open streams, those of a channel, and what the tap shows of what they are given.

use serde_json::{Value, json};

use crate::support::asking::{answering, granted};
use crate::support::documented;
use crate::support::publishing::{JSON, site};
use crate::support::{Conn, EventSource, Gateway, Publisher, Reply, until};

async fn streams(publisher: &mut Publisher, target: &str) -> Vec<Value> {
    let answer = publisher.get(target).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()["streams"].as_array().unwrap().clone()
}

fn ids(streams: &[Value]) -> Vec<&str> {
    streams
        .iter()
        .map(|stream| stream["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn open_streams_are_told_with_all_that_is_known_of_them() {
    let (gateway, mut publisher, _backend) = answering(|request| {
        if request.target().contains("user") {
            return granted("SSE-Channel: room-1\r\nSSE-User: 42\r\n");
        }
        Reply::channel("sport")
    })
    .await;
    let mut mine = EventSource::open(&gateway.public, "/events/?user").await;
    let other = EventSource::open(&gateway.public, "/events/").await;
    publisher
        .publish(json!({"user": "42", "data": "to the user"}))
        .await;
    publisher.text("room-1", "to the room").await;
    publisher.text("sport", "to others").await;
    assert_eq!(mine.data(2).await, ["to the user", "to the room"]);
    until("its progress", async || {
        streams(&mut publisher, "/v1/streams?user=42").await[0]["sent"] == 2
    })
    .await;
    let all = streams(&mut publisher, "/v1/streams").await;
    assert_eq!(
        ids(&all),
        [mine.stream(), other.stream()],
        "the longest open first"
    );
    let one = &all[0];
    assert_eq!(
        (&one["user"], &all[1]["user"]),
        (&json!("42"), &Value::Null)
    );
    assert_eq!(
        one["channels"],
        json!(["news", "room-1"]),
        "those that have a name"
    );
    assert_eq!(
        (&one["address"], &one["lag"]),
        (&json!("127.0.0.1"), &json!(0))
    );
    let route = one["route"].as_str().unwrap().to_owned();
    let escaped = route
        .replace(':', "%3A")
        .replace('<', "%3C")
        .replace('>', "%3E");
    for (query, found) in [
        ("user=42".to_owned(), vec![mine.stream()]),
        ("user=4".to_owned(), vec![]),
        ("channel=room-*".to_owned(), vec![mine.stream()]),
        (
            "channel=room-1&channel=sport".to_owned(),
            vec![mine.stream(), other.stream()],
        ),
        ("channel=*&user=42".to_owned(), vec![mine.stream()]),
        (
            format!("route={escaped}"),
            vec![mine.stream(), other.stream()],
        ),
        ("route=elsewhere".to_owned(), vec![]),
        ("limit=1".to_owned(), vec![mine.stream()]),
        ("limit=1&channel=sport".to_owned(), vec![other.stream()]),
    ] {
        let some = streams(&mut publisher, &format!("/v1/streams?{query}")).await;
        assert_eq!(ids(&some), found, "{query}");
    }
    let present = streams(&mut publisher, "/v1/channels/sport/streams").await;
    assert_eq!(present, [all[1].clone()]);
    assert!(
        streams(&mut publisher, "/v1/channels/nobody/streams")
            .await
            .is_empty()
    );
    drop(other);
    until("the end of a stream", async || {
        streams(&mut publisher, "/v1/channels/sport/streams")
            .await
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_does_not_read_lags() {
    let text = "[sse]\nclient_buffer = \"64MiB\"\nhistory = { events = 5000 }\n";
    let (gateway, mut publisher) = site(text).await;
    let mut stalled = Conn::open(&gateway.public).await;
    stalled
        .send("GET /events/ HTTP/1.1\r\nHost: site.test\r\nAccept: text/event-stream\r\n\r\n")
        .await;
    stalled.head().await;
    // More than any socket holds.
    let event = json!({"channel": "news", "data": "x".repeat(64 << 10)});
    for _ in 0..4 {
        publisher.publish(vec![event.clone(); 100].into()).await;
    }
    until("a lag", async || {
        let told = streams(&mut publisher, "/v1/streams").await;
        let number = |name: &str| told[0][name].as_u64().unwrap();
        assert!(number("lag") + number("sent") <= 400, "{told:?}");
        number("lag") > 0 && number("lag") + number("sent") == 400
    })
    .await;
}

#[tokio::test]
async fn a_tap_is_no_stream_and_a_stream_that_waits_for_django_is_one() {
    let (gateway, mut publisher, _backend) = answering(|_| Reply::answer("503 X", "", "")).await;
    let _tap = EventSource::open(&gateway.internal_unix, "/v1/tap").await;
    let waiting = EventSource::open(&gateway.public, "/events/").await;
    let told = streams(&mut publisher, "/v1/streams").await;
    assert_eq!(ids(&told), [waiting.stream()]);
    assert_eq!(
        (&told[0]["channels"], &told[0]["user"]),
        (&json!([]), &Value::Null)
    );
    assert!(
        streams(&mut publisher, "/v1/streams?channel=*")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn presence_shows_a_limited_token_only_its_own_channels() {
    let text = "[publish]\ntokens = [{ name = \"all\", secret = \"one\" }, \
                { name = \"some\", secret = \"two\", channels = [\"*ort\"] }]\n\
                [[route]]\npath = \"/both/\"\nsse = { channels = [\"news\", \"sport\"], public = true }\n";
    let gateway = Gateway::start(text).await;
    let mut publisher = gateway.publisher().await;
    let _both = EventSource::open(&gateway.public, "/both/").await;
    for (secret, channels) in [("one", json!(["news", "sport"])), ("two", json!(["sport"]))] {
        let lines = format!("{JSON}Authorization: Bearer {secret}\r\n");
        let target = "/v1/channels/sport/streams";
        let answer = publisher.request("GET", target, &lines, b"").await.json();
        assert_eq!(answer["streams"][0]["channels"], channels, "{secret}");
    }
}

#[tokio::test]
async fn rates_are_of_the_last_minute() {
    let (_gateway, mut publisher) = site("").await;
    publisher
        .publish(vec![json!({"channel": "news", "data": ""}); 91].into())
        .await;
    let shown = publisher.get("/v1/channels").await.json();
    assert_eq!(shown["channels"][0]["rate"], 1.517);
    assert_eq!(shown["channels"][0]["events"], 91);
}

async fn tapped(tap: &mut EventSource) -> Value {
    let event = tap.next().await;
    assert_eq!(event.event, "event");
    let told = serde_json::from_str(&event.data).unwrap();
    documented::fits(&told, documented::named("TappedEvent")).unwrap();
    told
}

async fn tap(gateway: &Gateway, query: &str, lines: &str) -> EventSource {
    let target = format!("/v1/tap{query}");
    let mut tap = EventSource::open_with(&gateway.internal_unix, &target, lines).await;
    tap.read_past("\n\n").await;
    tap
}

#[tokio::test]
async fn a_tap_shows_what_went_to_a_user_and_never_a_channel_without_a_name() {
    let (gateway, mut publisher) = site("").await;
    let mut all = tap(&gateway, "", "").await;
    let mut news = tap(&gateway, "?channel=*", "").await;
    publisher
        .publish(json!({"user": "42", "data": "a", "event": "tick"}))
        .await;
    publisher
        .publish(json!({"channel": "news", "user": 7, "data": "b"}))
        .await;
    let id = publisher.text("news", "c").await;
    let first = tapped(&mut all).await;
    assert_eq!(
        (&first["channels"], &first["user"]),
        (&json!([]), &json!("42"))
    );
    assert_eq!(
        (&first["event"], &first["data"]),
        (&json!("tick"), &json!("a"))
    );
    for tap in [&mut all, &mut news] {
        let both = tapped(tap).await;
        assert_eq!(
            (&both["channels"], &both["user"]),
            (&json!(["news"]), &json!("7"))
        );
        let last = tapped(tap).await;
        let expected =
            json!({"channels": ["news"], "user": null, "event": "message", "id": id, "data": "c"});
        assert_eq!(last, expected);
    }
    assert!(!all.text.contains('~') && !news.text.contains('~'));
}

#[tokio::test]
async fn a_tap_can_be_asked_for_some_events_only() {
    let (gateway, mut publisher) = site("").await;
    let mut ticks = tap(&gateway, "?event=tick&event=tock", "").await;
    let mut plain = tap(&gateway, "?event=message&channel=news", "").await;
    for (channel, event, data) in [
        ("news", json!("tick"), "1"),
        ("news", json!(null), "2"),
        ("other", json!(null), "3"),
        ("other", json!("tock"), "4"),
        ("news", json!("message"), "5"),
        ("news", json!("ticks"), "6"),
        ("other", json!("tick"), "7"),
    ] {
        publisher
            .publish(json!({"channel": channel, "event": event, "data": data}))
            .await;
    }
    for expected in ["1", "4", "7"] {
        assert_eq!(tapped(&mut ticks).await["data"], expected);
    }
    for expected in ["2", "5"] {
        assert_eq!(tapped(&mut plain).await["data"], expected);
    }
}

#[tokio::test]
async fn a_limited_token_taps_its_channels_and_no_user() {
    let text = "[publish]\ntokens = [{ name = \"all\", secret = \"one\" }, \
                { name = \"some\", secret = \"two\", channels = [\"*\"] }]\n";
    let (gateway, mut publisher) = site(text).await;
    let mut some = tap(&gateway, "", "Authorization: Bearer two\r\n").await;
    let lines = format!("{JSON}Authorization: Bearer one\r\n");
    for event in [
        json!({"user": "42", "data": "a"}),
        json!({"channel": "news", "user": "42", "data": "b"}),
    ] {
        let body = event.to_string();
        let answer = publisher
            .request("POST", "/v1/events", &lines, body.as_bytes())
            .await;
        assert_eq!(answer.status, 200);
    }
    let told = tapped(&mut some).await;
    assert_eq!((&told["data"], &told["user"]), (&json!("b"), &Value::Null));
}
