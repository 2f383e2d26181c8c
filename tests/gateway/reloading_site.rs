//! A reload of a right file: whoever comes finds the new, whatever is open goes on.

use std::time::Duration;

use serde_json::json;

use crate::support::asking::granted;
use crate::support::grip::{item, poll, stream};
use crate::support::{Backend, Conn, EventSource, Gate, Gateway, Reply, gateway, get, until};

const RETIRED: &str = "tidegate_upstreams_retired";

/// How many requests of `count` come through, one after the other.
async fn answered(gateway: &Gateway, count: usize) -> usize {
    let mut good = 0;
    for _ in 0..count {
        good += usize::from(get(&gateway.public, "/").await.status == 200);
    }
    good
}

fn public(path: &str, keys: &str) -> String {
    format!(
        "[[route]]\npath = \"{path}\"\nsse = {{ channels = [\"news\"], public = true{keys} }}\n"
    )
}

fn asked(server: &str, keys: &str) -> String {
    let upstream = gateway::upstream(server, "retry_for = \"50ms\"");
    let route = "path = \"/events/<path:rest>\"\nsse = { heartbeat = \"50ms\", ask";
    format!("{upstream}[[route]]\n{route} = {{ to = \"django\"{keys} }} }}\n")
}

#[tokio::test]
async fn a_route_is_another_at_once_and_its_open_streams_go_on() {
    let gateway = Gateway::start(&public("/old/", "")).await;
    let mut publisher = gateway.publisher().await;
    let mut before = EventSource::open(&gateway.public, "/old/").await;
    let reloaded = gateway.reload(&public("/new/", "")).await.unwrap();
    assert_eq!(
        (&*reloaded.changed, reloaded.restart.len()),
        (&["route".to_owned()][..], 0)
    );
    assert_eq!(get(&gateway.public, "/old/").await.status, 404);
    let mut after = EventSource::open(&gateway.public, "/new/").await;
    publisher.text("news", "to both").await;
    assert_eq!(before.next().await.data, "to both");
    assert_eq!(after.next().await.data, "to both");
}

#[tokio::test]
async fn a_request_that_runs_is_answered_by_the_upstream_it_went_to() {
    let gate = Gate::new();
    let slow = Reply::ok("old").after(&gate);
    let (old, new) = (
        Backend::start(move |_| slow.clone()).await,
        Backend::start(|_| Reply::ok("new")).await,
    );
    let gateway = Gateway::before(&old.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    old.request(0).await;
    let file = gateway::everything_to(&new.address, "");
    let reloaded = gateway.reload(&file).await.unwrap();
    assert_eq!(reloaded.changed, ["upstream.django"]);
    assert_eq!(get(&gateway.public, "/").await.text(), "new");
    gate.open();
    assert_eq!(conn.answer().await.text(), "old");
    old.until("nothing of it stays idle", |log| log.connections[0].closed)
        .await;
}

#[tokio::test]
async fn an_idle_connection_to_an_upstream_that_has_changed_is_closed_at_once() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "idle_reuse = \"1h\"").await;
    assert_eq!(answered(&gateway, 2).await, 2);
    assert_eq!(backend.seen(|log| log.connections.len()), 1);
    let file = gateway::everything_to(&backend.address, "idle_reuse = \"2h\"");
    gateway.reload(&file).await.unwrap();
    backend
        .until("the end of the idle one", |log| log.connections[0].closed)
        .await;
    assert_eq!(answered(&gateway, 1).await, 1);
}

#[tokio::test]
async fn an_upstream_that_is_as_it_was_keeps_its_connections() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let file = gateway::everything_to(&backend.address, "idle_reuse = \"1h\"");
    let gateway = Gateway::start(&file).await;
    assert_eq!(answered(&gateway, 1).await, 1);
    gateway
        .reload(&format!("{}{file}", public("/events/", "")))
        .await
        .unwrap();
    assert_eq!(answered(&gateway, 1).await, 1);
    assert_eq!(backend.seen(|log| log.connections.len()), 1);
}

