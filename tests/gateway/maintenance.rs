//! A file that keeps requests from Django while it exists.

use std::fs::{remove_file, write};
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use crate::support::asking::granted;
use crate::support::{Answer, Backend, Conn, EventSource, Gateway, Reply, gateway, get, until};

const BROWSER: &str = "Accept: text/html\r\n";
const LISTENER: &str = "Accept: text/event-stream\r\n";

struct Site {
    gateway: Gateway,
    backend: Backend,
    switch: PathBuf,
    _files: TempDir,
}

/// A site whose switch is on or off when it starts.
async fn site(on: bool, more: &str) -> Site {
    let backend = Backend::start(|request| match request.target() {
        "/asked/" => granted(""),
        _ => Reply::ok("page"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let switch = files.path().join("on");
    let page = files.path().join("503.html");
    write(&page, "<p>we are at it</p>").unwrap();
    if on {
        write(&switch, "").unwrap();
    }
    let text = format!(
        "[errors]\nmaintenance = {{ when_file = \"{}\", page = \"{}\", retry_after = \"90s\" }}\n{more}{}\
         [[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\" }}\n\
         [[route]]\npath = \"/public/\"\nsse = {{ channels = [\"news\"], public = true }}\n\
         [[route]]\npath = \"/old/\"\nredirect = \"/\"\n\
         [[route]]\npath = \"/fixed/\"\nrespond = {{ body = \"fixed\" }}\n{}",
        switch.display(),
        page.display(),
        gateway::upstream(&backend.address, ""),
        gateway::PROXY,
    );
    Site {
        gateway: Gateway::start(&text).await,
        backend,
        switch,
        _files: files,
    }
}

async fn send(gateway: &Gateway, line: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(format!("{line} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"))
        .await
}

#[tokio::test]
async fn what_leads_to_django_is_answered_for_it() {
    let site = site(true, "").await;
    let page = send(&site.gateway, "GET /x", BROWSER).await;
    assert_eq!((page.status, page.text()), (503, "<p>we are at it</p>"));
    assert_eq!(page.header("retry-after"), Some("90"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for line in ["GET /x", "POST /form", "GET /asked/", "POST /asked/"] {
        let answer = send(&site.gateway, line, "Content-Length: 0\r\n").await;
        assert_eq!(answer.status, 503, "{line}");
        assert_eq!(answer.header("retry-after"), Some("90"));
        assert!(answer.text().contains("maintenance"), "{}", answer.text());
    }
    assert_eq!(site.backend.count(), 0);
    let mut publisher = site.gateway.publisher().await;
    assert_eq!(publisher.metric("tidegate_maintenance").await, 1);
}

#[tokio::test]
async fn an_event_source_is_not_switched_off_by_it() {
    let site = site(true, "").await;
    for target in ["/asked/", "/view/"] {
        let answer = send(&site.gateway, &format!("GET {target}"), LISTENER).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let retry = answer.text().strip_prefix("retry:").unwrap();
        let retry: u32 = retry.trim().parse().unwrap();
        // A quarter more or less, so that not everybody comes back at once.
        assert!((67_500..=112_500).contains(&retry), "{retry}");
    }
    assert_eq!(site.backend.count(), 0);
}

#[tokio::test]
async fn what_needs_no_django_goes_on() {
    let site = site(true, "").await;
    let gateway = &site.gateway;
    assert_eq!(get(&gateway.public, "/fixed/").await.text(), "fixed");
    assert_eq!(get(&gateway.public, "/old/").await.status, 308);
    let mut stream = EventSource::open(&gateway.public, "/public/").await;
    let mut publisher = gateway.publisher().await;
    publisher
        .publish(json!({"channel": "news", "data": "still here"}))
        .await;
    assert_eq!(stream.data(1).await, ["still here"]);
}

#[tokio::test]
async fn the_file_is_noticed_when_it_comes_and_goes() {
    let site = site(false, "").await;
    let status = async || get(&site.gateway.public, "/x").await.status;
    assert_eq!(status().await, 200);
    let mut open = EventSource::open(&site.gateway.public, "/asked/").await;
    write(&site.switch, "").unwrap();
    until("maintenance begins", async || status().await == 503).await;
    // Whoever listens already goes on to hear.
    let mut publisher = site.gateway.publisher().await;
    publisher
        .publish(json!({"channel": "news", "data": "on"}))
        .await;
    assert_eq!(open.data(1).await, ["on"]);
    remove_file(&site.switch).unwrap();
    until("maintenance ends", async || status().await == 200).await;
    assert_eq!(publisher.metric("tidegate_maintenance").await, 0);
}
