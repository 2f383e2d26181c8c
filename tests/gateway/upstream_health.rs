//! Servers that are away or unwell while another is there: what requests see of it, and how a server comes back.

use crate::support::gateway::servers;
use crate::support::{Backend, Conn, Gateway, Reply, get, until};

const POST: &str = "POST /form HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\n\r\nabc";
const UP: &str = "tidegate_upstream_servers_up{upstream=\"django\"}";
const CHECKED: &str = "balance = \"round-robin\"\n\
    health = { path = \"/healthz/?full=1\", host = \"site.test\", every = \"20ms\", fails = 2, passes = 2 }";

async fn backend(name: &'static str) -> Backend {
    Backend::start(move |_| Reply::ok(name)).await
}

/// Answers checks with this status, and all else with its name.
fn checked(backend: &Backend, name: &'static str, status: &'static str) {
    backend.script(move |request| {
        if request.target() == "/healthz/?full=1" {
            Reply::answer(status, "", "")
        } else {
            Reply::ok(name)
        }
    });
}

async fn servers_up(gateway: &Gateway, count: u64) {
    let mut publisher = gateway.publisher().await;
    until("so many servers are well", async || {
        publisher.metric(UP).await == count
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_fails_no_request_and_comes_back() {
    let (mut one, two) = (backend("one").await, backend("two").await);
    // Nothing is tried again after a pause, so only the next server can have answered.
    let keys = "balance = \"round-robin\"\nretry_for = \"0s\"";
    let gateway = Gateway::before(&servers([&one.address, &two.address]), keys).await;
    for _ in 0..4 {
        assert_eq!(get(&gateway.public, "/").await.status, 200);
    }
    servers_up(&gateway, 2).await;
    one.down().await;
    for number in 0..20 {
        let answer = match number % 2 {
            0 => get(&gateway.public, "/").await,
            _ => Conn::open(&gateway.public).await.ask(POST).await,
        };
        assert_eq!((answer.status, answer.text()), (200, "two"), "{number}");
    }
    servers_up(&gateway, 1).await;
    let before = one.count();
    one.up();
    until("a trial lets it back", async || {
        assert_eq!(get(&gateway.public, "/").await.status, 200);
        one.count() > before
    })
    .await;
    servers_up(&gateway, 2).await;
}

#[tokio::test]
async fn a_request_that_was_sent_goes_on_to_another_server_only_if_it_is_safe() {
    let one = Backend::start(|_| Reply::default().reset()).await;
    let two = backend("two").await;
    let keys = "balance = \"round-robin\"";
    let gateway = Gateway::before(&servers([&one.address, &two.address]), keys).await;
    assert_eq!(get(&gateway.public, "/").await.text(), "two");
    assert_eq!((one.count(), two.count()), (1, 1));

    let two = Backend::start(|_| Reply::default().reset()).await;
    let gateway = Gateway::before(&servers([&one.address, &two.address]), keys).await;
    let answer = Conn::open(&gateway.public).await.ask(POST).await;
    assert_eq!(answer.status, 502);
    assert_eq!(one.count() + two.count(), 2, "sent once");
}

#[tokio::test]
async fn a_server_that_only_resets_is_out_after_three_requests() {
    let one = Backend::start(|_| Reply::default().reset()).await;
    let two = backend("two").await;
    let keys = "balance = \"round-robin\"";
    let gateway = Gateway::before(&servers([&one.address, &two.address]), keys).await;
    until("it is out", async || {
        assert_eq!(get(&gateway.public, "/").await.text(), "two");
        one.count() == 3
    })
    .await;
    servers_up(&gateway, 1).await;
}

#[tokio::test]
async fn pages_that_fail_say_nothing_about_a_server() {
    let one = Backend::start(|_| Reply::answer("500 Internal Server Error", "", "")).await;
    let two = backend("two").await;
    let keys = "balance = \"round-robin\"";
    let gateway = Gateway::before(&servers([&one.address, &two.address]), keys).await;
    for _ in 0..20 {
        get(&gateway.public, "/").await;
    }
    assert_eq!((one.count(), two.count()), (10, 10));
    servers_up(&gateway, 2).await;
}

#[tokio::test]
async fn a_server_whose_checks_fail_gets_no_request_until_they_are_passed() {
    let (one, two) = (backend("one").await, backend("two").await);
    checked(&one, "one", "503 Service Unavailable");
    checked(&two, "two", "302 Found");
    let gateway = Gateway::before(&servers([&one.address, &two.address]), CHECKED).await;
    servers_up(&gateway, 1).await;
    for _ in 0..10 {
        assert_eq!(get(&gateway.public, "/").await.text(), "two");
    }
    let check = one.request(0).await;
    assert_eq!(check.line(), "GET /healthz/?full=1");
    assert_eq!(check.header("host"), Some("site.test"));
    assert_eq!(check.header("x-forwarded-proto"), Some("https"));

    checked(&one, "one", "204 No Content");
    servers_up(&gateway, 2).await;
    let mut texts = vec![];
    for _ in 0..2 {
        texts.push(get(&gateway.public, "/").await.text().to_owned());
    }
    texts.sort();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn while_all_servers_are_out_all_are_tried() {
    let (one, two) = (backend("one").await, backend("two").await);
    for backend in [&one, &two] {
        checked(backend, "page", "500 Internal Server Error");
    }
    let gateway = Gateway::before(&servers([&one.address, &two.address]), CHECKED).await;
    servers_up(&gateway, 0).await;
    for _ in 0..4 {
        assert_eq!(get(&gateway.public, "/").await.text(), "page");
    }
    for backend in [&one, &two] {
        let pages = backend.seen(|log| {
            let pages = log.requests.iter().filter(|r| r.target() == "/");
            pages.count()
        });
        assert_eq!(pages, 2, "and no answer makes up for a check");
    }
    servers_up(&gateway, 0).await;
}

#[tokio::test]
async fn a_check_that_is_not_answered_is_not_passed() {
    let (one, two) = (backend("one").await, backend("two").await);
    one.script(|_| Reply::hang());
    checked(&two, "two", "200 OK");
    let keys = CHECKED.replace("fails = 2", "timeout = \"50ms\", fails = 2");
    let gateway = Gateway::before(&servers([&one.address, &two.address]), &keys).await;
    servers_up(&gateway, 1).await;
    one.until("the check is given up", |log| log.connections[0].closed)
        .await;
}

#[tokio::test]
async fn checks_end_with_the_gateway() {
    let one = backend("one").await;
    one.script(|_| Reply::hang());
    let keys = "health = { path = \"/\", every = \"10ms\", timeout = \"1h\" }";
    let gateway = Gateway::before(&one.address, keys).await;
    one.request(0).await;
    gateway.stop().await;
    one.until("the connection ends", |log| log.connections[0].closed)
        .await;
    assert_eq!(one.count(), 1);
}
