//! Django is told who comes on which channel and who leaves it: signed, in order, until it has heard.

use std::time::Duration;

use serde_json::Value;
use tidegate::wire::webhook::Secret;

use crate::support::{Backend, EventSource, Gateway, Publisher, Reply, Request, gateway, until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATH: &str = "/notified/";

/// A Django that grants `/events/{channel}/{user}` and answers what it is told as `heard` says.
fn django(
    heard: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| {
        if request.target() == PATH {
            return heard(request);
        }
        let mut parts = request.target().split('/').skip(2);
        let (channel, user) = (parts.next().unwrap(), parts.next().unwrap());
        let user = match user {
            "" => String::new(),
            user => format!("SSE-User: {user}\r\n"),
        };
        Reply::answer("200 OK", &format!("SSE-Channel: {channel}\r\n{user}"), "")
    }
}

fn no_content(_: &Request) -> Reply {
    Reply::raw("HTTP/1.1 204 No Content\r\n\r\n")
}

fn unavailable(_: &Request) -> Reply {
    Reply::answer("503 Service Unavailable", "", "busy")
}

async fn site(leave_after: &str, backend: &Backend) -> (Gateway, Publisher) {
    site_with("", leave_after, backend).await
}

async fn site_with(server: &str, leave_after: &str, backend: &Backend) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&file(server, leave_after, backend)).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

fn file(server: &str, leave_after: &str, backend: &Backend) -> String {
    format!(
        "[server]\n{server}\n[sse]\nretry = \"3s\"\nnotify = \"{PATH}\"\nnotify_secret = \"{SECRET}\"\n\
         leave_after = \"{leave_after}\"\n{}[[route]]\npath = \"/events/<path:rest>\"\nsse = {{ ask = \"django\" }}\n{}",
        gateway::upstream(&backend.address, "retry_for = \"0s\""),
        gateway::PROXY,
    )
}

/// The requests that told something.
fn requests(backend: &Backend) -> Vec<Request> {
    backend.seen(|log| {
        let told = log.requests.iter();
        told.filter(|request| request.target() == PATH)
            .cloned()
            .collect()
    })
}

fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn words(request: &Request) -> Vec<String> {
    let body = json(request);
    let changes = body["changes"].as_array().unwrap().iter();
    let words = changes.map(|change| {
        let words = ["type", "channel", "user"].map(|key| change[key].as_str());
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    words.collect()
}

/// All that was told so far; what was told again under the same id counts once.
fn told(backend: &Backend) -> Vec<String> {
    let mut requests = requests(backend);
    requests.dedup_by_key(|request| request.header("webhook-id").unwrap().to_owned());
    requests.iter().flat_map(words).collect()
}

async fn until_told(backend: &Backend, expected: &[&str]) {
    until(&format!("{expected:?} to be told"), async || {
        told(backend).len() >= expected.len()
    })
    .await;
    assert_eq!(told(backend), expected);
}

#[tokio::test]
async fn a_batch_is_signed_and_bears_the_headers_of_any_request_to_django() {
    let backend = Backend::start(django(no_content)).await;
    let hosts = "hosts = [\"*\", \"site.test\"]";
    let (gateway, mut publisher) = site_with(hosts, "10s", &backend).await;
    let _source = EventSource::open(&gateway.public, "/events/room/42").await;
    until_told(&backend, &["reset", "in-use room", "joined room 42"]).await;
    for request in requests(&backend) {
        assert_eq!(request.line(), format!("POST {PATH}"));
        for (name, value) in [
            ("host", "site.test"),
            ("content-type", "application/json"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "site.test"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!(request.header("x-request-id").unwrap().len(), 32);
        let id = request.header("webhook-id").unwrap();
        assert_eq!(json(&request)["id"], id);
        let timestamp = request.header("webhook-timestamp").unwrap();
        let signed =
            Secret::parse(SECRET)
                .unwrap()
                .sign(id, timestamp.parse().unwrap(), &request.body);
        assert_eq!(request.header("webhook-signature"), Some(&*signed));
    }
    until("the metrics", async || {
        publisher.metric("tidegate_notify_changes_total").await == 3
    })
    .await;
    assert_eq!(publisher.metric("tidegate_notify_pending").await, 0);
}

#[tokio::test]
async fn who_leaves_is_told_after_a_while_and_the_channel_is_empty_then() {
    let backend = Backend::start(django(no_content)).await;
    let (gateway, _publisher) = site("0s", &backend).await;
    let here = EventSource::open(&gateway.public, "/events/room/1").await;
    let anonymous = EventSource::open(&gateway.public, "/events/lobby/").await;
    until("them to be told", async || told(&backend).len() == 4).await;
    assert!(told(&backend).contains(&"in-use lobby".to_owned()));
    assert_eq!(requests(&backend)[0].header("host"), Some("localhost"));
    drop(here);
    until("the leaving", async || told(&backend).len() == 6).await;
    assert_eq!(told(&backend)[4..], ["left room 1", "empty room"]);
    drop(anonymous);
    until("the other leaving", async || told(&backend).len() == 7).await;
    assert_eq!(told(&backend)[6..], ["empty lobby"]);
}

#[tokio::test]
async fn a_page_reload_makes_no_noise() {
    let backend = Backend::start(django(no_content)).await;
    let (gateway, mut publisher) = site("1h", &backend).await;
    let mut source = EventSource::open(&gateway.public, "/events/room/1").await;
    until_told(&backend, &["reset", "in-use room", "joined room 1"]).await;
    for _ in 0..3 {
        drop(source);
        until("its leaving is noted", async || {
            publisher.metric("tidegate_notify_pending").await == 2
        })
        .await;
        source = EventSource::open(&gateway.public, "/events/room/1").await;
        assert_eq!(publisher.metric("tidegate_notify_pending").await, 0);
    }
    let _other = EventSource::open(&gateway.public, "/events/room/2").await;
    let expected = ["reset", "in-use room", "joined room 1", "joined room 2"];
    until_told(&backend, &expected).await;
}

#[tokio::test]
async fn what_django_has_not_heard_is_told_again_under_its_id_and_the_rest_after_it() {
    let backend = Backend::start(django(unavailable)).await;
    let (gateway, mut publisher) = site("0s", &backend).await;
    backend.request(0).await;
    let one = EventSource::open(&gateway.public, "/events/room/1").await;
    let two = EventSource::open(&gateway.public, "/events/room/2").await;
    drop(two);
    until("two is forgotten", async || {
        publisher.metric("tidegate_notify_pending").await == 2
    })
    .await;
    until("a second try", async || requests(&backend).len() >= 2).await;
    backend.script(django(no_content));
    until_told(&backend, &["reset", "in-use room", "joined room 1"]).await;
    let requests = requests(&backend);
    let (first, last) = (&requests[0], requests.last().unwrap());
    let again = &requests[..requests.len() - 1];
    for request in again {
        assert_eq!(request.header("webhook-id"), first.header("webhook-id"));
        assert_eq!(request.body, first.body);
        assert_eq!(words(request), ["reset"]);
    }
    assert_ne!(last.header("webhook-id"), first.header("webhook-id"));
    until("the metrics", async || {
        publisher.metric("tidegate_notify_changes_total").await == 3
    })
    .await;
    let refused = "tidegate_notify_batches_total{outcome=\"refused\"}";
    assert_eq!(publisher.metric(refused).await, again.len() as u64 - 1);
    drop(one);
}

#[tokio::test]
async fn a_django_that_is_away_and_a_redirect_are_told_again() {
    let redirect = |_: &Request| Reply::answer("301 Moved", "Location: https://site.test/\r\n", "");
    let mut backend = Backend::start(django(redirect)).await;
    let (_gateway, mut publisher) = site("0s", &backend).await;
    until("the redirect", async || requests(&backend).len() == 1).await;
    backend.down().await;
    let away = "tidegate_notify_batches_total{outcome=\"unanswered\"}";
    until("no answer", async || publisher.metric(away).await >= 1).await;
    backend.script(django(|_| Reply::default().reset()));
    backend.up();
    let before = requests(&backend).len();
    until("a reset", async || requests(&backend).len() > before).await;
    backend.script(django(no_content));
    until("to be heard", async || {
        publisher.metric("tidegate_notify_changes_total").await == 1
    })
    .await;
    assert_eq!(told(&backend), ["reset"]);
}

#[tokio::test]
async fn the_end_of_the_gateway_is_nobodys_leaving_and_the_next_begins_anew() {
    let backend = Backend::start(django(no_content)).await;
    let (gateway, _publisher) = site_with("drain_spread = \"300ms\"", "0s", &backend).await;
    let mut sources = Vec::new();
    for user in 0..9 {
        let target = format!("/events/room/{user}");
        sources.push(EventSource::open(&gateway.public, &target).await);
    }
    until("all to be told", async || told(&backend).len() == 11).await;
    gateway.drain().await;
    assert_eq!(told(&backend).len(), 11, "{:?}", told(&backend));
    let (_next, _publisher) = site("0s", &backend).await;
    until("the next life", async || told(&backend).len() == 12).await;
    assert_eq!(told(&backend)[11], "reset");
    let ids: Vec<_> = requests(&backend)
        .iter()
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect();
    let life = |id: &str| id.split_once('-').unwrap().0.to_owned();
    assert_ne!(life(&ids[0]), life(ids.last().unwrap()));
}

#[tokio::test]
async fn at_the_end_what_is_due_is_tried_once_more_and_no_longer() {
    let backend = Backend::start(django(unavailable)).await;
    let (gateway, mut publisher) = site("0s", &backend).await;
    let refused = "tidegate_notify_batches_total{outcome=\"refused\"}";
    until("a refusal", async || publisher.metric(refused).await >= 1).await;
    let tries = requests(&backend).len();
    gateway.stop().await;
    // One try may have begun by itself meanwhile.
    let more = requests(&backend).len() - tries;
    assert!((1..=2).contains(&more), "{more} more tries");
    assert_eq!(told(&backend), ["reset"]);
}

#[tokio::test]
async fn what_django_hears_at_the_end_is_all_that_is_due() {
    let backend = Backend::start(django(unavailable)).await;
    let (gateway, mut publisher) = site("0s", &backend).await;
    let refused = "tidegate_notify_batches_total{outcome=\"refused\"}";
    until("a refusal", async || publisher.metric(refused).await >= 1).await;
    backend.script(django(no_content));
    gateway.stop().await;
    assert_eq!(told(&backend), ["reset"]);
}

#[tokio::test]
async fn a_django_that_hangs_does_not_hold_up_the_end() {
    let backend = Backend::start(django(|_| Reply::hang())).await;
    let (gateway, _publisher) = site("0s", &backend).await;
    backend.request(0).await;
    assert!(gateway.stop().await < Duration::from_secs(10));
}

#[tokio::test]
async fn after_a_reload_it_is_told_by_the_new_name() {
    let backend = Backend::start(django(no_content)).await;
    let hosts = |first: &str| format!("hosts = [\"{first}\", \"site.test\"]");
    let (gateway, _publisher) = site_with(&hosts("old.test"), "10s", &backend).await;
    let _first = EventSource::open(&gateway.public, "/events/room/1").await;
    until_told(&backend, &["reset", "in-use room", "joined room 1"]).await;
    let told = requests(&backend);
    assert_eq!(told.last().unwrap().header("host"), Some("old.test"));

    let server = format!("{}\n[log]\nrequest_id = \"x-trace\"", hosts("new.test"));
    let reloaded = gateway.reload(&file(&server, "10s", &backend)).await;
    let changed = reloaded.unwrap().changed;
    assert_eq!(changed, ["server.hosts", "log.request_id"]);
    let _second = EventSource::open(&gateway.public, "/events/room/2").await;
    let all = ["reset", "in-use room", "joined room 1", "joined room 2"];
    until_told(&backend, &all).await;
    let told = requests(&backend);
    let newest = told.last().unwrap();
    for name in ["host", "x-forwarded-host"] {
        assert_eq!(newest.header(name), Some("new.test"), "{name}");
    }
    assert!(newest.header("x-trace").is_some());
}