#[tokio::test]
async fn a_stream_that_asks_again_asks_the_upstream_that_is_there_now() {
    let (old, new) = (
        Backend::start(|_| granted("SSE-Expires: 1\r\n")).await,
        Backend::start(|_| granted("SSE-Expires: 1\r\n")).await,
    );
    let gateway = Gateway::start(&asked(&old.address, "")).await;
    let mut publisher = gateway.publisher().await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    gateway.reload(&asked(&new.address, "")).await.unwrap();
    assert_eq!(
        new.request(1).await.header("sse-stream"),
        Some(source.stream())
    );
    // The successor has one too.
    gateway
        .reload(&asked(&old.address, ", cache = \"1s\""))
        .await
        .unwrap();
    old.request(2).await;
    publisher.text("news", "still there").await;
    assert_eq!(source.next().await.data, "still there");
}

#[tokio::test]
async fn a_stream_whose_upstream_is_in_the_file_no_more_asks_it_all_the_same() {
    let backend = Backend::start(|_| granted("SSE-Expires: 1\r\n")).await;
    let gateway = Gateway::start(&asked(&backend.address, "")).await;
    let mut publisher = gateway.publisher().await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let reloaded = gateway.reload(&public("/else/", "")).await.unwrap();
    assert_eq!(reloaded.changed, ["upstream.django", "route"]);
    backend.request(2).await;
    publisher.text("news", "still there").await;
    assert_eq!(source.next().await.data, "still there");
    assert_eq!(get(&gateway.public, "/events/").await.status, 404);
}

#[tokio::test]
async fn a_held_answer_follows_its_links_to_the_upstream_that_is_there_now() {
    let grip = "grip = { link_every = \"1s\" }";
    let link = "Grip-Link: </next>; rel=next\r\n";
    let (old, new) = (
        Backend::start(move |_| stream("c", link, "data: 1\n\n")).await,
        Backend::start(move |_| stream("c", link, "data: 2\n\n")).await,
    );
    let gateway = Gateway::before(&old.address, grip).await;
    let mut publisher = gateway.publisher().await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.next().await.data, "1");
    gateway
        .reload(&gateway::everything_to(&new.address, grip))
        .await
        .unwrap();
    assert_eq!(source.next().await.data, "2");
    publisher.items(&[item("c", "data: item\n\n")]).await;
    source.read_past("data: item\n\n").await;
    assert_eq!(new.request(0).await.target(), "/next");
}

#[tokio::test]
async fn asks_to_one_upstream_keep_their_budget_which_can_be_another() {
    let gate = Gate::new();
    let slow = granted("").after(&gate);
    let backend = Backend::start(move |_| slow.clone()).await;
    let gateway = Gateway::start(&asked(&backend.address, ", at_once = 1")).await;
    let mut opening = tokio::task::JoinSet::new();
    let open = |opening: &mut tokio::task::JoinSet<EventSource>| {
        let address = gateway.public.clone();
        opening.spawn(async move { EventSource::open(&address, "/events/").await });
    };
    open(&mut opening);
    backend.until("the first ask", |log| log.at_once == 1).await;
    gateway
        .reload(&asked(&backend.address, ", at_once = 1, cache = \"1s\""))
        .await
        .unwrap();
    (0..3).for_each(|_| open(&mut opening));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        // They have their 200 and wait; the first will have it with its answer.
        let mut source = opening.join_next().await.unwrap().unwrap();
        source.heartbeats(1).await;
        waiting.push(source);
    }
    assert_eq!(
        backend.count(),
        1,
        "what runs counts against the same budget"
    );
    gateway
        .reload(&asked(&backend.address, ", at_once = 3, cache = \"1s\""))
        .await
        .unwrap();
    backend
        .until("three asks at once", |log| log.at_once == 3)
        .await;
    gate.open();
    backend
        .until("all asks", |log| log.requests.len() == 4)
        .await;
    assert_eq!(backend.seen(|log| log.most_at_once), 3);
}

