//! Who may listen is Django's to say: what it is asked, and what becomes of each of its answers.

use crate::support::asking::{answering, granted, site_with};
use crate::support::{Backend, Conn, EventSource, Gate, Gateway, Reply, gateway, get, until};

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
async fn an_id_that_was_never_sent_is_no_part_of_the_ask() {
    let (gateway, _, backend) = answering(|_| granted("")).await;
    let huge = "x".repeat(10_000);
    let target = format!("/events/?a=%2F&lastEventId={huge}&b=2");
    let mut source = EventSource::open(&gateway.public, &target).await;
    assert_eq!(backend.request(0).await.line(), "GET /events/?a=%2F&b=2");
    let reset = source.next().await;
    assert_eq!(reset.event, "reset");
    assert!(reset.data.contains("malformed-id"), "{}", reset.data);
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
    let metric = "tidegate_streams_refused_total{reason=\"per_user\"}";
    assert_eq!(publisher.metric(metric).await, 1);
    let _other = EventSource::open_with(&gateway.public, "/events/", "Cookie: u=2\r\n").await;
    drop(first);
    until("the place is free", async || publisher.streams().await == 1).await;
    EventSource::open_with(&gateway.public, "/events/", "Cookie: u=1\r\n").await;
}
