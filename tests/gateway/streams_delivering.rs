//! What an open stream carries: each event once and in order, whoever else is slow or leaves.

use serde_json::json;

use crate::support::streaming::{is_reset, site};
use crate::support::{EventSource, until};

#[tokio::test]
async fn a_silent_stream_beats_and_wakes_no_listener() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/beating/").await;
    source.heartbeats(3).await;
    publisher.text("news", "after").await;
    assert_eq!(
        source.next().await.data,
        "after",
        "heartbeats are no events"
    );
}

#[tokio::test]
async fn a_heartbeat_may_be_an_event_that_leaves_the_place_as_it_is() {
    let (gateway, mut publisher) =
        site("heartbeat_event = \"ping\"\nheartbeat_data = \"1\\n2\"").await;
    let mut source = EventSource::open(&gateway.public, "/beating/").await;
    source.read_past("event: ping\ndata: 1\ndata: 2\n\n").await;
    let id = publisher.text("news", "x").await;
    let mut event = source.next().await;
    let mut beats = 0;
    while event.event == "ping" {
        assert_eq!(event.data, "1\n2");
        beats += 1;
        event = source.next().await;
    }
    assert!(beats >= 1 && event.data == "x");
    let beat = source.next().await;
    assert_eq!(
        (beat.event.as_str(), source.last_event_id()),
        ("ping", id.as_str())
    );
    assert!(!source.text.contains(":\n\n"), "{:?}", source.text);
}

#[tokio::test]
async fn each_event_comes_once_and_in_order_over_several_channels() {
    let (gateway, mut publisher) = site("").await;
    let mut both = EventSource::open(&gateway.public, "/both/").await;
    let mut one = EventSource::open(&gateway.public, "/events/").await;
    let mut random = fastrand::Rng::with_seed(3);
    let (mut all, mut news) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let channels =
            [&["news"][..], &["sport"], &["news", "sport"], &["other"]][random.usize(0..4)];
        let answer = publisher
            .publish(json!({"channels": channels, "data": number}))
            .await;
        let hears = [channels.contains(&"news"), channels.contains(&"sport")];
        assert_eq!(
            answer["streams"],
            u64::from(hears[0] || hears[1]) + u64::from(hears[0])
        );
        if hears[0] || hears[1] {
            all.push((
                number.to_string(),
                answer["id"].as_str().unwrap().to_owned(),
            ));
        }
        if hears[0] {
            news.push(number.to_string());
        }
    }
    for (data, id) in all {
        let event = both.next().await;
        assert_eq!((event.data, event.id), (data, id));
    }
    assert_eq!(one.data(news.len()).await, news);
}

#[tokio::test]
async fn a_stream_is_left_out_where_the_event_says_so() {
    let (gateway, mut publisher) = site("").await;
    let mut one = EventSource::open(&gateway.public, "/events/").await;
    let mut other = EventSource::open(&gateway.public, "/events/").await;
    publisher
        .publish(json!({"channel": "news", "data": "mine", "except": one.stream()}))
        .await;
    publisher.text("news", "all").await;
    assert_eq!(one.data(1).await, ["all"]);
    assert_eq!(other.data(2).await, ["mine", "all"]);
}

#[tokio::test]
async fn a_route_may_let_its_streams_lag_less_than_others() {
    let route = "[[route]]\npath = \"/near/\"\nsse = { channels = [\"news\"], public = true, client_buffer = \"64KiB\" }\n";
    let (gateway, mut publisher) = site(&format!(
        "history = {{ events = 1 }}\nclient_buffer = \"64MiB\"\n{route}"
    ))
    .await;
    let mut near = EventSource::open(&gateway.public, "/near/").await;
    let mut quick = EventSource::open(&gateway.public, "/events/").await;
    let big = "x".repeat(100_000);
    for number in 0..200 {
        publisher
            .publish(json!({"channel": "news", "data": format!("{number} {big}")}))
            .await;
        assert!(quick.next().await.data.starts_with(&format!("{number} ")));
    }
    assert!(publisher.metric("tidegate_history_memory_bytes").await > 1 << 20);
    let mut seen = 0;
    while near.try_next().await.is_some() {
        seen += 1;
    }
    assert!(
        seen < 200,
        "it is sent away, while the log has all of it: {seen}"
    );
}

