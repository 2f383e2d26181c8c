//! What a POST is answered, recorded: for the one who sent it, who may go on with it by GET.

use crate::support::client::{Framing, Piece};
use crate::support::grip::poll;
use crate::support::http2::Http2;
use crate::support::recording::{
    ALICE, BOB, events, halves, head, more, over, recording, recording_with, says,
};
use crate::support::streaming::{is_reset, texts};
use crate::support::{Answer, Backend, Conn, EventSource, Gate, Gateway, Reply, gateway, until};

const TARGET: &str = "/answer/?a=b";

async fn post(gateway: &Gateway, lines: &str) -> EventSource {
    let posted = EventSource::try_post(&gateway.public, TARGET, lines, "question").await;
    posted.unwrap_or_else(|answer| panic!("no stream: {}", answer.head))
}

async fn rest(gateway: &Gateway, lines: &str, last: &str) -> Result<EventSource, Answer> {
    let lines = format!("{lines}Last-Event-ID: {last}\r\n");
    EventSource::try_open(&gateway.public, TARGET, &lines).await
}

/// Reads on to the end of a stream that has no more events; its last id.
async fn end(source: EventSource) -> String {
    let (events, text, whole) = source.rest().await;
    assert!(events.is_empty() && whole, "{text}");
    let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().unwrap().to_owned()
}

/// A view that answers a POST in two halves, and refuses any other request.
fn asks(gate: &Gate, ids: bool) -> impl Fn(&crate::support::Request) -> Reply + use<> {
    let gate = gate.clone();
    move |request| match request.line() {
        "POST /answer/?a=b" => halves(&gate, ids),
        _ => Reply::answer("405 Method Not Allowed", "", "no GET"),
    }
}

#[tokio::test]
async fn who_was_cut_off_gets_the_rest_by_get_and_the_view_is_not_asked() {
    for ids in [false, true] {
        let gate = Gate::new();
        let (gateway, _, backend) = recording("", asks(&gate, ids)).await;
        let mut source = post(&gateway, ALICE).await;
        assert_eq!(source.data(2).await, texts(1..=2));
        let last = source.last_event_id().to_owned();
        assert_eq!(last == "v2", ids, "ids of the view are kept: {last}");
        drop(source);
        gate.open();
        // Another theme and the origin of the page, which a browser sends with one of the two only.
        let lines = "Cookie: theme=light; sessionid=alice\r\nOrigin: https://site.test\r\n";
        let mut again = rest(&gateway, lines, &last).await.ok().unwrap();
        assert_eq!(again.data(4).await, texts(3..=6));
        let seen = end(again).await;
        let refused = rest(&gateway, ALICE, &seen).await.err().unwrap();
        assert_eq!(refused.status, 204);
        let asked = backend.request(0).await;
        assert_eq!((asked.body, backend.count()), (b"question".to_vec(), 1));
    }
}

#[tokio::test]
async fn who_was_cut_off_before_the_first_event_gets_all() {
    let (gate, started) = (Gate::new(), Gate::new());
    let (view, begun) = (gate.clone(), started.clone());
    let (gateway, _, _backend) = recording("", move |_| {
        begun.open();
        over(says(":\n\n").wait(&view).then("9\r\ndata: 1\n\n\r\n"))
    })
    .await;
    let mut source = post(&gateway, ALICE).await;
    source.read_past("id: ").await;
    let text = source.text.clone();
    let place = text.split("id: ").nth(1).unwrap();
    let place = place.lines().next().unwrap();
    drop(source);
    gate.open();
    let mut again = rest(&gateway, ALICE, place).await.ok().unwrap();
    assert_eq!(again.data(1).await, ["1"]);
}

