//! Maintenance while streams are open: they live on, and what the gateway would ask Django for them waits until it is over.

use std::fs::{remove_file, write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::grip::{item, next, poll, stream};
use crate::support::recording::says;
use crate::support::{
    Backend, Conn, EventSource, Gate, Gateway, Publisher, Reply, Request, gateway, get, pass, until,
};

const LINK: &str = "Grip-Link: </next>; rel=next\r\n";

/// A gateway with a switch.
struct Site {
    gateway: Gateway,
    publisher: Publisher,
    backend: Backend,
    switch: PathBuf,
    _files: TempDir,
}

impl Site {
    async fn start(keys: &str, routes: &str, backend: Backend) -> Self {
        let files = tempfile::tempdir().unwrap();
        let switch = files.path().join("on");
        let text = format!(
            "[errors]\nmaintenance = {{ when_file = \"{}\", retry_after = \"90s\" }}\n{}{routes}{}",
            switch.display(),
            gateway::upstream(&backend.address, keys),
            gateway::PROXY,
        );
        let gateway = Gateway::start(&text).await;
        let publisher = gateway.publisher().await;
        Self {
            gateway,
            publisher,
            backend,
            switch,
            _files: files,
        }
    }

    /// Whose answers to GET may be held.
    async fn held(reply: Reply) -> Self {
        let backend = Backend::start(move |request| match request.line() {
            "GET /next" => stream("c; prev-id=2", LINK, "data: 2\n\n"),
            "GET /page" | "POST /gone" => Reply::ok(""),
            _ => reply.clone(),
        })
        .await;
        Self::start("grip = { link_every = \"50ms\" }", "", backend).await
    }

    async fn open(&self, target: &str) -> EventSource {
        EventSource::open(&self.gateway.public, target).await
    }

    /// Maintenance begins; how many requests there were by then.
    async fn begin(&self) -> usize {
        write(&self.switch, "").unwrap();
        until("maintenance begins", async || {
            get(&self.gateway.public, "/page").await.status == 503
        })
        .await;
        // What is under way arrives.
        pass(Duration::from_millis(100)).await;
        self.backend.count()
    }

    /// Nothing is asked for longer than anything here waits for.
    async fn is_left_alone_since(&self, count: usize) {
        pass(Duration::from_millis(1500)).await;
        let lines = self.backend.seen(|log| {
            let since = log.requests.iter().skip(count);
            since.map(|r| r.line().to_owned()).collect::<Vec<_>>()
        });
        assert!(lines.is_empty(), "{lines:?}");
    }

    async fn end(&self) {
        remove_file(&self.switch).unwrap();
    }

    /// The request after so many.
    async fn asked_after(&self, count: usize) -> String {
        self.backend.request(count).await.line().to_owned()
    }
}

#[tokio::test]
async fn links_wait_and_items_pass() {
    let mut site = Site::held(stream("c", LINK, "data: 1\n\n")).await;
    site.backend.script(|request| match request.target() {
        "/page" => Reply::ok(""),
        "/next" => stream("c", LINK, ""),
        _ => stream("c", LINK, "data: 1\n\n"),
    });
    let mut source = site.open("/events").await;
    assert_eq!(source.data(1).await, ["1"]);
    site.backend
        .until("links", |log| log.requests.len() > 2)
        .await;
    let count = site.begin().await;
    site.publisher.items(&[item("c", "data: passes\n\n")]).await;
    assert_eq!(source.data(1).await, ["passes"]);
    site.is_left_alone_since(count).await;
    site.publisher
        .items(&[item("c", "data: as well\n\n")])
        .await;
    assert_eq!(source.data(1).await, ["as well"]);
    site.end().await;
    assert_eq!(site.asked_after(count).await, "GET /next");
}

#[tokio::test]
async fn what_is_missing_is_asked_for_afterwards() {
    let lines = "Grip-Link: </next>; rel=next; timeout=3600\r\nGrip-Keep-Alive: :\\n\\n; format=cstring; timeout=1\r\n";
    let mut site = Site::held(stream("c; prev-id=1", lines, "data: 1\n\n")).await;
    let mut source = site.open("/events").await;
    assert_eq!(source.data(1).await, ["1"]);
    let count = site.begin().await;
    // Nobody knows of 2 yet.
    let third = json!({
        "channel": "c", "id": "3", "prev-id": "2", "no-seq": true, "http-stream": {"content": "data: 3\n\n"},
    });
    site.publisher.items(&[third]).await;
    site.is_left_alone_since(count).await;
    source.heartbeats(1).await;
    site.end().await;
    assert_eq!(source.data(2).await, ["2", "3"]);
    assert_eq!(site.asked_after(count).await, "GET /next");
    let metric = "tidegate_links_followed_total{outcome=\"refused\"}";
    assert_eq!(site.publisher.metric(metric).await, 0, "none was in vain");
    site.publisher.items(&[next("c", 4, "data: 4\n\n")]).await;
    assert_eq!(source.data(1).await, ["4"]);
}

#[tokio::test]
async fn who_misses_nothing_does_not_wait_behind_those_who_do() {
    let gate = Gate::new();
    let hanging = gate.clone();
    let backend = Backend::start(move |request| {
        let next = |more| format!("Grip-Link: </next{}>; rel=next{more}\r\n", request.target());
        match request.target() {
            "/page" => Reply::ok(""),
            "/c" => stream("c", &next(""), "data: 1\n\n"),
            "/next/a" => Reply::raw(format!(
                "HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: /a; prev-id=2\r\n{}Content-Length: 9\r\n\r\n",
                next("; timeout=3600")
            ))
            .wait(&hanging)
            .then("data: 2\n\n"),
            name => stream(&format!("{name}; prev-id=1"), &next("; timeout=3600"), "data: 1\n\n"),
        }
    })
    .await;
    let grip = "grip = { link_every = \"50ms\", links_at_once = 1 }";
    let mut site = Site::start(grip, "", backend).await;
    let mut sources = Vec::new();
    for name in ["/a", "/b"] {
        let mut source = site.open(name).await;
        assert_eq!(source.data(1).await, ["1"]);
        let third = json!({
            "channel": name, "id": "3", "prev-id": "2", "no-seq": true, "http-stream": {"content": "data: 3\n\n"},
        });
        site.publisher.items(&[third]).await;
        if sources.is_empty() {
            site.backend.request(1).await;
        }
        sources.push(source);
    }
    // Its turn comes, and it is the next after that of `/b`.
    let mut quiet = site.open("/c").await;
    assert_eq!(quiet.data(1).await, ["1"]);
    pass(Duration::from_millis(300)).await;
    let count = site.begin().await;
    gate.open();
    assert_eq!(sources[0].data(2).await, ["2", "3"]);
    site.publisher.items(&[item("c", "data: passes\n\n")]).await;
    assert_eq!(quiet.data(1).await, ["passes"]);
    site.end().await;
    let is_asked = |request: &Request| request.line() == "GET /next/b";
    site.backend
        .until("the other link", |log| {
            log.requests.iter().skip(count).any(is_asked)
        })
        .await;
}

#[tokio::test]
async fn a_poll_that_would_be_asked_again_is_told_to_come_back() {
    let mut site = Site::held(poll("c", "", "nothing")).await;
    let mut conn = Conn::open(&site.gateway.public).await;
    conn.send("GET /poll HTTP/1.1\r\nHost: site.test\r\n\r\n")
        .await;
    until("it waits", async || site.publisher.streams().await == 1).await;
    let count = site.begin().await;
    let hint = json!({"channel": "c", "http-response": {"action": "hint"}});
    site.publisher.items(&[hint]).await;
    let answer = conn.answer().await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("90"))
    );
    assert_eq!(site.backend.count(), count);
}

