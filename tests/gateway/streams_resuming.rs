//! Who comes back gets what it missed, or a reset, or after a close is told to stop.

use std::time::Duration;

use serde_json::json;

use crate::support::streaming::{is_reset, numbers, site, texts};
use crate::support::{Conn, EventSource, Gateway, pass};

#[tokio::test]
async fn a_listener_that_comes_back_gets_exactly_what_it_missed() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let ids = numbers(&mut publisher, 1..=3).await;
    source.data(2).await;
    let last = source.last_event_id().to_owned();
    assert_eq!(last, ids[1]);
    drop(source);
    numbers(&mut publisher, 4..=103).await;
    let mut again = EventSource::resume(&gateway.public, "/events/", &last).await;
    assert_eq!(again.data(101).await, texts(3..=103));
    numbers(&mut publisher, 104..=105).await;
    assert_eq!(again.data(2).await, texts(104..=105), "and goes on live");
}

#[tokio::test]
async fn a_listener_cut_off_before_its_first_event_resumes_as_well() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    source.read_past("\n\n").await;
    let last = source.last_event_id().to_owned();
    drop(source);
    numbers(&mut publisher, 1..=3).await;
    let mut again = EventSource::resume(&gateway.public, "/events/", &last).await;
    assert_eq!(again.data(3).await, texts(1..=3));
}

#[tokio::test]
async fn the_last_id_may_stand_in_the_query_and_the_header_counts_first() {
    let (gateway, mut publisher) = site("").await;
    let ids = numbers(&mut publisher, 1..=5).await;
    for name in ["lastEventId", "last-event-id"] {
        let mut source =
            EventSource::open(&gateway.public, &format!("/events/?a=b&{name}={}", ids[1])).await;
        assert_eq!(source.data(3).await, texts(3..=5), "{name}");
        // A browser's URL stays as the page wrote it, while its header moves on.
        let target = format!("/events/?{name}={}", ids[0]);
        let mut source = EventSource::resume(&gateway.public, &target, &ids[3]).await;
        assert_eq!(source.data(1).await, texts(5..=5), "{name}");
    }
}

#[tokio::test]
async fn an_id_of_one_channel_resumes_all_of_them() {
    let (gateway, mut publisher) = site("").await;
    let elsewhere = publisher.text("elsewhere", "x").await;
    publisher.text("sport", "a").await;
    let first = publisher.text("news", "b").await;
    publisher.text("sport", "c").await;
    publisher
        .publish(json!({"channels": ["news", "sport"], "data": "d"}))
        .await;
    let mut source = EventSource::resume(&gateway.public, "/both/", &first).await;
    assert_eq!(source.data(2).await, ["c", "d"]);
    let mut source = EventSource::resume(&gateway.public, "/both/", &elsewhere).await;
    assert_eq!(
        source.data(4).await,
        ["a", "b", "c", "d"],
        "a place in the log, whichever channel it is from"
    );
}

#[tokio::test]
async fn who_missed_more_than_history_holds_gets_one_reset_and_goes_on() {
    let (gateway, mut publisher) = site("history = { events = 4 }").await;
    let ids = numbers(&mut publisher, 1..=10).await;
    let mut fits = EventSource::resume(&gateway.public, "/events/", &ids[5]).await;
    assert_eq!(
        fits.data(4).await,
        texts(7..=10),
        "exactly as much as there is"
    );
    let mut source = EventSource::resume(&gateway.public, "/events/", &ids[4]).await;
    is_reset(&mut source, "history").await;
    let last = source.last_event_id().to_owned();
    numbers(&mut publisher, 11..=12).await;
    assert_eq!(source.data(2).await, texts(11..=12), "one reset only");
    // From the reset on it resumes as ever.
    let mut again = EventSource::resume(&gateway.public, "/events/", &last).await;
    assert_eq!(again.data(2).await, texts(11..=12));
    assert_eq!(
        publisher
            .metric("tidegate_stream_resets_total{reason=\"history\"}")
            .await,
        1
    );
}

