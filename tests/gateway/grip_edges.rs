//! Held answers where they meet what else a route, a reload or an answer may say.

use std::io::Write as _;

use serde_json::json;

use crate::support::grip::{next, poll, site, site_with, stream};
use crate::support::http2::Http2;
use crate::support::{Backend, Conn, EventSource, Gateway, Reply, gateway, until};

const LINK: &str = "Grip-Link: </next>; rel=next\r\n";

fn compressed(text: &str) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(text.as_bytes()).unwrap();
    coder.finish().unwrap()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: site.test\r\nAccept-Encoding: gzip\r\n\r\n")
}

#[tokio::test]
async fn a_link_leads_to_the_same_view_with_the_prefix_of_its_route_and_without() {
    for (target, link, sent) in [
        // With FORCE_SCRIPT_NAME.
        ("/api/events", "/api/next?a=1", "/next?a=1"),
        ("/api/events", "http://site.test/api/next", "/next"),
        ("/api/events", "/next?a=1", "/next?a=1"),
        ("/api/events", "next", "/next"),
        ("/api/events", "?a=1", "/events?a=1"),
        ("/api/events", "/apis", "/apis"),
        // Without it, where a view's own path is like the prefix.
        ("/api/api/events", "/api/events?a=1", "/api/events?a=1"),
    ] {
        let line = format!("Grip-Link: <{link}>; rel=next\r\n");
        let backend = Backend::start(move |_| stream("c", &line, "data: 1\n\n")).await;
        let text = format!(
            "{}[[route]]\npath = \"/api/<path:rest>\"\n\
             proxy = {{ to = \"django\", strip = \"/api\" }}\n",
            gateway::upstream(&backend.address, "grip = true"),
        );
        let gateway = Gateway::start(&text).await;
        let mut publisher = gateway.publisher().await;
        let mut source = EventSource::open(&gateway.public, target).await;
        assert_eq!(source.data(1).await, ["1"]);
        let hint = json!({"channel": "c", "http-stream": {"action": "hint"}});
        publisher.items(&[hint]).await;
        assert_eq!(backend.request(1).await.target(), sent, "{link}");
    }
}

#[tokio::test]
async fn links_are_signed_after_a_reload_by_which_nothing_is_held_any_more() {
    let backend = Backend::start(|_| stream("c; prev-id=1", LINK, "data: 1\n\n")).await;
    let (gateway, mut publisher) = site_with("true", "", &backend).await;
    let mut source = EventSource::open(&gateway.public, "/").await;
    assert_eq!(source.data(1).await, ["1"]);
    let file = gateway::everything_to(&backend.address, "grip = false");
    gateway.reload(&file).await.unwrap();
    publisher.items(&[next("c", 3, "data: 3\n\n")]).await;
    let asked = backend.request(1).await;
    assert!(asked.header("grip-sig").is_some() && asked.header("grip-feature").is_some());
    EventSource::open(&gateway.public, "/").await;
    let asked = backend.request(2).await;
    assert!(asked.header("grip-sig").is_none());
}

#[tokio::test]
async fn an_answer_that_is_passed_on_says_how_it_is_compressed_whatever_it_exposes() {
    let body = compressed("a page");
    let (gateway, _, _backend) = site(move |_| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nGrip-Expose-Headers: X-A\r\nX-A: 1\r\n\
             X-B: 2\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Reply::raw(head).then(&body)
    })
    .await;
    let answer = Conn::open(&gateway.public).await.ask(get("/")).await;
    let headers = ["x-a", "x-b", "content-encoding"].map(|name| answer.header(name));
    assert_eq!(headers, [Some("1"), None, Some("gzip")]);
}

#[tokio::test]
async fn the_words_of_a_status_reach_the_client() {
    let (gateway, mut publisher, _backend) = site(|request| match request.target() {
        "/poll" => poll("c", "Grip-Status: 410 Over\r\n", "nothing"),
        "/stream" => stream("c", "Grip-Status: 203 Second hand\r\n", ""),
        _ => Reply::answer("200 OK", "Grip-Status: 203 Passed on\r\n", ""),
    })
    .await;
    let mut conn = Conn::open(&gateway.public).await;
    let line = |head: &str| head.lines().next().unwrap_or_default().to_owned();
    conn.send(get("/poll")).await;
    until("it waits", async || publisher.streams().await == 1).await;
    let response = json!({"code": 299, "reason": "Published"});
    publisher
        .items(&[json!({"channel": "c", "http-response": response})])
        .await;
    assert_eq!(line(&conn.answer().await.head), "HTTP/1.1 299 Published");
    let passed = conn.ask(get("/")).await;
    assert_eq!(line(&passed.head), "HTTP/1.1 203 Passed on");
    conn.send(get("/stream")).await;
    assert_eq!(line(&conn.head().await.head), "HTTP/1.1 203 Second hand");
    conn = Conn::open(&gateway.public).await;
    until("the stream is gone", async || {
        publisher.streams().await == 0
    })
    .await;
    conn.send(get("/poll")).await;
    until("it waits", async || publisher.streams().await == 1).await;
    drop(publisher);
    let last = async move { conn.answer().await };
    let (last, _) = tokio::join!(last, gateway.stop());
    assert_eq!(line(&last.head), "HTTP/1.1 410 Over");
}

