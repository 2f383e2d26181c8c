//! Pages of other origins: what they may read is said by the route's own rules, or else by Django.

use crate::support::asking::granted;
use crate::support::{Answer, Backend, Conn, EventSource, Gateway, Reply, gateway, until};

const APP: &str = "Origin: https://app.test\r\n";
const STRANGER: &str = "Origin: https://stranger.test\r\n";
const DJANGO: &str =
    "Access-Control-Allow-Origin: *\r\nAccess-Control-Max-Age: 5\r\nVary: Cookie\r\n";

/// Public and asked routes with rules, one that has other rules, and one whose view says it all.
async fn site(
    script: impl Fn(&crate::support::Request) -> Reply + Send + Sync + 'static,
) -> (Gateway, Backend) {
    let backend = Backend::start(script).await;
    let rules = "cors = { origins = [\"https://app.test\"], credentials = true }";
    let text = format!(
        "[sse]\nper_ip = 2\n{}\
         [[route]]\npath = \"/public/\"\nsse = {{ channels = [\"news\"], public = true, {rules} }}\n\
         [[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\", backend_down = \"fail\", {rules} }}\n\
         [[route]]\npath = \"/any/\"\nsse = {{ channels = [\"news\"], public = true, cors = {{ origins = [\"*\"] }} }}\n\
         [[route]]\npath = \"/copied/\"\nsse = {{ ask = \"django\" }}\n{}",
        gateway::upstream(&backend.address, ""),
        gateway::PROXY,
    );
    (Gateway::start(&text).await, backend)
}

async fn send(gateway: &Gateway, method: &str, target: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    let request = format!("{method} {target} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n");
    conn.send(request).await;
    match method {
        "HEAD" => conn.head().await,
        method => conn.answer_to(method).await,
    }
}

/// Its `Access-Control-*` headers, but for their common beginning, and `Vary`, sorted.
fn cors(answer: &Answer) -> Vec<String> {
    let mut lines: Vec<_> = answer
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("access-control-") {
                Some(rest) => Some(format!("{rest}: {value}")),
                None if name == "vary" => Some(format!("vary: {value}")),
                None => None,
            }
        })
        .collect();
    lines.sort();
    lines
}

const ALLOWED: [&str; 4] = [
    "allow-credentials: true",
    "allow-origin: https://app.test",
    "expose-headers: SSE-Stream",
    "vary: Origin",
];

#[tokio::test]
async fn every_answer_of_a_route_with_rules_carries_them() {
    let (gateway, _backend) = site(|request| match request.header("cookie") {
        None => granted(DJANGO),
        Some(status) => Reply::answer(status, DJANGO, "no"),
    })
    .await;
    let mut publisher = gateway.publisher().await;
    let with_cookie = [&ALLOWED[..3], &["vary: Cookie", "vary: Origin"]].concat();
    for status in [
        "204 No Content",
        "401 Unauthorized",
        "403 Forbidden",
        "503 Unavailable",
    ] {
        let lines = format!("{APP}Cookie: {status}\r\n");
        let answer = send(&gateway, "GET", "/asked/", &lines).await;
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(cors(&answer), with_cookie, "{status}");
        let stranger = format!("{STRANGER}Cookie: {status}\r\n");
        let answer = send(&gateway, "GET", "/asked/", &stranger).await;
        assert_eq!(cors(&answer), ["vary: Cookie", "vary: Origin"], "{status}");
    }
    // A redirect to the login becomes a 401.
    let answer = send(
        &gateway,
        "GET",
        "/asked/",
        &format!("{APP}Cookie: 302 Found\r\n"),
    )
    .await;
    assert_eq!(
        (answer.status, cors(&answer)),
        (401, with_cookie.iter().map(ToString::to_string).collect())
    );
    let first = EventSource::open_with(&gateway.public, "/asked/", APP).await;
    assert_eq!(cors(&first.head), with_cookie);
    let second = EventSource::open_with(&gateway.public, "/public/", APP).await;
    assert_eq!(cors(&second.head), ALLOWED);
    let refused = send(&gateway, "GET", "/public/", APP).await;
    assert_eq!(
        (refused.status, cors(&refused)),
        (429, ALLOWED.map(str::to_owned).into())
    );
    drop(first);
    until("a place is free", async || publisher.streams().await == 1).await;
    let stranger = EventSource::open_with(&gateway.public, "/public/", STRANGER).await;
    assert_eq!(cors(&stranger.head), ["vary: Origin"]);
    drop((second, stranger));
    until("no stream", async || publisher.streams().await == 0).await;
    // What the route does not know is refused to be read, not refused in the dark.
    let refused = send(&gateway, "DELETE", "/public/", APP).await;
    assert_eq!(
        (refused.status, cors(&refused)),
        (405, ALLOWED.map(str::to_owned).into())
    );
    // Who has seen the end is told so.
    let closed = publisher
        .publish(serde_json::json!({"channel": "news", "data": "end", "close": true}))
        .await;
    let last = format!("{APP}Last-Event-ID: {}\r\n", closed["id"].as_str().unwrap());
    let over = send(&gateway, "GET", "/public/", &last).await;
    assert_eq!(
        (over.status, cors(&over)),
        (204, ALLOWED.map(str::to_owned).into())
    );
}

