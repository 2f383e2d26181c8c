//! What a browser is shown in place of our own text.

use std::fs::write;

use tempfile::TempDir;

use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

async fn site() -> (Gateway, Backend, TempDir) {
    let backend = Backend::start(|request| match request.target() {
        "/broken/" => Reply::raw("nonsense\r\n\r\n").close(),
        _ => Reply::answer("404 Not Found", "Content-Type: text/plain\r\n", "Django's"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    write(path("404.html"), "<p>nothing here</p>").unwrap();
    write(path("502.html"), "<p>back söon</p>").unwrap();
    let text = format!(
        "[errors]\npages = {{ 404 = \"{}\", 502 = \"{}\" }}\n{}\
         [[route]]\npath = \"/live/\"\nsse = {{ channels = [\"news\"], public = true }}\n\
         [[route]]\npath = \"/site/<path:rest>\"\nproxy = \"django\"\n\
         [[route]]\npath = \"/broken/\"\nproxy = \"django\"\n",
        path("404.html"),
        path("502.html"),
        gateway::upstream(&backend.address, ""),
    );
    (Gateway::start(&text).await, backend, files)
}

async fn send(gateway: &Gateway, line: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(format!("{line} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"))
        .await;
    conn.answer_to(line.split(' ').next().unwrap()).await
}

#[tokio::test]
async fn a_browser_is_shown_the_page_of_the_status() {
    let (gateway, _backend, _files) = site().await;
    let answer = send(&gateway, "GET /broken/", BROWSER).await;
    assert_eq!((answer.status, answer.text()), (502, "<p>back söon</p>"));
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-request-id").is_some());
    let answer = send(&gateway, "GET /nowhere", BROWSER).await;
    assert_eq!((answer.status, answer.text()), (404, "<p>nothing here</p>"));
    let head = send(&gateway, "HEAD /nowhere", BROWSER).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (404, Some("19"))
    );
}

#[tokio::test]
async fn others_are_told_the_request_id() {
    let (gateway, _backend, _files) = site().await;
    for lines in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json\r\n",
        "Accept: text/html, text/event-stream\r\n",
    ] {
        let answer = send(&gateway, "GET /broken/", lines).await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("request id: "), "{lines}");
    }
    // A status without a page.
    let answer = send(&gateway, "DELETE /live/", BROWSER).await;
    assert_eq!(answer.status, 405);
    assert!(answer.text().contains("request id: "));
}

#[tokio::test]
async fn an_answer_of_django_is_left_alone() {
    let (gateway, _backend, _files) = site().await;
    let answer = send(&gateway, "GET /site/x", BROWSER).await;
    assert_eq!((answer.status, answer.text()), (404, "Django's"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
}