#[tokio::test]
async fn a_listener_that_does_not_read_delays_nobody_and_costs_no_memory() {
    let (gateway, mut publisher) =
        site("history = { events = 16 }\nhistory_memory = \"1MiB\"\nclient_buffer = \"64KiB\"")
            .await;
    let mut stalled = EventSource::open(&gateway.public, "/events/").await;
    let mut skipping = EventSource::open(&gateway.public, "/skipping/").await;
    let mut quick = EventSource::open(&gateway.public, "/events/").await;
    let big = "x".repeat(100_000);
    for number in 0..200 {
        publisher
            .publish(json!({"channel": "news", "data": format!("{number} {big}")}))
            .await;
        assert!(quick.next().await.data.starts_with(&format!("{number} ")));
    }
    assert!(publisher.metric("tidegate_history_memory_bytes").await <= 1 << 20);
    // The stalled one has what went into its socket, without a gap; then it is sent away and comes back.
    let mut seen = 0;
    while let Some(event) = stalled.try_next().await {
        assert!(
            event.data.starts_with(&format!("{seen} ")),
            "in order, without a gap"
        );
        seen += 1;
    }
    assert!(seen < 200, "{seen}");
    let last = stalled.last_event_id().to_owned();
    let mut back = EventSource::resume(&gateway.public, "/events/", &last).await;
    is_reset(&mut back, "history").await;
    // The other one is told, and goes on.
    let mut seen = 0;
    loop {
        let event = skipping.next().await;
        if event.event == "reset" {
            break;
        }
        assert!(event.data.starts_with(&format!("{seen} ")));
        seen += 1;
    }
    publisher.text("news", "on").await;
    assert_eq!(
        skipping.next().await.data,
        "on",
        "one reset, then the newest"
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_at_once() {
    let (gateway, mut publisher) = site("heartbeat = \"60s\"").await;
    let mut sources = Vec::new();
    for address in [&gateway.public, &gateway.public_unix] {
        for _ in 0..5 {
            sources.push(EventSource::open(address, "/events/").await);
        }
    }
    assert_eq!(publisher.streams().await, 10);
    drop(sources.split_off(4));
    until("four are left", async || publisher.streams().await == 4).await;
    drop(sources);
    until("none is left", async || publisher.streams().await == 0).await;
    assert_eq!(
        publisher
            .publish(json!({"channel": "news", "data": ""}))
            .await["streams"],
        0
    );
    let left = publisher
        .metric("tidegate_streams_ended_total{reason=\"client\"}")
        .await;
    assert_eq!(left, 10);
}

#[tokio::test]
async fn an_event_reaches_a_thousand_streams_once_each() {
    let (gateway, mut publisher) = site("").await;
    let mut sources = Vec::with_capacity(1000);
    for _ in 0..1000 {
        sources.push(EventSource::open(&gateway.public, "/events/").await);
    }
    let answer = publisher
        .publish(json!({"channel": "news", "data": "one"}))
        .await;
    assert_eq!(answer["streams"], 1000);
    publisher.text("news", "two").await;
    for source in &mut sources {
        assert_eq!(source.data(2).await, ["one", "two"]);
    }
    assert_eq!(
        publisher.metric("tidegate_events_delivered_total").await,
        2000
    );
    assert_eq!(publisher.metric("tidegate_streams_open").await, 1000);
}

#[tokio::test]
async fn a_kick_frees_the_place_of_a_listener_that_does_not_read() {
    let (gateway, mut publisher) = site("history = { events = 16 }").await;
    if !gateway.has_fast_path {
        // The HTTP library asks a stream for nothing while its client takes nothing: `body_idle` ends that one.
        return;
    }
    let stalled = EventSource::open(&gateway.public, "/events/").await;
    let mut quick = EventSource::open(&gateway.public, "/rooms/other/").await;
    let big = "x".repeat(200_000);
    for _ in 0..100 {
        publisher.text("news", &big).await;
    }
    publisher.text("room-other", "on").await;
    assert_eq!(quick.next().await.data, "on");
    assert_eq!(publisher.streams().await, 2);
    assert_eq!(publisher.kick(json!({"stream": stalled.stream()})).await, 1);
    until("it is gone", async || publisher.streams().await == 1).await;
}

#[tokio::test]
async fn large_events_wait_in_the_log_and_not_with_their_reader() {
    let (gateway, mut publisher) = site("history = { events = 64 }").await;
    let first = publisher.text("news", "first").await;
    let big = "x".repeat(200_000);
    for _ in 0..40 {
        publisher.text("news", &big).await;
    }
    let mut back = EventSource::resume(&gateway.public, "/events/", &first).await;
    for _ in 0..40 {
        assert_eq!(back.next().await.data, big);
    }
    publisher.text("news", "on").await;
    assert_eq!(back.next().await.data, "on");
}

#[tokio::test]
async fn a_listener_that_takes_nothing_for_too_long_is_cut_off() {
    let (gateway, mut publisher) =
        site("history = { events = 16 }\n[limits]\nbody_idle = \"300ms\"").await;
    let stalled = EventSource::open(&gateway.public, "/events/").await;
    let mut quick = EventSource::open(&gateway.public, "/events/").await;
    let big = "x".repeat(200_000);
    for _ in 0..100 {
        publisher.text("news", &big).await;
        quick.next().await;
    }
    until("the stalled one is gone", async || {
        publisher.streams().await == 1
    })
    .await;
    publisher.text("news", "on").await;
    assert_eq!(quick.next().await.data, "on");
    drop(stalled);
}