#[tokio::test]
async fn nobody_else_gets_a_byte_of_it() {
    let gate = Gate::new();
    let (gateway, _, backend) = recording("per = \"all\"", asks(&gate, false)).await;
    let mut source = post(&gateway, ALICE).await;
    source.data(2).await;
    let last = source.last_event_id().to_owned();
    let bearer = format!("{ALICE}Authorization: Bearer x\r\n");
    for lines in ["", BOB, &bearer, "Cookie: theme=dark\r\n"] {
        let refused = rest(&gateway, lines, &last).await.err().unwrap();
        assert_eq!((refused.status, refused.text()), (405, "no GET"), "{lines}");
    }
    // Another place, path or query, or a page that is opened: those are no requests for the rest.
    for (target, lines) in [
        ("/answer/?a=c", format!("Last-Event-ID: {last}\r\n")),
        ("/other/?a=b", format!("Last-Event-ID: {last}\r\n")),
        (TARGET, "Last-Event-ID: v9\r\n".to_owned()),
        (TARGET, String::new()),
    ] {
        let lines = format!("{ALICE}{lines}");
        let refused = EventSource::try_open(&gateway.public, target, &lines).await;
        assert_eq!(refused.err().unwrap().status, 405, "{target} {lines}");
    }
    let mut conn = Conn::open(&gateway.public).await;
    let page = format!(
        "GET {TARGET} HTTP/1.1\r\nHost: site.test\r\nAccept: text/html\r\n{ALICE}Last-Event-ID: {last}\r\n\r\n"
    );
    assert_eq!(conn.ask(page).await.status, 405);
    assert_eq!(backend.count(), 10, "each was asked for");
}

#[tokio::test]
async fn two_posts_are_two_answers_each_with_its_own_rest() {
    for ids in [false, true] {
        let (gateway, _, backend) = recording("", move |request| {
            let first = 1 + 10 * u32::try_from(request.number).unwrap();
            says(&events(first..=first + 1, ids)).then_hang()
        })
        .await;
        let (mut one, mut two) = (post(&gateway, ALICE).await, post(&gateway, ALICE).await);
        assert_eq!(
            (one.data(1).await, two.data(1).await),
            (texts(1..=1), texts(11..=11))
        );
        for (source, next) in [(&one, "2"), (&two, "12")] {
            let again = rest(&gateway, ALICE, source.last_event_id()).await;
            assert_eq!(again.ok().unwrap().data(1).await, [next]);
        }
        assert_eq!(backend.count(), 2);
    }
}

#[tokio::test]
async fn an_id_of_two_answers_leads_to_neither() {
    let (gateway, _, backend) = recording("", |request| match request.line() {
        "POST /answer/?a=b" => says(&events(1..=2, true)).then_hang(),
        _ => Reply::answer("404 Not Found", "", ""),
    })
    .await;
    let (mut one, mut two) = (post(&gateway, ALICE).await, post(&gateway, ALICE).await);
    assert_eq!(
        (one.data(1).await, two.data(1).await),
        (texts(1..=1), texts(1..=1))
    );
    assert_eq!(rest(&gateway, ALICE, "v1").await.err().unwrap().status, 404);
    assert_eq!(backend.count(), 3);
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_so_and_is_not_asked_for_again() {
    let (gateway, mut publisher, backend) = recording("", |request| match request.line() {
        "POST /answer/?a=b" => says(&events(1..=2, true)).then("5\r\ncut").close(),
        _ => Reply::answer("404 Not Found", "", ""),
    })
    .await;
    let mut source = post(&gateway, ALICE).await;
    assert_eq!(source.data(2).await, texts(1..=2));
    is_reset(&mut source, "broken").await;
    source.ends().await;
    let mut again = rest(&gateway, ALICE, "v1").await.ok().unwrap();
    assert_eq!(again.data(1).await, ["2"]);
    is_reset(&mut again, "broken").await;
    let seen = end(again).await;
    let refused = rest(&gateway, ALICE, &seen).await.err().unwrap();
    assert_eq!(refused.status, 204);
    assert_eq!(backend.count(), 1);
    assert_eq!(
        publisher.metric("tidegate_recordings_open").await,
        1,
        "it lingers"
    );
}

#[tokio::test]
async fn what_nobody_can_be_known_to_have_sent_passes_as_it_is() {
    let (gateway, mut publisher, _backend) =
        recording("", |_| over(says("data: 1\n\n: kept\n\n"))).await;
    let source = post(&gateway, "Cookie: theme=dark\r\n").await;
    let (_, text, whole) = source.rest().await;
    assert!(whole && text == "data: 1\n\n: kept\n\n", "{text}");
    let page = EventSource::try_post(&gateway.public, "/page/", ALICE, "x").await;
    assert!(page.is_ok(), "its path is recorded as well");
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 1);
}