#[tokio::test]
async fn an_id_that_nobody_gave_gets_a_reset() {
    let (gateway, mut publisher) = site("").await;
    let id = publisher.text("news", "1").await;
    publisher
        .publish(json!({"channel": "other", "data": "", "id": "in-other"}))
        .await;
    let (epoch, seq) = id.split_once('-').unwrap();
    let future = format!("{epoch}-{}", seq.parse::<u64>().unwrap() + 1000);
    let huge = "9".repeat(1025);
    for (last, reason) in [
        ("nobody-knows", "unknown-id"),
        ("0000000000-1", "unknown-id"),
        (&future, "unknown-id"),
        ("in-other", "unknown-id"),
        ("00000000ab-18446744073709551616", "unknown-id"),
        ("\u{e4}-1", "unknown-id"),
        (&huge, "malformed-id"),
    ] {
        let mut source = EventSource::resume(&gateway.public, "/events/", last).await;
        is_reset(&mut source, reason).await;
        publisher.text("news", "next").await;
        assert_eq!(source.next().await.data, "next", "{last}");
    }
    for query in ["%00", "a%0Ab", "%ff"] {
        let mut source =
            EventSource::open(&gateway.public, &format!("/events/?lastEventId={query}")).await;
        assert_eq!(source.next().await.event, "reset", "{query}");
    }
    let lines = "Last-Event-ID: a\r\nLast-Event-ID: b\r\n";
    let mut source = EventSource::open_with(&gateway.public, "/events/", lines).await;
    is_reset(&mut source, "malformed-id").await;
}

#[tokio::test]
async fn a_publishers_own_ids_resume_and_the_latest_of_two_counts() {
    let (gateway, mut publisher) = site("").await;
    for (id, data) in [
        ("p 1", "a"),
        ("p-2", "b"),
        ("p 1", "c"),
        ("\u{e4}", "d"),
        ("p-5", "e"),
    ] {
        let answer = publisher
            .publish(json!({"channel": "news", "id": id, "data": data}))
            .await;
        assert_eq!(answer["id"], id);
    }
    for (last, rest) in [
        ("p-2", &["c", "d", "e"][..]),
        ("p 1", &["d", "e"]),
        ("\u{e4}", &["e"]),
    ] {
        let mut source = EventSource::resume(&gateway.public, "/events/", last).await;
        assert_eq!(source.data(rest.len()).await, rest, "{last}");
    }
}

#[tokio::test]
async fn a_close_ends_the_streams_and_who_has_seen_it_is_told_to_stop() {
    for (close, data) in [
        (
            json!({"channel": "news", "data": "bye", "close": true}),
            &["bye"][..],
        ),
        (json!({"channel": "news", "close": true}), &[]),
    ] {
        let (gateway, mut publisher) = site("").await;
        let mut source = EventSource::open(&gateway.public, "/events/").await;
        let before = publisher.text("news", "last").await;
        assert_eq!(source.next().await.data, "last");
        let end = publisher.publish(close).await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let (events, text, whole) = source.rest().await;
        assert!(whole);
        assert_eq!(
            events.iter().map(|event| &*event.data).collect::<Vec<_>>(),
            data
        );
        assert!(
            text.contains(&format!("id: {end}\n")),
            "the end has an id, to come back with: {text:?}"
        );
        // Who has seen the end stops; who has not gets the rest, then the end; who is new gets an open stream.
        let answer = get_with(&gateway, "/events/", &end).await;
        assert_eq!((answer.status, answer.text()), (204, ""));
        let (events, text, whole) = EventSource::resume(&gateway.public, "/events/", &before)
            .await
            .rest()
            .await;
        assert!(whole && text.contains(&format!("id: {end}\n")));
        assert_eq!(
            events.iter().map(|event| &*event.data).collect::<Vec<_>>(),
            data
        );
        let mut fresh = EventSource::open(&gateway.public, "/beating/").await;
        fresh.heartbeats(1).await;
        // Publishing opens it again.
        publisher.text("news", "again").await;
        assert_eq!(fresh.next().await.data, "again");
        let mut back = EventSource::resume(&gateway.public, "/events/", &end).await;
        assert_eq!(back.next().await.data, "again");
    }
}

