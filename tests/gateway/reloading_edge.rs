//! A reload of what stands around the routes: requests and connections that come after it go by the new.

use std::fs::write;

use crate::support::{Backend, Conn, Gateway, Reply, gateway};

async fn before(backend: &Backend, tables: &str) -> Gateway {
    Gateway::start(&file(backend, tables)).await
}

fn file(backend: &Backend, tables: &str) -> String {
    format!("{tables}\n{}", gateway::everything_to(&backend.address, ""))
}

#[tokio::test]
async fn whom_and_what_a_request_is_known_by_is_another_on_an_open_connection_too() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = before(&backend, "").await;
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Trace: theirs\r\n\r\n";
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask(request).await.status, 200);
    let tables = "[trust]\nproxies = [\"127.0.0.1\"]\n[log]\nrequest_id = \"x-trace\"";
    let reloaded = gateway.reload(&file(&backend, tables)).await.unwrap();
    assert_eq!(reloaded.changed, ["trust", "log.request_id"]);
    assert_eq!(conn.ask(request).await.status, 200);
    gateway.reload(&file(&backend, "")).await.unwrap();
    assert_eq!(conn.ask(request).await.status, 200);
    for (number, client, has_id) in [
        (0, "127.0.0.1", true),
        (1, "203.0.113.9", false),
        (2, "127.0.0.1", true),
    ] {
        let seen = backend.request(number).await;
        assert_eq!(seen.header("x-real-ip"), Some(client));
        assert_eq!(seen.header("x-request-id").is_some(), has_id, "{number}");
        assert_eq!(seen.header("x-trace"), Some("theirs"));
    }
}

#[tokio::test]
async fn a_client_may_have_fewer_connections_and_keeps_those_it_has() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = before(&backend, "").await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut old = Conn::open(&gateway.public).await;
    assert_eq!(old.ask(request).await.status, 200);
    let one = file(&backend, "[limits]\nconnections = 1");
    let reloaded = gateway.reload(&one).await.unwrap();
    assert_eq!(reloaded.changed, ["limits.connections"]);
    // Those of before were not counted.
    let mut first = Conn::open(&gateway.public).await;
    assert_eq!(first.ask(request).await.status, 200);
    let mut second = Conn::open(&gateway.public).await;
    second.ending().await;
    assert_eq!(old.ask(request).await.status, 200);
    gateway.reload(&file(&backend, "")).await.unwrap();
    let mut third = Conn::open(&gateway.public).await;
    assert_eq!(third.ask(request).await.status, 200);
}

#[tokio::test]
async fn headers_pages_and_maintenance_are_others_at_once() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = before(&backend, "").await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    write(path("page.html"), "<p>one</p>").unwrap();
    write(path("on"), "").unwrap();
    let tables = format!(
        "[headers]\nset = {{ X-Frame-Options = \"DENY\" }}\n[errors]\npages = {{ 503 = \"{}\" }}\n\
         maintenance = {{ when_file = \"{}\" }}",
        path("page.html"),
        path("on"),
    );
    let request = "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n";
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask(request).await.status, 200);
    let tables = file(&backend, &tables);
    let reloaded = gateway.reload(&tables).await.unwrap();
    assert_eq!(
        reloaded.changed,
        ["headers", "errors.pages", "errors.maintenance"]
    );
    let answer = conn.ask(request).await;
    assert_eq!((answer.status, answer.text()), (503, "<p>one</p>"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    // What a page says is read with the file.
    write(path("page.html"), "<p>two</p>").unwrap();
    let reloaded = gateway.reload(&tables).await.unwrap();
    assert!(reloaded.changed.contains(&"errors.pages".to_owned()));
    assert_eq!(conn.ask(request).await.text(), "<p>two</p>");
    gateway.reload(&file(&backend, "")).await.unwrap();
    let answer = conn.ask(request).await;
    assert_eq!(
        (answer.status, answer.header("x-frame-options")),
        (200, None)
    );
}