#[tokio::test]
async fn answers_that_are_no_streams_and_posts_beyond_a_place_are_not_touched() {
    let backend = Backend::start(|request| match request.target() {
        "/form/" => Reply::answer("303 See Other", "Location: /done/\r\n", "done"),
        _ => says("data: 1\n\n").then_hang(),
    })
    .await;
    let (gateway, mut publisher) = recording_with("", "[sse]\nper_ip = 1", &backend).await;
    let form = EventSource::try_post(&gateway.public, "/form/", ALICE, "a=b").await;
    let form = form.err().unwrap();
    assert_eq!((form.status, form.text()), (303, "done"));
    assert_eq!(form.header("location"), Some("/done/"));
    let _first = post(&gateway, ALICE).await;
    let mut second = post(&gateway, ALICE).await;
    assert_eq!(
        second.data(1).await,
        ["1"],
        "what it asked for is done, so it is answered"
    );
    assert_eq!(second.head.header("sse-stream"), None, "but not recorded");
    assert_eq!(publisher.metric("tidegate_recordings_open").await, 1);
}

#[tokio::test]
async fn the_view_goes_on_for_a_while_without_anybody_and_then_is_let_go() {
    let (gateway, mut publisher, backend) =
        recording("linger = \"50ms\"", |_| says("data: 1\n\n").then_hang()).await;
    let mut source = post(&gateway, ALICE).await;
    source.data(1).await;
    drop(source);
    backend
        .until("the view is let go", |log| log.connections[0].closed)
        .await;
    until("it is forgotten", async || {
        publisher.metric("tidegate_recordings_open").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_person_has_eight_at_most_and_one_that_is_over_makes_room() {
    let gate = Gate::new();
    let view = gate.clone();
    let (gateway, mut publisher, _backend) = recording("", move |request| {
        if request.number == 0 {
            return over(says("data: 1\n\n").wait(&view));
        }
        says("data: 1\n\n").then_hang()
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..8 {
        kept.push(post(&gateway, ALICE).await);
    }
    let open = "tidegate_recordings_open";
    assert!(
        post(&gateway, ALICE)
            .await
            .head
            .header("sse-stream")
            .is_none()
    );
    assert_eq!(
        publisher.metric("tidegate_recordings_refused_total").await,
        1
    );
    assert!(
        post(&gateway, BOB)
            .await
            .head
            .header("sse-stream")
            .is_some()
    );
    assert_eq!(publisher.metric(open).await, 9);
    gate.open();
    let first = kept.remove(0);
    let (_, _, whole) = first.rest().await;
    assert!(whole);
    assert!(
        post(&gateway, ALICE)
            .await
            .head
            .header("sse-stream")
            .is_some()
    );
}

#[tokio::test]
async fn with_the_end_of_the_session_nobody_gets_the_rest() {
    let (gateway, _, _backend) = recording("", |request| match request.line() {
        "POST /answer/?a=b" => says(&events(1..=2, false)).then_hang(),
        "GET /logout/" => {
            Reply::answer("200 OK", "Set-Cookie: sessionid=\"\"; Max-Age=0\r\n", "bye")
        }
        _ => Reply::answer("403 Forbidden", "", ""),
    })
    .await;
    let mut source = post(&gateway, ALICE).await;
    source.data(1).await;
    let last = source.last_event_id().to_owned();
    let mut conn = Conn::open(&gateway.public).await;
    let out = format!("GET /logout/ HTTP/1.1\r\nHost: site.test\r\n{ALICE}\r\n");
    assert_eq!(conn.ask(out).await.status, 200);
    let (_, _, whole) = source.rest().await;
    assert!(whole, "his stream ends");
    assert_eq!(
        rest(&gateway, ALICE, &last).await.err().unwrap().status,
        403
    );
}

#[tokio::test]
async fn who_is_told_apart_by_other_cookies_is_another_person() {
    let gate = Gate::new();
    let (gateway, _, backend) = recording("", asks(&gate, true)).await;
    // The key is in the page's own code, so that everybody has it.
    let alice = "Cookie: access=alice\r\nX-Api-Key: of-the-page\r\n";
    let mut source = post(&gateway, alice).await;
    source.data(2).await;
    for bob in [
        "Cookie: access=bob\r\nX-Api-Key: of-the-page\r\n",
        "X-Api-Key: of-the-page\r\n",
    ] {
        let refused = rest(&gateway, bob, "v1").await.err().unwrap();
        assert_eq!((refused.status, refused.text()), (405, "no GET"), "{bob}");
    }
    let mut again = rest(&gateway, alice, "v1").await.ok().unwrap();
    assert_eq!(again.data(2).await, texts(2..=3));
    assert_eq!(backend.count(), 3);
}

#[tokio::test]
async fn an_id_that_the_recording_of_gets_has_as_well_goes_on_there() {
    for per in ["credentials", "user", "all"] {
        let record = format!("per = \"{per}\"");
        let (gateway, _, _backend) = recording(&record, |request| match request.line() {
            "POST /answer/?a=b" => says("id: v1\ndata: posted\n\ndata: more\n\n").then_hang(),
            _ => says(&events(1..=3, true)).then_hang(),
        })
        .await;
        let mut news = EventSource::open_with(&gateway.public, TARGET, ALICE).await;
        news.data(3).await;
        let mut posted = post(&gateway, ALICE).await;
        assert_eq!(posted.data(2).await, ["posted", "more"]);
        let mut again = rest(&gateway, ALICE, "v1").await.ok().unwrap();
        assert_eq!(again.data(2).await, texts(2..=3), "{per}");
    }
}

#[tokio::test]
async fn one_that_made_room_is_forgotten_at_once() {
    let (gateway, mut publisher, backend) = recording("", |_| over(says("data: 1\n\n"))).await;
    for _ in 0..20 {
        let (events, _, whole) = post(&gateway, ALICE).await.rest().await;
        assert!(whole && events.len() == 1);
    }
    until("those over eight are forgotten", async || {
        publisher.metric("tidegate_recordings_open").await == 8
    })
    .await;
    assert_eq!(backend.count(), 20);
}

#[tokio::test]
async fn an_answer_that_changes_the_session_is_still_given_to_its_sender() {
    for cookie in ["sessionid=next", "sessionid=\"\"; Max-Age=0"] {
        let lines = format!("Set-Cookie: {cookie}\r\n");
        let (gateway, _, _backend) =
            recording("", move |_| over(more(head(&lines), &events(1..=3, false)))).await;
        let source = post(&gateway, ALICE).await;
        assert_eq!(source.head.header("set-cookie"), Some(cookie));
        let (events, _, whole) = source.rest().await;
        let data: Vec<_> = events.into_iter().map(|event| event.data).collect();
        assert!(whole && data == texts(1..=3), "{cookie}: {data:?}");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_does_not_end_the_upload() {
    let gate = Gate::new();
    let view = gate.clone();
    let backend =
        Backend::start_early(move |_| over(more(says("data: 1\n\n").wait(&view), "data: 2\n\n")))
            .await;
    let (gateway, _) = recording_over(&backend, "buffer_request = false").await;
    let mut conn = Conn::open(&gateway.public).await;
    let request = format!(
        "POST {TARGET} HTTP/1.1\r\nHost: site.test\r\n{ALICE}Content-Length: 100000\r\n\r\nfirst"
    );
    conn.send(request).await;
    let head = conn.head().await;
    let mut framing = Conn::framing(&head, "POST");
    let mut text = Vec::new();
    read_past(&mut conn, &mut framing, &mut text, "data: 1\n\n").await;
    conn.send(vec![b'x'; 99_995]).await;
    backend
        .until("all of the upload", |log| {
            log.connections[0].bytes.len() > 100_000
        })
        .await;
    gate.open();
    read_past(&mut conn, &mut framing, &mut text, "data: 2\n\n").await;
}

async fn read_past(conn: &mut Conn, framing: &mut Framing, text: &mut Vec<u8>, mark: &str) {
    while !String::from_utf8_lossy(text).contains(mark) {
        match conn.piece(framing).await {
            Piece::Data(data) => text.extend(data),
            other => panic!("{other:?} after {}", String::from_utf8_lossy(text)),
        }
    }
}

#[tokio::test]
async fn however_it_is_sent_it_is_sent_once_and_whole() {
    let gate = Gate::new();
    let (gateway, _, backend) = recording("", asks(&gate, true)).await;
    let mut conn = Conn::open(&gateway.public).await;
    let request = format!(
        "POST {TARGET} HTTP/1.1\r\nHost: site.test\r\n{ALICE}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    conn.send(request).await;
    conn.send("4\r\nques\r\n4\r\ntion\r\n0\r\n\r\n").await;
    assert_eq!(conn.head().await.status, 200);
    assert_eq!(backend.request(0).await.body, b"question");

    let mut http2 = Http2::open(&gateway.public).await;
    let request = http::Request::post(format!("http://site.test{TARGET}"))
        .header("cookie", "theme=dark")
        .header("cookie", "sessionid=alice")
        .body(bytes::Bytes::from("over 2").into())
        .unwrap();
    let answer = http2.begin(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("sse-stream"));
    let asked = backend.request(1).await;
    assert_eq!((asked.body, backend.count()), (b"over 2".to_vec(), 2));
    drop((conn, answer, http2));
    // Both answers have it.
    assert_eq!(rest(&gateway, ALICE, "v1").await.err().unwrap().status, 405);
}

#[tokio::test]
async fn what_the_head_of_an_answer_says_beside_reaches_its_sender_alone() {
    let lines = "Mcp-Session-Id: 7\r\nX-Conversation: 8\r\nKeep-Alive: timeout=5\r\nX-Accel-Expires: 3\r\n\
                 SSE-Publish: x\r\nCache-Control: private\r\n";
    let (gateway, _, _backend) = recording("", move |_| {
        more(head(lines), &events(1..=3, true)).then_hang()
    })
    .await;
    let mut source = post(&gateway, ALICE).await;
    assert_eq!(source.head.header("mcp-session-id"), Some("7"));
    assert_eq!(source.head.header("x-conversation"), Some("8"));
    assert_eq!(source.head.header("sse-publish"), None);
    assert_eq!(source.head.header("x-accel-expires"), None);
    assert_eq!(source.head.header("keep-alive"), None);
    assert_eq!(
        source.head.header("cache-control"),
        Some("no-cache, no-transform")
    );
    assert_eq!(source.data(3).await, texts(1..=3));
    let again = rest(&gateway, ALICE, "v1").await.ok().unwrap();
    assert_eq!(again.head.header("x-conversation"), None);
}

#[tokio::test]
async fn an_answer_that_is_to_be_held_is_held_and_what_was_posted_is_said_again() {
    let backend = Backend::start(|request| match request.number {
        0 => poll("c; prev-id=1", "", "nothing"),
        1 => Reply::ok("later"),
        _ => over(says("data: 1\n\n")),
    })
    .await;
    let (gateway, mut publisher) = recording_over(&backend, "grip = true").await;
    let mut conn = Conn::open(&gateway.public).await;
    let request = format!(
        "POST {TARGET} HTTP/1.1\r\nHost: site.test\r\n{ALICE}Content-Length: 8\r\n\r\nquestion"
    );
    conn.send(request).await;
    until("it waits", async || publisher.streams().await == 1).await;
    publisher
        .items(&[serde_json::json!({"channel": "c", "http-response": {"body": "stray"}})])
        .await;
    assert_eq!(conn.answer().await.text(), "later");
    for number in 0..2 {
        let asked = backend.request(number).await;
        assert_eq!(
            (asked.line(), &asked.body[..]),
            ("POST /answer/?a=b", &b"question"[..])
        );
        assert!(asked.header("grip-sig").is_some());
    }
    let mut source = post(&gateway, ALICE).await;
    source.data(1).await;
    let last = end(source).await;
    assert_eq!(
        rest(&gateway, ALICE, &last).await.err().unwrap().status,
        204
    );
    assert_eq!(backend.count(), 3);
}

/// A gateway that records every path, with more keys of its upstream.
async fn recording_over(backend: &Backend, keys: &str) -> (Gateway, crate::support::Publisher) {
    let upstream = gateway::upstream(&backend.address, keys);
    let route = "[[route]]\npath = \"/<path:rest>\"\nproxy = { to = \"django\", record = true }\n";
    let gateway = Gateway::start(&format!("{upstream}{route}")).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}
