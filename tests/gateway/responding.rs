//! Answers without Django, and what of a path Django is not told.

use crate::support::http2::Http2;
use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway, get};

async fn site(routes: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|request| Reply::ok(request.line())).await;
    let text = format!(
        "{}{routes}{}",
        gateway::upstream(&backend.address, ""),
        gateway::PROXY
    );
    (Gateway::start(&text).await, backend)
}

async fn send(gateway: &Gateway, method: &str, target: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"
    ))
    .await;
    match method {
        "HEAD" => conn.head().await,
        method => conn.answer_to(method).await,
    }
}

#[tokio::test]
async fn a_fixed_answer_is_as_the_file_says() {
    let (gateway, backend) = site(
        "[[route]]\npath = \"/security.txt\"\nrespond = { body = \"Contact: ä\\n\" }\n\
         [[route]]\npath = \"/gone/<path:rest>\"\n\
         respond = { status = 410, type = \"application/json\", body = \"{}\", headers = { Cache-Control = \"max-age=60\", X-Robots-Tag = \"none\" } }\n\
         [[route]]\npath = \"/empty\"\nrespond = { status = 204 }\n",
    )
    .await;
    let answer = send(&gateway, "GET", "/security.txt?x", "").await;
    assert_eq!((answer.status, answer.text()), (200, "Contact: ä\n"));
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));
    let head = send(&gateway, "HEAD", "/security.txt", "").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("12"))
    );
    let gone = send(&gateway, "POST", "/gone/x/y", "Content-Length: 0\r\n").await;
    assert_eq!((gone.status, gone.text()), (410, "{}"));
    assert_eq!(gone.header("content-type"), Some("application/json"));
    assert_eq!(gone.header("cache-control"), Some("max-age=60"));
    assert_eq!(gone.header("x-robots-tag"), Some("none"));
    let empty = send(&gateway, "GET", "/empty", "").await;
    assert_eq!((empty.status, empty.header("content-type")), (204, None));
    assert_eq!(backend.count(), 0);
}

/// RFC 9113, section 8.1.1: a client takes an answer to HEAD that has a body for a broken one.
#[tokio::test]
async fn nothing_follows_the_head_that_was_asked_for_over_http2() {
    let (gateway, _backend) = site(
        "[[route]]\npath = \"/security.txt\"\nrespond = { body = \"Contact: a\\n\" }\n\
         [[route]]\npath = \"/files/<path:file>\"\nstatic = { root = \"/nowhere\" }\n",
    )
    .await;
    let mut conn = Http2::open(&gateway.public).await;
    for (target, status) in [("/security.txt", 200), ("/files/x", 500), ("/%2e", 400)] {
        let request = http::Request::head(format!("http://site.test{target}"));
        let request = request.body(http_body_util::Full::default()).unwrap();
        let answer = conn.send(request).await.unwrap();
        assert_eq!(answer.head.status, status, "{target}");
        assert!(answer.body.is_empty(), "{target}");
        assert!(answer.whole, "{target}");
        assert!(
            answer.head.headers.contains_key("content-length"),
            "{target}"
        );
    }
}

#[tokio::test]
async fn django_sees_the_path_without_its_prefix() {
    let (gateway, backend) = site(
        "[[route]]\npath = \"/api/<path:rest>\"\nproxy = { to = \"django\", strip = \"/api\" }\n\
         [[route]]\npath = \"/one/two\"\nproxy = { to = \"django\", strip = \"/one/two/\" }\n",
    )
    .await;
    for (target, seen) in [
        ("/api/", "GET /"),
        ("/api/items/?a=1%20", "GET /items/?a=1%20"),
        ("/api/api/x", "GET /api/x"),
        // The rest stays as it was written.
        ("/%61pi/%C3%A4%20", "GET /%C3%A4%20"),
        ("/one/two", "GET /"),
        // Whole segments only: this is another route.
        ("/apis/x", "GET /apis/x"),
    ] {
        let answer = get(&gateway.public, target).await;
        assert_eq!((answer.status, answer.text()), (200, seen), "{target}");
    }
    let before = backend.count();
    // What is left of these would be read as the name of a host.
    for target in ["/api//evil.test/", "/api///x"] {
        assert_eq!(get(&gateway.public, target).await.status, 404, "{target}");
    }
    assert_eq!(backend.count(), before);
}

#[tokio::test]
async fn what_is_stripped_comes_back_for_websockets_and_bodies() {
    let (gateway, backend) = site(
        "[[route]]\npath = \"/api/<path:rest>\"\nproxy = { to = \"django\", strip = \"/api\" }\n",
    )
    .await;
    let mut conn = Conn::open(&gateway.public).await;
    let posted = conn
        .ask("POST /api/x HTTP/1.1\r\nHost: site.test\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_eq!(posted.text(), "POST /x");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    send(&gateway, "GET", "/api/ws/", upgrade).await;
    assert_eq!(backend.request(1).await.line(), "GET /ws/");
}