#[tokio::test]
async fn a_poll_gets_what_is_published_all_the_same() {
    let mut site = Site::held(poll("c", "", "nothing")).await;
    let mut conn = Conn::open(&site.gateway.public).await;
    conn.send("GET /poll HTTP/1.1\r\nHost: site.test\r\n\r\n")
        .await;
    until("it waits", async || site.publisher.streams().await == 1).await;
    site.begin().await;
    let item = json!({"channel": "c", "http-response": {"body": "something"}});
    site.publisher.items(&[item]).await;
    assert_eq!(conn.answer().await.text(), "something");
}

#[tokio::test]
async fn that_a_client_has_left_is_told_afterwards() {
    let gone = "Grip-Link: </gone>; rel=gone\r\n";
    let site = Site::held(stream("c", gone, "data: 1\n\n")).await;
    let mut source = site.open("/events").await;
    assert_eq!(source.data(1).await, ["1"]);
    let count = site.begin().await;
    drop(source);
    site.is_left_alone_since(count).await;
    site.end().await;
    assert_eq!(site.asked_after(count).await, "POST /gone");
}

#[tokio::test]
async fn a_permission_that_runs_out_is_asked_for_afterwards() {
    let backend = Backend::start(|request| match request.target() {
        "/asked/" => {
            let lines = "SSE-Channel: news\r\nSSE-Expires: 1\r\n";
            Reply::answer("200 OK", lines, "")
        }
        _ => Reply::ok(""),
    })
    .await;
    let route = "[[route]]\npath = \"/asked/\"\nsse = { ask = \"django\", heartbeat = \"50ms\" }\n";
    let mut site = Site::start("", route, backend).await;
    let mut source = site.open("/asked/").await;
    let count = site.begin().await;
    site.is_left_alone_since(count).await;
    site.publisher.text("news", "later").await;
    pass(Duration::from_millis(200)).await;
    // Nobody has said that it may still be heard.
    let metric = "tidegate_events_delivered_total";
    assert_eq!(site.publisher.metric(metric).await, 0);
    source.heartbeats(3).await;
    site.end().await;
    assert_eq!(source.data(1).await, ["later"]);
    assert_eq!(site.asked_after(count).await, "GET /asked/");
}

