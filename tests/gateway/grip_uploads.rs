//! Answers that Django has held before it has read the request: the client sends all of it, and then has its stream.

use http::Request;
use http_body_util::{BodyExt, Full};

use crate::support::client::Piece;
use crate::support::grip::{item, poll, site_with, stream};
use crate::support::http2::Http2;
use crate::support::recording::ALICE;
use crate::support::{Backend, Conn, EventSource, Gateway, Reply, asking, gateway, within};

/// More than lies in the sockets between two programs.
const LONG: usize = 24 << 20;
const UNBUFFERED: &str = "buffer_request = false\n[limits]\nbody = \"64MiB\"\n";

fn upload() -> String {
    "x".repeat(LONG)
}

/// A backend that answers heads, so that requests that go on are answered before their end.
async fn early(reply: Reply) -> Backend {
    Backend::start_early(move |request| match request.line() {
        line if line.starts_with("POST ") => reply.clone(),
        _ => Reply::ok("a page"),
    })
    .await
}

#[tokio::test]
async fn a_stream_that_is_held_before_the_end_of_the_upload_is_open_after_it() {
    let answer = || stream("c", "", "data: first\n\n");
    // gunicorn reads no more once it has answered, and may or may not close.
    for reply in [answer(), answer().shutdown().then_hang()] {
        let backend = early(reply).await;
        let (gateway, mut publisher) = site_with("true", UNBUFFERED, &backend).await;
        let source = EventSource::try_post(&gateway.public, "/", "", &upload()).await;
        let mut source = source.ok().unwrap();
        assert_eq!(source.data(1).await, ["first"]);
        publisher.items(&[item("c", "data: second\n\n")]).await;
        assert_eq!(source.data(1).await, ["second"]);
    }
}

#[tokio::test]
async fn what_is_published_during_the_rest_of_the_upload_is_on_the_stream() {
    let backend = early(stream("c", "", "data: first\n\n")).await;
    let (gateway, mut publisher) = site_with("true", UNBUFFERED, &backend).await;
    let mut conn = Conn::open(&gateway.public).await;
    let head = format!("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: {LONG}\r\n\r\n");
    conn.send(head).await;
    backend.request(0).await;
    publisher.items(&[item("c", "data: meanwhile\n\n")]).await;
    conn.send(upload()).await;
    let head = conn.head().await;
    let (mut framing, mut text) = (Conn::framing(&head, "POST"), Vec::new());
    while text.len() < "data: first\n\ndata: meanwhile\n\n".len() {
        let Piece::Data(data) = conn.piece(&mut framing).await else {
            panic!("it ends")
        };
        text.extend(data);
    }
    assert_eq!(text, b"data: first\n\ndata: meanwhile\n\n");
}

#[tokio::test]
async fn a_poll_that_is_held_before_the_end_of_the_upload_is_answered_after_it() {
    let backend = early(poll("c", "Grip-Timeout: 1\r\n", "nothing")).await;
    let (gateway, _) = site_with("true", UNBUFFERED, &backend).await;
    let mut conn = Conn::open(&gateway.public).await;
    let head = format!("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: {LONG}\r\n\r\n");
    conn.send(head + &upload()).await;
    assert_eq!(conn.answer().await.text(), "nothing");
    let next = conn.ask("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(next.text(), "a page", "nothing of the upload is a request");
}

#[tokio::test]
async fn over_http2_the_upload_ends_as_well() {
    let backend = early(stream("c", "", "data: first\n\n")).await;
    let (gateway, mut publisher) = site_with("true", UNBUFFERED, &backend).await;
    let mut client = Http2::open(&gateway.public).await;
    let post = Request::post("http://site.test/").body(Full::from(upload()));
    let mut post = post.unwrap();
    let length = LONG.to_string().parse().unwrap();
    post.headers_mut().insert("content-length", length);
    let mut answer = client.begin(post).await.unwrap();
    publisher.items(&[item("c", "data: second\n\n")]).await;
    let close = serde_json::json!({"channel": "c", "http-stream": {"action": "close"}});
    publisher.items(&[close]).await;
    let mut text = Vec::new();
    while let Some(frame) = within("a frame", answer.body_mut().frame()).await {
        text.extend(frame.unwrap().into_data().unwrap());
    }
    assert_eq!(text, b"data: first\n\ndata: second\n\n");
    let get = Request::get("http://site.test/").body(Full::default());
    let page = client.send(get.unwrap()).await.unwrap();
    assert_eq!(page.body, b"a page", "the connection goes on");
}

#[tokio::test]
async fn an_upload_that_stops_after_the_answer_is_408_and_nothing_stays_open() {
    let backend = early(stream("c", "", "data: first\n\n")).await;
    let keys = "buffer_request = false\n[limits]\nbody_idle = \"200ms\"\n";
    let (gateway, mut publisher) = site_with("true", keys, &backend).await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000\r\n\r\nx")
        .await;
    assert_eq!((answer.status, publisher.streams().await), (408, 0));
}

#[tokio::test]
async fn an_ask_is_sent_with_the_whole_upload() {
    let backend = Backend::start_early(|_| asking::granted("").close()).await;
    let keys = format!("{UNBUFFERED}[[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\" }}\n");
    let text = gateway::everything_to(&backend.address, &keys);
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    let source = EventSource::try_post(&gateway.public, "/asked/", "", &upload()).await;
    let mut source = source.ok().unwrap();
    publisher.text("news", "heard").await;
    assert_eq!(source.data(1).await, ["heard"]);
}

#[tokio::test]
async fn a_view_that_has_said_all_before_the_end_of_the_upload_is_not_recorded() {
    // All at once, so that nothing is left to read when it is looked at.
    let reply = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n";
    let backend = early(Reply::raw(reply)).await;
    let keys = format!(
        "{UNBUFFERED}[[route]]\npath = \"/posted/\"\nproxy = {{ to = \"django\", record = {{}} }}\n"
    );
    let text = gateway::everything_to(&backend.address, &keys);
    let gateway = Gateway::start(&text).await;
    let source = EventSource::try_post(&gateway.public, "/posted/", ALICE, &upload()).await;
    let (_, text, whole) = source.ok().unwrap().rest().await;
    assert!(whole && text == "data: 1\n\n", "{text:?}");
}