#[tokio::test]
async fn an_unreachable_django_is_told_to_pages_of_other_origins_too() {
    let (gateway, _backend) = site(|_| Reply::default().reset()).await;
    let answer = send(&gateway, "GET", "/asked/", APP).await;
    assert_eq!(
        (answer.status, cors(&answer)),
        (502, ALLOWED.map(str::to_owned).into())
    );
}

#[tokio::test]
async fn a_preflight_is_answered_here_and_opens_nothing() {
    let (gateway, backend) = site(|_| granted(DJANGO)).await;
    let mut publisher = gateway.publisher().await;
    let ask =
        "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    for (target, methods) in [("/public/", "GET, HEAD"), ("/asked/", "GET, HEAD, POST")] {
        let answer = send(&gateway, "OPTIONS", target, &format!("{APP}{ask}")).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(
            cors(&answer),
            [
                "allow-credentials: true",
                "allow-headers: Authorization, Cache-Control, Content-Type, Last-Event-ID, X-CSRFToken, X-Requested-With",
                &format!("allow-methods: {methods}"),
                "allow-origin: https://app.test",
                "max-age: 600",
                "vary: Origin",
            ]
        );
        let stranger = send(&gateway, "OPTIONS", target, &format!("{STRANGER}{ask}")).await;
        assert_eq!(
            (stranger.status, cors(&stranger)),
            (204, vec!["vary: Origin".to_owned()])
        );
    }
    let any = send(&gateway, "OPTIONS", "/any/", &format!("{STRANGER}{ask}")).await;
    assert_eq!(any.header("access-control-allow-origin"), Some("*"));
    assert_eq!(any.header("access-control-allow-credentials"), None);
    assert_eq!((publisher.streams().await, backend.count()), (0, 0));
    // OPTIONS that is no preflight goes where it went before.
    assert_eq!(send(&gateway, "OPTIONS", "/public/", APP).await.status, 405);
    assert_eq!(send(&gateway, "OPTIONS", "/asked/", APP).await.status, 200);
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn without_rules_django_says_who_may_read() {
    let (gateway, backend) = site(|_| granted(DJANGO)).await;
    let source = EventSource::open_with(&gateway.public, "/copied/", APP).await;
    let expected = ["allow-origin: *", "max-age: 5", "vary: Cookie"];
    assert_eq!(cors(&source.head), expected);
    let ask = format!("{APP}Access-Control-Request-Method: GET\r\n");
    let preflight = send(&gateway, "OPTIONS", "/copied/", &ask).await;
    assert_eq!(
        (preflight.status, cors(&preflight)),
        (200, expected.map(str::to_owned).into())
    );
    assert_eq!(backend.count(), 2);
    // A page that is only passed on has no rules of ours.
    let page = send(&gateway, "GET", "/page", APP).await;
    assert_eq!(cors(&page), expected);
}

#[tokio::test]
async fn what_django_says_of_readers_comes_with_the_end_of_a_channel_too() {
    let (gateway, _backend) = site(|_| granted(DJANGO)).await;
    let mut publisher = gateway.publisher().await;
    let closing = serde_json::json!({"channel": "news", "data": "bye", "close": true});
    let id = publisher.publish(closing).await["id"].clone();
    let lines = format!("{APP}Last-Event-ID: {}\r\n", id.as_str().unwrap());
    let over = send(&gateway, "GET", "/copied/", &lines).await;
    assert_eq!(over.status, 204);
    assert_eq!(
        cors(&over),
        ["allow-origin: *", "max-age: 5", "vary: Cookie"]
    );
}