#[tokio::test]
async fn a_view_that_broke_off_is_asked_again_afterwards() {
    let backend = Backend::start(|request| match request.target() {
        "/view/" if request.header("last-event-id").is_some() => {
            says("id: 2\ndata: 2\n\n").then_hang()
        }
        "/view/" => says("id: 1\ndata: 1\n\n").then_hang(),
        _ => Reply::ok(""),
    })
    .await;
    let route =
        "[[route]]\npath = \"/view/\"\nproxy = { to = \"django\", record = { per = \"all\" } }\n";
    let mut site = Site::start("", route, backend).await;
    let mut source = site.open("/view/").await;
    assert_eq!(source.data(1).await, ["1"]);
    let count = site.begin().await;
    site.backend.down().await;
    site.backend.up();
    site.is_left_alone_since(count).await;
    site.end().await;
    assert_eq!(source.data(1).await, ["2"]);
    assert_eq!(site.asked_after(count).await, "GET /view/");
}

#[tokio::test]
async fn who_comes_and_leaves_is_told_afterwards() {
    let backend = Backend::start(|request| match request.target() {
        "/asked/" => Reply::answer("200 OK", "SSE-Channel: news\r\nSSE-User: 42\r\n", ""),
        _ => Reply::ok(""),
    })
    .await;
    let route = "[[route]]\npath = \"/asked/\"\nsse = { ask = \"django\" }\n\
                 [sse]\nnotify = \"/notified/\"\nleave_after = \"0s\"\n\
                 notify_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    let site = Site::start("", route, backend).await;
    let source = site.open("/asked/").await;
    site.backend
        .until("that it came", |log| {
            let mut told = log.requests.iter().filter(|r| r.target() == "/notified/");
            told.any(|request| String::from_utf8_lossy(&request.body).contains("42"))
        })
        .await;
    let count = site.begin().await;
    drop(source);
    site.is_left_alone_since(count).await;
    site.end().await;
    assert_eq!(site.asked_after(count).await, "POST /notified/");
}