#[tokio::test]
async fn a_rate_that_stays_has_not_forgotten_and_another_begins_anew() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let limited = |rate: &str, more: &str| {
        let file = gateway::everything_to(&backend.address, "");
        format!("[limits]\nrate = \"{rate}\"\nburst = 2\n{more}\n{file}")
    };
    let gateway = Gateway::start(&limited("2/h", "")).await;
    assert_eq!(answered(&gateway, 3).await, 2);
    let reloaded = gateway
        .reload(&limited("2/h", "body = \"1MiB\""))
        .await
        .unwrap();
    assert_eq!(reloaded.changed, ["limits.body", "route"]);
    assert_eq!(answered(&gateway, 1).await, 0);
    let reloaded = gateway
        .reload(&limited("3/h", "body = \"1MiB\""))
        .await
        .unwrap();
    assert_eq!(reloaded.changed, ["limits.rate"]);
    assert_eq!(answered(&gateway, 3).await, 2);
}

#[tokio::test]
async fn tokens_and_what_they_may_publish_are_others_at_once() {
    let publishing = |tokens: &str| format!("[publish]\n{tokens}\n{}", public("/events/", ""));
    let file = publishing("tokens = [{ name = \"a\", secret = \"one\" }]");
    let gateway = Gateway::start(&file).await;
    let mut publisher = gateway.publisher().await;
    let event = json!({"channel": "news", "data": "0123456789"}).to_string();
    let mut status = async |secret: &str| {
        let lines = format!("Content-Type: application/json\r\nAuthorization: Bearer {secret}\r\n");
        let answer = publisher
            .request("POST", "/v1/events", &lines, event.as_bytes())
            .await;
        answer.status
    };
    assert_eq!((status("one").await, status("two").await), (200, 401));
    let tokens = "tokens = [{ name = \"b\", secret = \"two\", rate = \"1/h\" }]";
    let reloaded = gateway.reload(&publishing(tokens)).await.unwrap();
    assert_eq!(reloaded.changed, ["publish.tokens"]);
    assert_eq!((status("one").await, status("two").await), (401, 200));
    let reloaded = gateway
        .reload(&publishing(&format!("max_event = \"5B\"\n{tokens}")))
        .await
        .unwrap();
    assert_eq!(reloaded.changed, ["publish.max_event"]);
    assert_eq!(status("two").await, 413);
    gateway.reload(&publishing(tokens)).await.unwrap();
    assert_eq!(status("two").await, 429, "its rate was used up before");
}

#[tokio::test]
async fn limits_of_connections_hold_for_those_that_come_after() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let file = gateway::everything_to(&backend.address, "");
    let gateway = Gateway::start(&file).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let mut before = Conn::open(&gateway.public).await;
    assert_eq!(before.ask(&request).await.status, 200);
    let limits = "[limits]\nheader = \"4KiB\"\nkeepalive = \"100ms\"\n";
    let reloaded = gateway.reload(&format!("{limits}{file}")).await.unwrap();
    assert_eq!(reloaded.changed, ["limits.header", "limits.keepalive"]);
    let mut after = Conn::open(&gateway.public).await;
    assert_eq!(after.ask(&request).await.status, 431);
    let mut idle = Conn::open(&gateway.public).await;
    idle.ending().await;
    assert_eq!(before.ask(&request).await.status, 200);
}

#[tokio::test]
async fn channels_keep_what_the_file_says_now() {
    let keeping = |events: u32| {
        format!(
            "[sse]\nhistory = {{ events = {events} }}\n{}",
            public("/events/", "")
        )
    };
    let gateway = Gateway::start(&keeping(10)).await;
    let mut publisher = gateway.publisher().await;
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(publisher.text("news", &number.to_string()).await);
    }
    let reloaded = gateway.reload(&keeping(2)).await.unwrap();
    assert_eq!(reloaded.changed, ["route", "sse.history"]);
    publisher.text("news", "8").await;
    let mut source = EventSource::resume(&gateway.public, "/events/", &ids[6]).await;
    assert_eq!(source.data(2).await, ["7", "8"]);
    let mut source = EventSource::resume(&gateway.public, "/events/", &ids[4]).await;
    assert_eq!(source.next().await.event, "reset");
}