async fn get_with(gateway: &Gateway, target: &str, last: &str) -> crate::support::Answer {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {last}\r\nConnection: close\r\n\r\n"
    );
    Conn::open(&gateway.public).await.ask(request).await
}

#[tokio::test]
async fn the_end_is_forgotten_after_closed_for() {
    let (gateway, mut publisher) = site("closed_for = \"1s\"").await;
    let end = publisher
        .publish(json!({"channel": "news", "close": true}))
        .await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(get_with(&gateway, "/events/", &end).await.status, 204);
    pass(Duration::from_millis(1050)).await;
    let mut source = EventSource::resume(&gateway.public, "/events/", &end).await;
    publisher.text("news", "on").await;
    assert_eq!(source.next().await.data, "on");
}

/// Routes onto one channel that are given different parts of its history.
const REACHES: &str = "\
    [[route]]\npath = \"/short/\"\nsse = { channels = [\"news\"], public = true, history = { events = 2 }, closed_for = \"0s\" }\n\
    [[route]]\npath = \"/long/\"\nsse = { channels = [\"news\"], public = true, history = { events = 500 } }\n\
    [sse]\nper_ip = 0\nhistory = { events = 4 }\n";

#[tokio::test]
async fn each_route_gives_back_what_it_says() {
    let gateway = Gateway::start(&format!(
        "{REACHES}[[route]]\npath = \"/events/\"\nsse = {{ channels = [\"news\"], public = true }}\n"
    ))
    .await;
    let mut publisher = gateway.publisher().await;
    let ids = numbers(&mut publisher, 1..=10).await;
    // The place of `ids[n]` has 9 - n events after it.
    for (path, most) in [("/short/", 2), ("/events/", 4), ("/long/", 9)] {
        let mut fits = EventSource::resume(&gateway.public, path, &ids[9 - most]).await;
        let first = u32::try_from(11 - most).unwrap();
        assert_eq!(fits.data(most).await, texts(first..=10), "{path}");
        if most < 9 {
            let mut beyond = EventSource::resume(&gateway.public, path, &ids[8 - most]).await;
            is_reset(&mut beyond, "history").await;
        }
    }
    // An open stream is given all, however short its history.
    let mut open = EventSource::open(&gateway.public, "/short/").await;
    open.read_past("\n\n").await;
    let batch: Vec<_> = (11..=30)
        .map(|number| json!({"channel": "news", "data": number.to_string()}))
        .collect();
    publisher.publish(json!(batch)).await;
    assert_eq!(open.data(20).await, texts(11..=30));
    let end = publisher
        .publish(json!({"channel": "news", "close": true}))
        .await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(get_with(&gateway, "/long/", &end).await.status, 204);
    let mut again = EventSource::resume(&gateway.public, "/short/", &end).await;
    publisher.text("news", "on").await;
    assert_eq!(again.next().await.data, "on");
}

#[tokio::test]
async fn a_route_gives_back_nothing_older_than_it_says() {
    let gateway = Gateway::start(
        "[[route]]\npath = \"/young/\"\nsse = { channels = [\"news\"], public = true, history = { age = \"2s\" } }\n\
         [[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n",
    )
    .await;
    let mut publisher = gateway.publisher().await;
    let ids = numbers(&mut publisher, 1..=2).await;
    let mut young = EventSource::resume(&gateway.public, "/young/", &ids[0]).await;
    assert_eq!(young.data(1).await, ["2"]);
    pass(Duration::from_millis(2050)).await;
    let mut old = EventSource::resume(&gateway.public, "/young/", &ids[0]).await;
    is_reset(&mut old, "history").await;
    let mut other = EventSource::resume(&gateway.public, "/events/", &ids[0]).await;
    assert_eq!(other.data(1).await, ["2"], "it is there for others");
}
