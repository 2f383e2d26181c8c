//! Recordings through a reload, over several servers, over HTTP/2, and when the first of those who wait leaves.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};

use crate::support::http2::Http2;
use crate::support::recording::{ALICE, events, open, over, recording, recording_with, says};
use crate::support::streaming::texts;
use crate::support::{Backend, Conn, EventSource, Gate, Gateway, gateway, until, within};

/// Everything is recorded, from the upstream of this name.
fn file(upstreams: &[(&str, &str)], to: &str, keys: &str) -> String {
    let upstream = |(name, server): &(&str, &str)| {
        format!("[upstream.{name}]\nservers = [\"{server}\"]\nretry_for = \"50ms\"\n")
    };
    let upstreams: String = upstreams.iter().map(upstream).collect();
    format!(
        "{upstreams}[[route]]\npath = \"/<path:rest>\"\nproxy = {{ to = \"{to}\", record = {{ {keys} }} }}\n"
    )
}

#[tokio::test]
async fn a_recording_goes_on_through_a_reload_and_asks_who_is_there_now() {
    let gate = Gate::new();
    let view = gate.clone();
    let old = Backend::start(move |_| says(&events(1..=3, true)).wait(&view).reset()).await;
    let new = Backend::start(|_| over(says(&events(4..=6, true)))).await;
    let gateway = Gateway::start(&file(&[("django", &old.address)], "django", "")).await;
    let mut first = open(&gateway, ALICE).await;
    assert_eq!(first.data(3).await, texts(1..=3));
    let reloaded = gateway
        .reload(&file(
            &[("django", &new.address)],
            "django",
            "linger = \"1h\"",
        ))
        .await;
    reloaded.unwrap();
    let mut second = open(&gateway, ALICE).await;
    assert_eq!(second.data(3).await, texts(1..=3));
    gate.open();
    for source in [first, second] {
        let (rest, text, whole) = source.rest().await;
        let data: Vec<_> = rest.iter().map(|event| event.data.as_str()).collect();
        assert!(data == ["4", "5", "6"] && whole, "{text}");
    }
    assert_eq!((old.count(), new.count()), (1, 1));
    assert_eq!(new.request(0).await.header("last-event-id"), Some("v3"));
}

#[tokio::test]
async fn who_comes_after_a_route_leads_elsewhere_sees_what_is_there() {
    for keys in ["", "per = \"all\""] {
        let old = Backend::start(|_| says("data: old\n\n").then_hang()).await;
        let new = Backend::start(|_| says("data: new\n\n").then_hang()).await;
        let both = [("django", &*old.address), ("channels", &*new.address)];
        let gateway = Gateway::start(&file(&both, "django", keys)).await;
        let mut before = open(&gateway, ALICE).await;
        assert_eq!(before.next().await.data, "old");
        gateway
            .reload(&file(&both, "channels", keys))
            .await
            .unwrap();
        let mut after = open(&gateway, ALICE).await;
        assert_eq!(after.next().await.data, "new", "{keys}");
    }
}

#[tokio::test]
async fn when_the_first_who_waits_leaves_another_one_asks_for_all() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, backend) =
        recording("", move |_| says("data: 1\n\n").then_hang().after(&view)).await;
    let wants = "GET /answer/ HTTP/1.1\r\nHost: site.test\r\nAccept: text/event-stream\r\n\r\n";
    let mut first = Conn::open(&gateway.public).await;
    first.send(wants).await;
    backend.request(0).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(wants).await;
        others.push(conn);
    }
    until("all are there", async || {
        publisher.metric("tidegate_connections_open").await >= 22
    })
    .await;
    drop(first);
    backend.request(1).await;
    gate.open();
    for mut conn in others {
        assert_eq!(within("a head", conn.head()).await.status, 200);
    }
    assert_eq!(backend.count(), 2);
}

#[tokio::test]
async fn a_server_that_is_killed_is_replaced_by_another_one() {
    let mut one = Backend::start(|_| says(&events(1..=3, true)).then_hang()).await;
    let two = Backend::start(|request| match request.header("last-event-id") {
        Some("v3") => says(&events(4..=6, true)).then_hang(),
        _ => says(&events(1..=3, true)).then_hang(),
    })
    .await;
    let both = gateway::servers([&one.address, &two.address]);
    let gateway = Gateway::start(&file(&[("django", &both)], "django", "")).await;
    let mut sources = Vec::new();
    while one.count() == 0 {
        let lines = format!("Cookie: a={}\r\n", sources.len());
        sources.push(open(&gateway, &lines).await);
    }
    let mut source = sources.pop().unwrap();
    source.data(3).await;
    one.down().await;
    assert_eq!(source.data(3).await, texts(4..=6));
}

#[tokio::test]
async fn viewers_over_http2_see_no_more_of_a_kill_than_others() {
    let mut backend = Backend::start(|_| says(&events(1..=3, true)).then_hang()).await;
    let (gateway, _) = recording_with("", "", &backend).await;
    let mut client = Http2::open(&gateway.public).await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let request = Request::get("http://site.test/answer/").header("cookie", "sessionid=alice");
        let request = request.header("accept", "text/event-stream");
        let answer = client
            .begin(request.body(Full::<Bytes>::default()).unwrap())
            .await;
        bodies.push(answer.unwrap().into_body());
    }
    backend.down().await;
    backend.script(|_| over(says(&events(4..=6, true))));
    backend.up();
    for body in bodies {
        let all = within("the end", body.collect()).await.unwrap().to_bytes();
        let text = String::from_utf8(all.to_vec()).unwrap();
        for number in 1..=6 {
            assert_eq!(
                text.matches(&format!("data: {number}\n")).count(),
                1,
                "{text}"
            );
        }
    }
    assert_eq!(backend.count(), 2);
}

#[tokio::test]
async fn a_late_viewer_of_a_long_recording_is_not_slow() {
    let event = |n| format!("data: {n} {}\n\n", "x".repeat(500));
    let text = (1..=4000).map(event).collect::<Vec<_>>().concat();
    let (gateway, _, backend) = recording("", move |_| over(says(&text))).await;
    for _ in 0..2 {
        let (rest, _, whole) = EventSource::open(&gateway.public, "/answer/")
            .await
            .rest()
            .await;
        assert!(rest.len() == 4000 && whole);
    }
    assert_eq!(backend.count(), 1);
}