#[tokio::test]
async fn a_link_may_name_the_host_that_a_trusted_proxy_was_asked_for() {
    let line = "Grip-Link: <https://www.site.test/next>; rel=next\r\n";
    let backend = Backend::start(move |_| stream("c", line, "data: 1\n\n")).await;
    let file = gateway::everything_to(&backend.address, "grip = true");
    let trust = "[trust]\nproxies = [\"127.0.0.1\"]\n";
    let gateway = Gateway::start(&format!("{trust}{file}")).await;
    let mut publisher = gateway.publisher().await;
    let lines = "X-Forwarded-Host: www.site.test\r\nX-Forwarded-Proto: https\r\n";
    let mut source = EventSource::open_with(&gateway.public, "/", lines).await;
    assert_eq!(source.data(1).await, ["1"]);
    let hint = json!({"channel": "c", "http-stream": {"action": "hint"}});
    publisher.items(&[hint]).await;
    let asked = backend.request(1).await;
    assert_eq!(asked.target(), "/next");
}

#[tokio::test]
async fn an_upstream_that_a_reload_replaced_is_forgotten_when_no_held_answer_has_it() {
    let backend = Backend::start(|_| stream("c", LINK, "data: 1\n\n")).await;
    let (gateway, mut publisher) = site_with("true", "", &backend).await;
    let source = EventSource::open(&gateway.public, "/").await;
    let file = |number: usize| {
        let keys = format!("grip = true\nretry_for = \"{number}s\"");
        gateway::everything_to(&backend.address, &keys)
    };
    for number in 1..=5 {
        gateway.reload(&file(number)).await.unwrap();
    }
    let retired = "tidegate_upstreams_retired";
    assert_eq!(publisher.metric(retired).await, 1, "what the stream has");
    drop(source);
    until("nothing of it", async || {
        gateway.reload(&file(5)).await.unwrap();
        publisher.metric(retired).await == 0
    })
    .await;
}

#[tokio::test]
async fn who_publishes_names_no_file_that_only_django_may_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "for few").unwrap();
    let backend = Backend::start(|_| poll("c", "X-Accel-Buffering: no\r\n", "nothing")).await;
    let text = format!(
        "{}[[route]]\npath = \"/private/<path:file>\"\ninternal = true\n\
         static = {{ root = \"{}\" }}\n{}",
        gateway::upstream(&backend.address, "grip = true"),
        folder.path().display(),
        gateway::PROXY,
    );
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(get("/poll")).await;
    until("it waits", async || publisher.streams().await == 1).await;
    let headers = json!({"X-Accel-Redirect": "/private/secret", "X-Sendfile": "/etc/passwd"});
    let response = json!({"headers": headers, "body": "published"});
    publisher
        .items(&[json!({"channel": "c", "http-response": response})])
        .await;
    let answer = conn.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "published"));
    let headers =
        ["x-accel-redirect", "x-sendfile", "x-accel-buffering"].map(|name| answer.header(name));
    assert_eq!(headers, [None, None, Some("no")]);
}

#[tokio::test]
async fn an_answer_whose_status_has_no_body_has_none() {
    for status in [204, 304] {
        let line = format!("Grip-Status: {status}\r\n");
        let (gateway, _, _backend) = site(move |request| match request.target() {
            "/" => Reply::answer("200 OK", &line, "none"),
            _ => Reply::ok("a page"),
        })
        .await;
        let mut conn = Conn::open(&gateway.public).await;
        assert_eq!(conn.ask(get("/")).await.status, status);
        assert_eq!(conn.ask(get("/page")).await.text(), "a page");
        let mut conn = Http2::open(&gateway.public).await;
        let request = http::Request::get("http://site.test/");
        let request = request.body(http_body_util::Full::default()).unwrap();
        let answer = conn.send(request).await.unwrap();
        assert_eq!(answer.head.status, status);
        assert!(answer.whole && answer.body.is_empty(), "{status}");
    }
}
