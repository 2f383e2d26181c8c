//! Who may listen is Django's to say: what it is asked, and what becomes of each of its answers.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Backend, Conn, EventSource, Gate, Gateway, Publisher, Reply, Request, gateway, get, until,
};

/// A route that asks, with more keys of `sse`, before a route that proxies.
async fn site_with(sse: &str, keys: &str, backend: &Backend) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!(
        "[sse]\nper_ip = 0\nretry = \"3s\"\n{}[[route]]\npath = \"/events/<path:rest>\"\nsse = {{ {sse} }}\n{}",
        gateway::upstream(&backend.address, keys),
        gateway::PROXY,
    ))
    .await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

async fn site(backend: &Backend) -> (Gateway, Publisher) {
    site_with("ask = \"django\", heartbeat = \"50ms\"", "", backend).await
}

async fn answering(
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Gateway, Publisher, Backend) {
    let backend = Backend::start(script).await;
    let (gateway, publisher) = site(&backend).await;
    (gateway, publisher, backend)
}

/// An answer that names the channel, with more header lines.
fn granted(lines: &str) -> Reply {
    Reply::answer("200 OK", &format!("SSE-Channel: news\r\n{lines}"), "")
}

#[tokio::test]
async fn an_ask_is_the_clients_own_request_in_the_gateways_words() {
    let (gateway, _, backend) = answering(|_| granted("SSE-User: 42\r\n")).await;
    let lines = "Cookie: sessionid=1\r\nAuthorization: Bearer x\r\nAccept-Encoding: gzip, br\r\nRange: bytes=0-\r\n\
                 If-None-Match: \"x\"\r\nIf-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\nSSE-Ask: 0\r\n\
                 SSE-Stream: forged\r\nSSE-Replay: full\r\nSSE-Channel: admin\r\nSCRIPT_NAME: /x\r\nX-Forwarded-For: 6.6.6.6\r\n";
    let source = EventSource::open_with(&gateway.public, "/events/a/?b=c&d=%2F", lines).await;
    let ask = backend.request(0).await;
    assert_eq!(ask.line(), "GET /events/a/?b=c&d=%2F");
    assert_eq!(ask.header("cookie"), Some("sessionid=1"));
    assert_eq!(ask.header("authorization"), Some("Bearer x"));
    assert_eq!(ask.header("host"), Some("site.test"));
    assert_eq!(ask.header("accept"), Some("text/event-stream, */*;q=0.1"));
    assert_eq!(ask.header("sse-ask"), Some("1"));
    assert_eq!(
        ask.header("sse-stream"),
        Some(source.stream()),
        "the id that the client gets too"
    );
    assert_eq!(ask.header("x-forwarded-for"), Some("127.0.0.1"));
    for name in [
        "accept-encoding",
        "range",
        "if-none-match",
        "if-modified-since",
        "last-event-id",
        "sse-replay",
        "sse-channel",
        "script_name",
    ] {
        assert_eq!(ask.header(name), None, "{name}");
    }
    for name in ["sse-channel", "sse-user"] {
        assert_eq!(
            source.head.header(name),
            None,
            "{name} is between Django and the gateway"
        );
    }
}