#[tokio::test]
async fn new_streams_go_by_the_new_defaults() {
    let gateway = Gateway::start(&public("/events/", "")).await;
    let file = format!(
        "[sse]\nheartbeat = \"20ms\"\nper_ip = 2\n{}",
        public("/events/", "")
    );
    let mut before = EventSource::open(&gateway.public, "/events/").await;
    let reloaded = gateway.reload(&file).await.unwrap();
    assert_eq!(reloaded.changed, ["route", "sse"]);
    let mut after = EventSource::open(&gateway.public, "/events/").await;
    after.heartbeats(3).await;
    let refused = EventSource::try_open(&gateway.public, "/events/", "").await;
    assert_eq!(
        refused.err().map(|answer| answer.status),
        Some(429),
        "the open ones count"
    );
    gateway.publisher().await.text("news", "x").await;
    assert_eq!(before.next().await.data, "x");
    assert!(
        !before.text.contains(":\n\n"),
        "it goes on as it began: {}",
        before.text
    );
}

#[tokio::test]
async fn what_a_reload_leaves_behind_is_gone_when_nobody_has_it() {
    // Who would never ask again has no upstream.
    let backend = Backend::start(|_| granted("SSE-Expires: 600\r\n")).await;
    let gateway = Gateway::start(&asked(&backend.address, "")).await;
    let mut publisher = gateway.publisher().await;
    let source = EventSource::open(&gateway.public, "/events/").await;
    for number in 1..=20 {
        let file = asked(&backend.address, &format!(", cache = \"{number}s\""));
        gateway.reload(&file).await.unwrap();
        let file = file.replace("50ms\"\n[[", &format!("{number}s\"\n[["));
        gateway.reload(&file).await.unwrap();
    }
    assert_eq!(
        publisher.metric(RETIRED).await,
        1,
        "what the open stream has"
    );
    drop(source);
    until("nothing of it", async || {
        gateway.reload(&public("/a/", "")).await.unwrap();
        gateway.reload(&public("/b/", "")).await.unwrap();
        publisher.metric(RETIRED).await == 0
    })
    .await;
    assert!(gateway.stop().await < Duration::from_secs(5));
}

#[tokio::test]
async fn an_upload_that_is_whole_after_it_goes_to_the_upstream_that_is_there_then() {
    let (old, new) = (
        Backend::start(|_| Reply::ok("old")).await,
        Backend::start(|_| Reply::ok("new")).await,
    );
    let gateway = Gateway::before(&old.address, "").await;
    let mut publisher = gateway.publisher().await;
    let mut conn = Conn::open(&gateway.public).await;
    let most = "x".repeat(29_999);
    conn.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n{most}"
    ))
    .await;
    until("most of the body is there", async || {
        publisher.metric("tidegate_buffers_memory_bytes").await >= 29_999
    })
    .await;
    let file = gateway::everything_to(&new.address, "");
    gateway.reload(&file).await.unwrap();
    conn.send("x").await;
    assert_eq!(conn.answer().await.text(), "new");
    assert_eq!(old.count(), 0);
}

#[tokio::test]
async fn a_poll_that_is_asked_again_asks_the_upstream_that_is_there_now() {
    let (old, new) = (
        Backend::start(|_| poll("c; prev-id=1", "", "nothing")).await,
        Backend::start(|_| Reply::ok("new")).await,
    );
    let gateway = Gateway::before(&old.address, "grip = true").await;
    let mut publisher = gateway.publisher().await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it waits", async || publisher.streams().await == 1).await;
    let file = gateway::everything_to(&new.address, "grip = true");
    gateway.reload(&file).await.unwrap();
    publisher
        .items(&[json!({"channel": "c", "http-response": {"body": "stray"}})])
        .await;
    assert_eq!(conn.answer().await.text(), "new");
    assert_eq!(old.count(), 1);
}
