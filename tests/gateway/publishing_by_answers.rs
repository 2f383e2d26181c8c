//! `SSE-Publish`: what a view publishes by the head of its answer.

use serde_json::json;

use crate::support::{Backend, EventSource, Gateway, Publisher, Reply, gateway, get};

async fn site(backend: &Backend, keys: &str) -> (Gateway, Publisher) {
    let text = format!(
        "{}[[route]]\npath = \"/events/\"\nsse = {{ channels = [\"news\"], public = true }}\n\
         [[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\" }}\n{}",
        gateway::upstream(&backend.address, keys),
        gateway::PROXY
    );
    let gateway = Gateway::start(&text).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

/// A backend that says what the query tells it to: `?STATUS&VALUE&VALUE…`, with single quotes for double ones.
async fn view() -> Backend {
    Backend::start(|request| {
        let (_, query) = request.target().split_once('?').unwrap();
        let mut parts = query.split('&');
        let status = parts.next().unwrap();
        let lines: Vec<_> = parts
            .map(|value| format!("SSE-Publish: {}\r\n", value.replace('\'', "\"")))
            .collect();
        Reply::answer(&format!("{status} Status"), &lines.concat(), "body")
    })
    .await
}

#[tokio::test]
async fn the_events_of_an_answer_are_published_in_order_and_never_reach_the_client() {
    let backend = view().await;
    let (gateway, mut publisher) = site(&backend, "publish = true").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    for status in [200, 201, 302] {
        let values = "{'channel':'news','data':1}&[{'channel':'news','data':2},{'channel':'news','user':7,'data':3}]";
        let answer = get(&gateway.public, &format!("/?{status}&{values}")).await;
        assert_eq!(
            (answer.status, answer.header("sse-publish")),
            (status, None)
        );
        assert_eq!(answer.text(), "body");
        assert_eq!(source.data(3).await, ["1", "2", "3"]);
    }
    assert_eq!(
        publisher
            .metric("tidegate_publish_header_mistakes_total")
            .await,
        0
    );
}

#[tokio::test]
async fn an_error_publishes_nothing() {
    let backend = view().await;
    let (gateway, mut publisher) = site(&backend, "publish = true").await;
    for status in [400, 404, 500, 503] {
        let answer = get(
            &gateway.public,
            &format!("/?{status}&{{'channel':'news','data':1}}"),
        )
        .await;
        assert_eq!(
            (answer.status, answer.header("sse-publish")),
            (status, None)
        );
    }
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 0);
}

#[tokio::test]
async fn only_an_upstream_that_may_publishes() {
    let backend = view().await;
    for keys in ["", "publish = false"] {
        let (gateway, mut publisher) = site(&backend, keys).await;
        let answer = get(&gateway.public, "/?200&{'channel':'news','data':1}").await;
        assert_eq!((answer.status, answer.header("sse-publish")), (200, None));
        assert_eq!(publisher.metric("tidegate_events_published_total").await, 0);
    }
}

#[tokio::test]
async fn one_mistake_publishes_nothing_of_the_answer_which_passes_all_the_same() {
    let backend = view().await;
    let (gateway, mut publisher) = site(&backend, "publish = true").await;
    let own = publisher.text("news", "x").await;
    let forged = format!("{{'channel':'news','data':1,'id':'{own}'}}");
    let wrong = [
        "{'chanel':'news','data':1}",
        "{",
        "",
        "{'channel':'news','data':'\u{e9}'}",
        "[{'channel':'news','data':1},{'channel':'a+b','data':1}]",
        &forged,
    ];
    for (count, wrong) in wrong.iter().enumerate() {
        let target = format!("/?200&{{'channel':'news','data':1}}&{wrong}");
        let answer = get(&gateway.public, &target).await;
        assert_eq!((answer.status, answer.text()), (200, "body"), "{wrong}");
        assert_eq!(answer.header("sse-publish"), None);
        let name = "tidegate_publish_header_mistakes_total";
        assert_eq!(publisher.metric(name).await, count as u64 + 1, "{wrong}");
    }
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 1);
}

#[tokio::test]
async fn the_answer_to_an_ask_publishes_nothing_and_is_stripped() {
    let backend = view().await;
    let (gateway, mut publisher) = site(&backend, "publish = true").await;
    let answer = get(&gateway.public, "/asked/?200&{'channel':'news','data':1}").await;
    assert_eq!(
        (answer.text(), answer.header("sse-publish")),
        ("body", None)
    );
    assert_eq!(publisher.metric("tidegate_events_published_total").await, 0);
    assert_eq!(publisher.publish(json!([])).await["published"], 0);
}
