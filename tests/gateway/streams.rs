//! Held streams: how they begin, what they promise, how they resume and end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Backend, Conn, EventSource, Gateway, Publisher, Reply, gateway, get, until};

const ROUTES: &str = "\
    [[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n\
    [[route]]\npath = \"/both/\"\nsse = { channels = [\"news\", \"sport\"], public = true }\n\
    [[route]]\npath = \"/beating/\"\nsse = { channels = [\"news\"], public = true, heartbeat = \"30ms\" }\n\
    [[route]]\npath = \"/skipping/\"\nsse = { channels = [\"news\"], public = true, slow_client = \"skip\" }\n\
    [[route]]\npath = \"/named/\"\nsse = { channels = [\"news\"], public = true, open_event = \"open\" }\n\
    [[route]]\npath = \"/rooms/<str:room>/\"\nsse = { channels = [\"room-{room}\"], public = true }\n\
    [[route]]\npath = \"/paths/<path:room>\"\nsse = { channels = [\"room-{room}\"], public = true }\n";

async fn site(sse: &str) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!(
        "[sse]\nper_ip = 0\nretry = \"3s\"\n{sse}\n{ROUTES}"
    ))
    .await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

/// Publishes `news` with the data `from` to `to`; their ids.
async fn numbers(publisher: &mut Publisher, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(publisher.text("news", &number.to_string()).await);
    }
    ids
}

fn texts(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_stream_begins_at_once_with_retry_a_comment_and_its_place() {
    let (gateway, mut publisher) = site("").await;
    let here = publisher.get("/v1/stats").await.json()["last_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    source.read_past("\n\n").await;
    assert_eq!(
        source.text,
        format!("retry: 3000\n: stream open\nid: {here}\n\n")
    );
    assert_eq!(source.last_event_id(), here);
    assert_eq!(
        source.head.header("cache-control"),
        Some("no-cache, no-transform")
    );
    assert_eq!(source.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(source.head.header("content-length"), None);
    assert_eq!(source.stream().len(), 32);
    let other = EventSource::open(&gateway.public, "/events/").await;
    assert_ne!(source.stream(), other.stream());
    let mut named = EventSource::open(&gateway.public, "/named/").await;
    let open = named.next().await;
    assert_eq!(open.event, "open");
    assert_eq!(open.data, format!("{{\"stream\":\"{}\"}}", named.stream()));
}

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
async fn head_gets_the_head_only_and_opens_nothing() {
    let (gateway, mut publisher) = site("").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("HEAD /events/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = conn.answer_to("HEAD").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert_eq!(
        conn.ask("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .status,
        404
    );
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn only_get_and_head_open_a_public_stream() {
    let (gateway, _) = site("").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask("POST /events/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, HEAD"))
    );
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

async fn is_reset(source: &mut EventSource, reason: &str) {
    let reset = source.next().await;
    assert_eq!(reset.event, "reset", "{:?}", source.text);
    let data: Value = serde_json::from_str(&reset.data).unwrap();
    assert_eq!(data["reason"], reason);
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
    crate::support::pass(Duration::from_millis(1050)).await;
    let mut source = EventSource::resume(&gateway.public, "/events/", &end).await;
    publisher.text("news", "on").await;
    assert_eq!(source.next().await.data, "on");
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
async fn a_path_that_hides_a_separator_or_names_no_channel_opens_nothing() {
    let (gateway, mut publisher) = site("").await;
    for target in ["/paths/a%2fb", "/paths/a%2Fb"] {
        assert_eq!(get(&gateway.public, target).await.status, 400, "{target}");
    }
    for target in ["/paths/a%5cb", "/paths/a\\b", "/paths/a%252fb"] {
        assert!(
            matches!(get(&gateway.public, target).await.status, 400 | 404),
            "{target}"
        );
    }
    // `<str:room>` takes no slash, however it is written.
    for target in ["/rooms/a%2fb/", "/rooms/a%5cb/"] {
        assert!(
            matches!(get(&gateway.public, target).await.status, 400 | 404),
            "{target}"
        );
    }
    for target in [
        "/rooms/a,b/",
        "/rooms/a%20b/",
        "/rooms/%C3%A4/",
        "/rooms/a*/",
        "/rooms/a%3Fb/",
    ] {
        assert_eq!(get(&gateway.public, target).await.status, 404, "{target}");
    }
    let long = "r".repeat(300);
    assert_eq!(
        get(&gateway.public, &format!("/rooms/{long}/"))
            .await
            .status,
        404
    );
    assert_eq!(publisher.streams().await, 0);
    let mut room = EventSource::open(&gateway.public, "/rooms/a-1:x@y/").await;
    assert_eq!(
        publisher
            .publish(json!({"channel": "room-a-1:x@y", "data": "in"}))
            .await["streams"],
        1
    );
    assert_eq!(room.next().await.data, "in");
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_no_more() {
    let gateway = Gateway::start(&format!("[sse]\nper_ip = 2\n{ROUTES}")).await;
    let mut publisher = gateway.publisher().await;
    let first = EventSource::open(&gateway.public, "/events/").await;
    let _second = EventSource::open(&gateway.public, "/both/").await;
    let refused = get(&gateway.public, "/events/").await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    drop(first);
    until("one place is free", async || publisher.streams().await == 1).await;
    EventSource::open(&gateway.public, "/events/").await;
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
async fn streams_over_http_2_share_one_connection() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let text = format!(
        "[sse]\nper_ip = 0\n{}{ROUTES}",
        gateway::upstream(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    let address = gateway.public.clone();
    let mut streams = tokio::task::JoinSet::new();
    let http2 = std::sync::Arc::new(tokio::sync::Mutex::new(
        crate::support::http2::Http2::open(&address).await,
    ));
    // One after the other over the same connection: each ends by the close of its channel.
    streams.spawn(async move {
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let request = http::Request::get("http://site.test/events/")
                .body(http_body_util::Full::default())
                .unwrap();
            bodies.push(http2.lock().await.send(request).await.unwrap());
        }
        bodies
    });
    for _ in 0..2 {
        until("a stream", async || publisher.streams().await == 1).await;
        publisher
            .publish(json!({"channel": "news", "data": "bye", "close": true}))
            .await;
        until("no stream", async || {
            publisher
                .metric("tidegate_streams_ended_total{reason=\"closed\"}")
                .await
                >= 1
        })
        .await;
    }
    for answer in streams.join_next().await.unwrap().unwrap() {
        assert!(
            answer.whole
                && String::from_utf8(answer.body)
                    .unwrap()
                    .contains("data: bye\n\n")
        );
        assert!(!answer.head.headers.contains_key("transfer-encoding"));
    }
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