#[tokio::test]
async fn django_is_told_where_the_client_was_and_whether_the_log_can_serve_it() {
    let backend = Backend::start(|_| granted("")).await;
    let text = format!(
        "[sse]\nhistory = {{ events = 2 }}\n{}[[route]]\npath = \"/events/\"\nsse = {{ ask = \"django\" }}\n",
        gateway::upstream(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    let mut ids = Vec::new();
    for data in ["a", "b", "c", "d"] {
        ids.push(publisher.text("news", data).await);
    }
    for (number, (target, header, id, replay)) in [
        (
            "/events/".to_owned(),
            format!("Last-Event-ID: {}\r\n", ids[1]),
            Some(&*ids[1]),
            Some("full"),
        ),
        (
            "/events/".to_owned(),
            format!("Last-Event-ID: {}\r\n", ids[0]),
            Some(&*ids[0]),
            Some("partial"),
        ),
        (
            "/events/".to_owned(),
            "Last-Event-ID: nobody-knows\r\n".to_owned(),
            Some("nobody-knows"),
            Some("partial"),
        ),
        (
            format!("/events/?lastEventId={}", ids[2]),
            String::new(),
            Some(&*ids[2]),
            Some("full"),
        ),
        (
            "/events/?last-event-id=%00".to_owned(),
            String::new(),
            None,
            Some("partial"),
        ),
        ("/events/".to_owned(), String::new(), None, None),
    ]
    .into_iter()
    .enumerate()
    {
        EventSource::open_with(&gateway.public, &target, &header).await;
        let ask = backend.request(number).await;
        assert_eq!(
            (ask.header("last-event-id"), ask.header("sse-replay")),
            (id, replay),
            "{target} {header}"
        );
    }
}

#[tokio::test]
async fn channels_come_in_lines_or_as_a_list_and_are_never_split_at_commas() {
    let (gateway, mut publisher, _backend) = answering(|request| match request.target() {
        "/events/lines" => Reply::answer("200 OK", "SSE-Channel: a\r\nSSE-Channel: b\r\n", ""),
        "/events/list" => Reply::answer("200 OK", "SSE-Channels: [\"c\", \"d\"]\r\n", ""),
        "/events/mixed" => Reply::answer(
            "200 OK",
            "SSE-Channel: a\r\nSSE-Channels: [\"c\", \"a\"]\r\n",
            "",
        ),
        "/events/comma" => Reply::answer("200 OK", "SSE-Channel: a,b\r\n", ""),
        "/events/space" => Reply::answer("200 OK", "SSE-Channel: a b\r\n", ""),
        "/events/json" => Reply::answer("200 OK", "SSE-Channel: [\"a\"]\r\n", ""),
        "/events/broken" => Reply::answer("200 OK", "SSE-Channels: a, b\r\n", ""),
        "/events/expires" => Reply::answer("200 OK", "SSE-Channel: a\r\nSSE-Expires: soon\r\n", ""),
        _ => Reply::answer("200 OK", "SSE-Channel: \r\n", ""),
    })
    .await;
    for target in ["comma", "space", "json", "broken", "expires", "empty"] {
        assert_eq!(
            get(&gateway.public, &format!("/events/{target}"))
                .await
                .status,
            404,
            "{target}"
        );
    }
    for (target, channels) in [
        ("lines", ["a", "b"]),
        ("list", ["c", "d"]),
        ("mixed", ["a", "c"]),
    ] {
        let mut source = EventSource::open(&gateway.public, &format!("/events/{target}")).await;
        for channel in ["a", "b", "c", "d"] {
            publisher.text(channel, channel).await;
        }
        assert_eq!(source.data(2).await, channels, "{target}");
    }
}

#[tokio::test]
async fn an_initial_state_comes_first_and_cannot_swallow_the_first_event() {
    for body in [
        "event: state\ndata: 1\n\n",
        "event: state\ndata: 1",
        "event: state\r\ndata: 1\r",
    ] {
        let (gateway, mut publisher, backend) = answering(move |_| {
            Reply::answer(
                "200 OK",
                "SSE-Channel: news\r\nContent-Type: text/event-stream; charset=utf-8\r\n",
                body,
            )
        })
        .await;
        // What is published while Django makes up the state is not lost: the place was noted before.
        let gate = Gate::new();
        let slow = Reply::answer(
            "200 OK",
            "SSE-Channel: news\r\nContent-Type: text/event-stream\r\n",
            body,
        )
        .after(&gate);
        backend.script(move |_| slow.clone());
        let address = gateway.public.clone();
        let mut opening = tokio::task::JoinSet::new();
        opening.spawn(async move { EventSource::open(&address, "/events/").await });
        backend.request(0).await;
        publisher.text("news", "meanwhile").await;
        gate.open();
        let mut source = opening.join_next().await.unwrap().unwrap();
        let state = source.next().await;
        assert_eq!((&*state.event, &*state.data), ("state", "1"), "{body:?}");
        assert_eq!(source.next().await.data, "meanwhile", "{body:?}");
    }
}

#[tokio::test]
async fn a_clear_no_reaches_the_client_as_django_said_it() {
    let (gateway, mut publisher, _backend) = answering(|request| {
        let status = request.target().trim_start_matches("/events/");
        let body = if status == "204" { "" } else { "why" };
        let lines = format!("Content-Type: text/plain\r\nX-Why: {status}\r\nSet-Cookie: a=b\r\nSSE-Channel: news\r\n");
        Reply::answer(&format!("{status} Status"), &lines, body)
    })
    .await;
    for status in [204, 400, 401, 403, 404, 410] {
        let answer = get(&gateway.public, &format!("/events/{status}")).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), if status == 204 { "" } else { "why" });
        assert_eq!(
            (answer.header("set-cookie"), answer.header("sse-channel")),
            (Some("a=b"), None)
        );
    }
    for status in [301, 302, 303, 307] {
        let answer = get(&gateway.public, &format!("/events/{status}")).await;
        assert_eq!(
            answer.status, 401,
            "an EventSource would follow {status} to a login page"
        );
        assert!(!answer.text().contains("why"));
    }
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn a_redirect_to_the_login_is_401_with_its_cookies_and_without_its_place() {
    let (gateway, _, _backend) = answering(|_| {
        Reply::answer(
            "302 Found",
            "Location: /login/?next=/events/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
            "",
        )
    })
    .await;
    let answer = get(&gateway.public, "/events/").await;
    assert_eq!((answer.status, answer.header("location")), (401, None));
    assert_eq!(answer.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[tokio::test]
async fn an_answer_without_a_channel_is_passed_on_as_it_is() {
    let (gateway, _, _backend) = answering(|_| {
        Reply::answer(
            "200 OK",
            "Content-Type: text/html\r\nSet-Cookie: a=1\r\nSSE-User: 1\r\n",
            "<p>plain",
        )
    })
    .await;
    let answer = get(&gateway.public, "/events/").await;
    assert_eq!(
        (answer.status, answer.text(), answer.whole),
        (200, "<p>plain", true)
    );
    assert_eq!(
        (answer.header("set-cookie"), answer.header("sse-user")),
        (Some("a=1"), None)
    );
}

#[tokio::test]
async fn a_stream_takes_retry_and_cors_from_django_and_no_cookie() {
    let (gateway, _, _backend) = answering(|_| {
        granted("SSE-Retry: 5000\r\nSet-Cookie: a=1\r\nAccess-Control-Allow-Origin: https://app.test\r\n\
                 Access-Control-Allow-Credentials: true\r\nX-Frame-Options: DENY\r\n")
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    source.read_past("\n\n").await;
    assert!(source.text.starts_with("retry: 5000\n"), "{}", source.text);
    assert_eq!(source.head.header("set-cookie"), None);
    assert_eq!(
        source.head.header("access-control-allow-origin"),
        Some("https://app.test")
    );
    assert_eq!(
        source.head.header("access-control-allow-credentials"),
        Some("true")
    );
}

/// What Django does when it cannot answer, and the status of `fail`.
fn downs() -> [(&'static str, Reply, u16); 5] {
    [
        (
            "429",
            Reply::answer("429 Too Many Requests", "Retry-After: 7\r\n", ""),
            429,
        ),
        (
            "500",
            Reply::answer("500 Internal Server Error", "", "oops"),
            500,
        ),
        ("503", Reply::answer("503 Service Unavailable", "", ""), 503),
        ("reset", Reply::default().reset(), 502),
        ("timeout", Reply::hang(), 504),
    ]
}

const KEYS: &str = "response_timeout = \"500ms\"";

#[tokio::test]
async fn with_hold_a_new_stream_waits_on_heartbeats_and_misses_nothing() {
    for (name, reply, _) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let (gateway, mut publisher) =
            site_with("ask = \"django\", heartbeat = \"50ms\"", KEYS, &backend).await;
        let mut source = EventSource::open(&gateway.public, "/events/").await;
        source.heartbeats(1).await;
        publisher.text("news", "meanwhile").await;
        source.heartbeats(2).await;
        assert!(
            !source.text.contains("meanwhile"),
            "{name}: nobody has allowed it"
        );
        backend.script(|_| granted("SSE-Retry: 7000\r\n"));
        assert_eq!(source.next().await.data, "meanwhile", "{name}");
        assert!(source.text.contains("retry: 7000\n"), "{name}");
        publisher.text("news", "live").await;
        assert_eq!(source.next().await.data, "live", "{name}");
    }
}

#[tokio::test]
async fn with_hold_a_stream_outlives_a_django_that_is_not_there() {
    let mut backend = Backend::start(|_| granted("")).await;
    backend.down().await;
    let (gateway, mut publisher) = site(&backend).await;
    let before = tokio::time::Instant::now();
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "the 200 does not wait for `retry_for`"
    );
    publisher.text("news", "meanwhile").await;
    backend.up();
    assert_eq!(source.next().await.data, "meanwhile");
}

#[tokio::test]
async fn a_held_stream_that_comes_back_with_an_id_gets_what_it_missed() {
    let (gateway, mut publisher, backend) = answering(|_| granted("")).await;
    let id = publisher.text("news", "seen").await;
    publisher.text("news", "missed").await;
    backend.script(|_| Reply::answer("503 Service Unavailable", "", ""));
    let mut source = EventSource::resume(&gateway.public, "/events/", &id).await;
    source.heartbeats(1).await;
    assert_eq!(
        source.last_event_id(),
        "",
        "a client cut off now must come back with its own id"
    );
    publisher.text("news", "live").await;
    backend.script(|_| granted(""));
    assert_eq!(source.data(2).await, ["missed", "live"]);
}

#[tokio::test]
async fn a_held_stream_that_is_refused_ends_and_the_reconnect_gets_the_status() {
    let (gateway, mut publisher, backend) = answering(|_| Reply::answer("500 Oops", "", "")).await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    source.heartbeats(1).await;
    publisher.text("news", "secret").await;
    backend.script(|_| Reply::answer("403 Forbidden", "", "no"));
    let (events, text, whole) = source.rest().await;
    assert!(whole && events.is_empty(), "{text}");
    assert_eq!(get(&gateway.public, "/events/").await.status, 403);
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn with_retry_a_stream_is_told_to_come_back() {
    for (name, reply, _) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let (gateway, _) =
            site_with("ask = \"django\", backend_down = \"retry\"", KEYS, &backend).await;
        let (events, text, whole) = EventSource::open(&gateway.public, "/events/")
            .await
            .rest()
            .await;
        assert_eq!(
            (&*text, whole, events.len()),
            ("retry: 3000\n\n", true, 0),
            "{name}"
        );
    }
}

#[tokio::test]
async fn with_fail_the_client_gets_the_status() {
    for (name, reply, status) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        let (gateway, _) =
            site_with("ask = \"django\", backend_down = \"fail\"", KEYS, &backend).await;
        let answer = get(&gateway.public, "/events/").await;
        assert_eq!(answer.status, status, "{name}");
        if name == "429" {
            assert_eq!(answer.header("retry-after"), Some("7"));
        }
    }
    let mut backend = Backend::start(|_| granted("")).await;
    backend.down().await;
    let (gateway, _) = site_with("ask = \"django\", backend_down = \"fail\"", "", &backend).await;
    assert_eq!(get(&gateway.public, "/events/").await.status, 502);
}

#[tokio::test]
async fn head_asks_and_opens_nothing() {
    let (gateway, mut publisher, backend) = answering(|_| granted("")).await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("HEAD /events/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = conn.answer_to("HEAD").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert_eq!(backend.request(0).await.line(), "HEAD /events/");
    assert_eq!(publisher.streams().await, 0);
}

const POST: &str = "POST /events/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nquery";

#[tokio::test]
async fn a_post_may_ask_with_its_body_and_is_never_repeated() {
    let (gateway, mut publisher, backend) = answering(|_| granted("")).await;
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask_head(POST).await, 200);
    let ask = backend.request(0).await;
    assert_eq!(
        (ask.line(), &*ask.body, ask.header("sse-ask")),
        ("POST /events/", &b"query"[..], Some("1"))
    );
    assert_eq!(
        publisher
            .publish(json!({"channel": "news", "data": ""}))
            .await["streams"],
        1
    );
    drop(conn);
    for (name, reply, _) in downs() {
        let backend = Backend::start(move |_| reply.clone()).await;
        for down in ["hold", "retry", "fail"] {
            let before = backend.count();
            let (gateway, _) = site_with(
                &format!("ask = \"django\", backend_down = \"{down}\""),
                KEYS,
                &backend,
            )
            .await;
            let answer = Conn::open(&gateway.public).await.ask(POST).await;
            assert_eq!(answer.status, 503, "{name} {down}");
            assert!(answer.header("retry-after").is_some(), "{name} {down}");
            assert_eq!(backend.count(), before + 1, "{name} {down}: sent once");
        }
    }
    let mut backend = Backend::start(|_| granted("")).await;
    backend.down().await;
    let (gateway, _) = site(&backend).await;
    assert_eq!(
        Conn::open(&gateway.public).await.ask(POST).await.status,
        503
    );
    assert_eq!(backend.count(), 0);
}

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
    assert_eq!(backend.count(), 7, "a refusal is never kept");
}

#[tokio::test]
async fn five_restarts_of_django_close_no_stream_and_lose_no_event() {
    let mut backend = Backend::start_unix(|_| granted("SSE-Expires: 1\r\n")).await;
    let (gateway, mut publisher) = site(&backend).await;
    let mut sources = Vec::new();
    for _ in 0..50 {
        sources.push(EventSource::open(&gateway.public, "/events/").await);
    }
    let mut published = 0;
    for round in 0..5 {
        backend.down().await;
        sources.push(EventSource::open(&gateway.public, "/events/").await);
        for _ in 0..10 {
            publisher.text("news", &published.to_string()).await;
            published += 1;
        }
        backend.up();
        let expected: Vec<_> = (published - 10..published)
            .map(|n: u32| n.to_string())
            .collect();
        for (number, source) in sources.iter_mut().enumerate() {
            assert_eq!(
                source.data(10).await,
                expected,
                "stream {number} in round {round}"
            );
        }
    }
    assert_eq!(publisher.metric("tidegate_streams_open").await, 55);
}

#[tokio::test]
async fn an_ask_never_switches_protocols() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(switch).then_hang()).await;
    let (gateway, _) = site_with("ask = \"django\", backend_down = \"fail\"", "", &backend).await;
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for lines in ["", lines] {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!("GET /events/ HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
            .await;
        assert_eq!(conn.head().await.status, 502, "{lines}");
    }
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_no_more() {
    let backend = Backend::start(|request| {
        let user = request.header("cookie").unwrap().trim_start_matches("u=");
        granted(&format!("SSE-User: {user}\r\n"))
    })
    .await;
    let (gateway, mut publisher) = site_with("ask = \"django\", per_user = 1", "", &backend).await;
    let first = EventSource::open_with(&gateway.public, "/events/", "Cookie: u=1\r\n").await;
    let refused = EventSource::try_open(&gateway.public, "/events/", "Cookie: u=1\r\n").await;
    assert_eq!(refused.err().unwrap().status, 429);
    let _other = EventSource::open_with(&gateway.public, "/events/", "Cookie: u=2\r\n").await;
    drop(first);
    until("the place is free", async || publisher.streams().await == 1).await;
    EventSource::open_with(&gateway.public, "/events/", "Cookie: u=1\r\n").await;
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
