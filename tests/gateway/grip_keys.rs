//! Sites that share a gateway: the key of each opens its own channels at the control endpoint, and no other's.

use serde_json::{Value, json};

use crate::support::grip::{item, next, stream};
use crate::support::{Answer, Backend, EventSource, Gateway, Publisher};

const LINK: &str = "Grip-Link: </next>; rel=next\r\n";
const TOKENS: &str = "[publish]\ntokens = [{ name = \"all\", secret = \"token\" }]\n";

/// Django of one site.
async fn django(name: &'static str) -> Backend {
    Backend::start(move |request| match request.target().rsplit('/').next() {
        Some("next") => stream("room; prev-id=2", LINK, &format!("data: {name} again\n\n")),
        _ => stream("room; prev-id=1", LINK, &format!("data: {name}\n\n")),
    })
    .await
}

/// Two of them before one gateway, each with its `grip`.
async fn sites(
    (one, first): (&Backend, &str),
    (other, second): (&Backend, &str),
    more: &str,
) -> (Gateway, Publisher) {
    let site = |name: &str, backend: &Backend, grip: &str| {
        format!(
            "[upstream.{name}]\nservers = [\"{}\"]\ngrip = {grip}\n\
             [[route]]\npath = \"/{name}/<path:rest>\"\nproxy = \"{name}\"\n",
            backend.address
        )
    };
    let text = format!(
        "{}{}{more}",
        site("one", one, first),
        site("other", other, second)
    );
    let gateway = Gateway::start(&text).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

async fn post(publisher: &mut Publisher, target: &str, key: &str, items: &[Value]) -> Answer {
    let lines = format!("Authorization: Bearer {key}\r\n");
    let body = json!({ "items": items }).to_string();
    let body = if target == "/recover/" { "" } else { &body };
    publisher
        .request("POST", target, &lines, body.as_bytes())
        .await
}

#[tokio::test]
async fn the_items_of_a_site_reach_no_other() {
    let (one, other) = (django("one").await, django("other").await);
    let grip = [
        "{ key = \"key-one\", prefix = \"one-\" }",
        "{ key = \"key-other\", prefix = \"other-\" }",
    ];
    for more in [TOKENS, ""] {
        let (gateway, mut publisher) = sites((&one, grip[0]), (&other, grip[1]), more).await;
        let mut first = EventSource::open(&gateway.public, "/one/events").await;
        let mut second = EventSource::open(&gateway.public, "/other/events").await;
        assert_eq!(first.data(1).await, ["one"]);
        assert_eq!(second.data(1).await, ["other"]);
        let forged = [
            next("one-room", 2, "data: good\n\n"),
            next("other-room", 2, "data: forged\n\n"),
        ];
        let refused = post(&mut publisher, "/publish/", "key-one", &forged).await;
        assert_eq!(refused.status, 403, "{more}");
        let unnamed = [item("room", "data: nobody's\n\n")];
        let refused = post(&mut publisher, "/publish/", "key-one", &unnamed).await;
        assert_eq!(refused.status, 403, "{more}");
        for (key, channel, content) in [
            ("key-one", "one-room", "data: from one\n\n"),
            ("key-other", "other-room", "data: from other\n\n"),
        ] {
            let items = [next(channel, 2, content)];
            let answer = post(&mut publisher, "/publish/", key, &items).await;
            assert_eq!((answer.status, answer.text()), (200, "Published\n"));
        }
        assert_eq!(first.data(1).await, ["from one"]);
        assert_eq!(second.data(1).await, ["from other"]);
    }
}

#[tokio::test]
async fn a_site_has_only_its_own_streams_ask_anew() {
    let (one, other) = (django("one").await, django("other").await);
    let grip = [
        "{ key = \"key-one\", prefix = \"one-\" }",
        "{ key = \"key-other\", prefix = \"other-\" }",
    ];
    let (gateway, mut publisher) = sites((&one, grip[0]), (&other, grip[1]), TOKENS).await;
    let mut first = EventSource::open(&gateway.public, "/one/events").await;
    let mut second = EventSource::open(&gateway.public, "/other/events").await;
    assert_eq!(first.data(1).await, ["one"]);
    assert_eq!(second.data(1).await, ["other"]);
    let answer = post(&mut publisher, "/recover/", "key-one", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "Updated\n"));
    assert_eq!(first.data(1).await, ["one again"]);
    // What comes later is there, and Django was asked once for it.
    let items = [next("other-room", 2, "data: live\n\n")];
    post(&mut publisher, "/publish/", "key-other", &items).await;
    assert_eq!(second.data(1).await, ["live"]);
    assert_eq!((one.count(), other.count()), (2, 1));
    let answer = post(&mut publisher, "/recover/", "token", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(second.data(1).await, ["other again"]);
}

#[tokio::test]
async fn without_prefixes_and_with_one_key_everything_is_as_ever() {
    let (one, other) = (django("one").await, django("other").await);
    for (grip, channels) in [
        (["{ key = \"key\" }"; 2], ["room", "room"]),
        (
            [
                "{ key = \"key\", prefix = \"one-\" }",
                "{ key = \"key\", prefix = \"other-\" }",
            ],
            ["one-room", "other-room"],
        ),
        (
            ["{ key = \"key\" }", "{ key = \"another\" }"],
            ["room", "room"],
        ),
    ] {
        let (gateway, mut publisher) = sites((&one, grip[0]), (&other, grip[1]), TOKENS).await;
        let mut first = EventSource::open(&gateway.public, "/one/events").await;
        let mut second = EventSource::open(&gateway.public, "/other/events").await;
        let items = channels.map(|channel| next(channel, 2, "data: live\n\n"));
        let answer = post(&mut publisher, "/publish/", "key", &items).await;
        assert_eq!(answer.status, 200);
        assert_eq!(first.data(2).await, ["one", "live"]);
        assert_eq!(second.data(2).await, ["other", "live"]);
    }
}
