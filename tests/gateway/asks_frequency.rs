//! How often Django is asked: again for an open stream, so many at once, not while an answer is kept.

use serde_json::json;

use crate::support::asking::{answering, granted, site_with};
use crate::support::{Backend, Conn, EventSource, Gate, Gateway, Reply, gateway, get, until};

#[tokio::test]
async fn an_expired_permission_is_asked_for_again_without_closing() {
    let (gateway, mut publisher, backend) = answering(|_| granted("SSE-Expires: 1\r\n")).await;
    let mut source =
        EventSource::open_with(&gateway.public, "/events/?a=b", "Cookie: sessionid=1\r\n").await;
    let id = publisher.text("news", "one").await;
    assert_eq!(source.next().await.data, "one");
    let again = backend.request(1).await;
    assert_eq!(again.line(), "GET /events/?a=b");
    assert_eq!(again.header("cookie"), Some("sessionid=1"));
    assert_eq!(again.header("sse-stream"), Some(source.stream()));
    assert_eq!(
        (again.header("last-event-id"), again.header("sse-replay")),
        (Some(&*id), Some("full"))
    );
    publisher.text("news", "two").await;
    assert_eq!(source.next().await.data, "two");
    backend.request(2).await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_is_asked_for_in_time() {
    let backend = Backend::start(|_| granted("SSE-Expires: 1\r\n")).await;
    // Nothing else wakes it: each answer has to see to the next time itself.
    let sse = "ask = \"django\", heartbeat = \"10m\"";
    let (gateway, _) = site_with(sse, "", &backend).await;
    let _source = EventSource::open(&gateway.public, "/events/").await;
    backend.request(4).await;
}

#[tokio::test]
async fn a_permission_that_is_taken_back_ends_the_stream() {
    let (gateway, mut publisher, backend) = answering(|request| match request.number {
        0 => granted("SSE-Expires: 1\r\n"),
        _ => Reply::answer("403 Forbidden", "", ""),
    })
    .await;
    let source = EventSource::open(&gateway.public, "/events/").await;
    backend.request(1).await;
    source.ends().await;
    assert_eq!(
        publisher
            .publish(json!({"channel": "news", "data": ""}))
            .await["streams"],
        0
    );
}

#[tokio::test]
async fn while_django_is_away_an_expired_stream_delivers_nothing_and_then_everything() {
    for away in [
        Reply::answer("503 Service Unavailable", "", ""),
        Reply::default().reset(),
    ] {
        let reply = away.clone();
        let (gateway, mut publisher, backend) = answering(move |request| match request.number {
            0 => granted("SSE-Expires: 1\r\n"),
            _ => reply.clone(),
        })
        .await;
        let mut source = EventSource::open(&gateway.public, "/events/").await;
        publisher.text("news", "before").await;
        assert_eq!(source.next().await.data, "before");
        backend.request(1).await;
        for data in ["a", "b", "c"] {
            publisher.text("news", data).await;
        }
        let beats = source.text.matches(":\n\n").count();
        source.heartbeats(beats + 3).await;
        assert!(
            !source.text.contains("data: a"),
            "nothing without a permission: {}",
            source.text
        );
        backend.script(|_| granted(""));
        assert_eq!(
            source.data(3).await,
            ["a", "b", "c"],
            "exactly what was missed"
        );
        publisher.text("news", "d").await;
        assert_eq!(source.next().await.data, "d");
    }
}

#[tokio::test]
async fn a_new_permission_may_name_other_channels() {
    let (gateway, mut publisher, _backend) = answering(|request| match request.number {
        0 => Reply::answer(
            "200 OK",
            "SSE-Channel: old\r\nSSE-Channel: both\r\nSSE-Expires: 1\r\n",
            "",
        ),
        _ => Reply::answer("200 OK", "SSE-Channel: new\r\nSSE-Channel: both\r\n", ""),
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    publisher.text("new", "too early").await;
    publisher.text("old", "in time").await;
    assert_eq!(source.next().await.data, "in time");
    until("it is on the new channel", async || {
        let found = publisher.get("/v1/channels?match=new").await.json();
        found["channels"][0]["streams"] == 1
    })
    .await;
    publisher.text("old", "too late").await;
    publisher.text("both", "both").await;
    publisher.text("new", "new").await;
    assert_eq!(source.data(2).await, ["both", "new"]);
}

#[tokio::test]
async fn asks_have_a_budget_and_those_beyond_wait_with_their_200() {
    let gate = Gate::new();
    let slow = granted("").after(&gate);
    let backend = Backend::start(move |request| match request.target() {
        "/page" => Reply::ok("page"),
        _ => slow.clone(),
    })
    .await;
    let (gateway, mut publisher) = site_with(
        "ask = { to = \"django\", at_once = 2 }, heartbeat = \"50ms\"",
        "",
        &backend,
    )
    .await;
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = gateway.public.clone();
        opening.spawn(async move { EventSource::open(&address, "/events/").await });
    }
    backend
        .until("two asks at once", |log| log.at_once == 2)
        .await;
    assert_eq!(
        get(&gateway.public, "/page").await.text(),
        "page",
        "page loads have workers of their own"
    );
    let mut sources = Vec::new();
    for _ in 0..18 {
        let mut source = opening.join_next().await.unwrap().unwrap();
        source.heartbeats(1).await;
        sources.push(source);
    }
    publisher.text("news", "meanwhile").await;
    assert_eq!(backend.count(), 3, "two asks and a page");
    gate.open();
    while let Some(source) = opening.join_next().await {
        sources.push(source.unwrap());
    }
    for source in &mut sources {
        assert_eq!(source.next().await.data, "meanwhile");
    }
    assert_eq!(backend.count(), 21);
    assert!(
        backend.seen(|log| log.most_at_once) <= 3,
        "two asks and the page"
    );
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_asked_for_gives_its_turn_back() {
    let backend = Backend::start(|request| match request.target() {
        "/events/first" => Reply::hang(),
        _ => granted(""),
    })
    .await;
    let (gateway, _) = site_with("ask = { to = \"django\", at_once = 1 }", "", &backend).await;
    let mut first = Conn::open(&gateway.public).await;
    first
        .send("GET /events/first HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    backend.request(0).await;
    drop(first);
    backend
        .until("the ask is given up", |log| log.connections[0].closed)
        .await;
    EventSource::open(&gateway.public, "/events/second").await;
}

#[tokio::test]
async fn a_cached_answer_serves_equal_credentials_and_nobody_else() {
    let backend = Backend::start(|request| {
        let user = request
            .header("cookie")
            .unwrap_or("nobody")
            .replace('=', "-");
        Reply::channel(&user)
    })
    .await;
    let (gateway, mut publisher) =
        site_with("ask = { to = \"django\", cache = \"60s\" }", "", &backend).await;
    for (target, lines, asks) in [
        ("/events/", "Cookie: u=1\r\n", 1),
        ("/events/", "Cookie: u=1\r\n", 1),
        ("/events/", "Cookie: u=2\r\n", 2),
        ("/events/", "", 3),
        ("/events/", "Cookie: u=1\r\nAuthorization: x\r\n", 4),
        ("/events/?a", "Cookie: u=1\r\n", 5),
        ("/events/", "Cookie: u=2\r\n", 5),
        ("/events/", "X-Api-Key: x\r\n", 6),
        ("/events/", "X-Auth-Token: x\r\n", 7),
        ("/events/", "X-Auth-Token: y\r\n", 8),
    ] {
        let mut source = EventSource::open_with(&gateway.public, target, lines).await;
        assert_eq!(backend.count(), asks, "{target} {lines}");
        let user = if lines.contains("u=1") {
            "u-1"
        } else if lines.contains("u=2") {
            "u-2"
        } else {
            "nobody"
        };
        publisher.text(user, "for you").await;
        assert_eq!(source.next().await.data, "for you", "{lines}");
    }
    backend.script(|_| Reply::answer("403 Forbidden", "", ""));
    assert_eq!(get(&gateway.public, "/events/new").await.status, 403);
    assert_eq!(get(&gateway.public, "/events/new").await.status, 403);
    assert_eq!(backend.count(), 10, "a refusal is never kept");
}

#[tokio::test]
async fn a_cached_answer_is_for_the_host_that_a_trusted_proxy_names() {
    let backend = Backend::start(|request| {
        let tenant = request.header("x-forwarded-host").unwrap();
        Reply::channel(tenant)
    })
    .await;
    let gateway = Gateway::start(&format!(
        "[trust]\nproxies = [\"127.0.0.1\"]\n{}[[route]]\npath = \"/events/\"\n\
         sse = {{ ask = {{ to = \"django\", cache = \"60s\" }} }}\n",
        gateway::upstream(&backend.address, ""),
    ))
    .await;
    let mut publisher = gateway.publisher().await;
    for (tenant, asks) in [("a.test", 1), ("b.test", 2), ("a.test", 2)] {
        let lines = format!("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: {tenant}\r\n");
        let mut source = EventSource::open_with(&gateway.public, "/events/", &lines).await;
        assert_eq!(backend.count(), asks, "{tenant}");
        publisher.text(tenant, "for you").await;
        assert_eq!(source.next().await.data, "for you");
    }
}

#[tokio::test]
async fn an_open_stream_is_asked_for_again_where_the_file_says_so() {
    let backend = Backend::start(|request| match request.number {
        0 | 1 => granted(""),
        _ => Reply::answer("403 Forbidden", "", ""),
    })
    .await;
    let (gateway, _) = site_with("ask = \"django\", recheck = \"200ms\"", "", &backend).await;
    EventSource::open(&gateway.public, "/events/")
        .await
        .ends()
        .await;
    assert_eq!(backend.count(), 3);
}
