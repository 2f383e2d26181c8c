//! What may be published, one by one or as a batch, and that it is heard as it was meant and forges nothing.

use serde_json::json;

use crate::support::EventSource;
use crate::support::publishing::site;

#[tokio::test]
async fn one_event_is_answered_with_its_id_and_the_streams_that_hear_it() {
    let (gateway, mut publisher) = site("").await;
    assert_eq!(
        publisher
            .publish(json!({"channel": "news", "data": "x"}))
            .await["streams"],
        0,
        "0 is no error"
    );
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let answer = publisher
        .publish(json!({"channel": "news", "event": "tick", "data": {"n": 1.50, "text": "hi"}, "retry": 1000}))
        .await;
    let event = source.next().await;
    assert_eq!((event.event.as_str(), event.retry), ("tick", Some(1000)));
    assert_eq!(event.data, r#"{"n":1.5,"text":"hi"}"#);
    assert_eq!(
        (answer["id"].as_str(), &answer["streams"]),
        (Some(event.id.as_str()), &json!(1))
    );
    for (data, text) in [
        (json!("a text"), "a text"),
        (json!(""), ""),
        (json!(null), "null"),
        (json!([1, 2]), "[1,2]"),
        (json!("ä\u{2028}🎈"), "ä\u{2028}🎈"),
    ] {
        publisher
            .publish(json!({"channel": "news", "data": data}))
            .await;
        assert_eq!(source.next().await.data, text);
    }
}

#[tokio::test]
async fn a_batch_is_published_in_order_and_all_or_nothing() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let batch: Vec<_> = (0..5)
        .map(|n| json!({"channel": "news", "data": n}))
        .collect();
    let answer = publisher.publish(json!(batch)).await;
    assert_eq!(answer["published"], 5);
    assert_eq!(source.data(5).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(answer["last_id"], source.last_event_id());
    let before = publisher.get("/v1/stats").await.json()["last_id"].clone();
    let bad = json!([{"channel": "news", "data": 5}, {"channel": "news", "data": 6, "event": "a\nb"}, {"channel": "news", "data": 7}]);
    let answer = publisher.post(&bad).await;
    assert_eq!(
        (answer.status, &answer.json()["pointer"]),
        (422, &json!("/1/event"))
    );
    assert_eq!(
        publisher.get("/v1/stats").await.json()["last_id"],
        before,
        "nothing of it was taken"
    );
    publisher.text("news", "next").await;
    assert_eq!(source.next().await.data, "next");
    assert_eq!(publisher.publish(json!([])).await["published"], 0);
}

#[tokio::test]
async fn the_channel_endpoint_takes_the_body_as_it_is() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let target = "/v1/channels/news/events?event=tick&id=own-1";
    let answer = publisher
        .request("POST", target, "", b"{\"not\": json")
        .await;
    assert_eq!(
        (answer.status, &answer.json()["id"]),
        (200, &json!("own-1")),
        "{}",
        answer.text()
    );
    let event = source.next().await;
    assert_eq!(
        (&*event.event, &*event.data, &*event.id),
        ("tick", "{\"not\": json", "own-1")
    );
    let answer = publisher
        .request("POST", "/v1/channels/news/events?close=1", "", b"bye")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(source.next().await.data, "bye");
    source.ends().await;
    for (target, status) in [
        ("/v1/channels/a%20b/events", 422),
        ("/v1/channels/news/events?evnt=x", 422),
        ("/v1/channels/news/events?event=a%0Ab", 422),
        ("/v1/channels/news/events?id=a%00b", 422),
        ("/v1/channels/news/events?close=perhaps", 422),
    ] {
        assert_eq!(
            publisher.request("POST", target, "", b"x").await.status,
            status,
            "{target}"
        );
    }
    let answer = publisher
        .request("POST", "/v1/channels/news/events", "", b"\xff\xfe")
        .await;
    assert!(
        matches!(answer.status, 400 | 422),
        "an event is text: {}",
        answer.status
    );
}

#[tokio::test]
async fn no_byte_of_an_event_forges_a_field_or_another_event() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    for (data, seen) in [
        ("a\n\ndata: forged", "a\n\ndata: forged"),
        (
            "a\r\rid: forged\revent: forged",
            "a\n\nid: forged\nevent: forged",
        ),
        ("a\r\n\r\nretry: 1\r\n", "a\n\nretry: 1\n"),
        ("\u{feff}data: x", "\u{feff}data: x"),
        ("\nid: forged", "\nid: forged"),
        ("a\u{0}b", "a\u{0}b"),
        ("a\u{85}b\u{2028}c", "a\u{85}b\u{2028}c"),
    ] {
        let id = publisher.text("news", data).await;
        let event = source.next().await;
        assert_eq!(
            (&*event.event, &*event.data, &event.id),
            ("message", seen, &id),
            "{data:?}"
        );
        assert_ne!(event.retry, Some(1), "{data:?}");
    }
}

#[tokio::test]
async fn an_id_in_the_form_of_the_gateways_own_is_refused() {
    let (_gateway, mut publisher) = site("").await;
    let id = publisher.text("news", "x").await;
    let (epoch, _) = id.split_once('-').unwrap();
    for forged in [id.clone(), format!("{epoch}-999999"), format!("{epoch}-0")] {
        let answer = publisher
            .post(&json!({"channel": "news", "data": "", "id": forged}))
            .await;
        assert_eq!(
            (answer.status, &answer.json()["pointer"]),
            (422, &json!("/id")),
            "{forged}"
        );
        let target = format!("/v1/channels/news/events?id={forged}");
        assert_eq!(
            publisher.request("POST", &target, "", b"").await.status,
            422
        );
    }
    assert_eq!(
        publisher
            .post(&json!({"channel": "news", "data": "", "id": "mine-7"}))
            .await
            .status,
        200
    );
}
