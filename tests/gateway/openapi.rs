//! `/openapi.json` and what is served are the same: every operation, status, code and field, and none else.
//!
//! Here every documented answer is provoked; that no other ever comes is checked in all tests, by `support::documented`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::documented::{self, DOCUMENT, operations};
use crate::support::publishing::{JSON, Lines};
use crate::support::{Backend, Conn, EventSource, Gate, Gateway, Publisher, Reply, until, within};

const SITE: &str = "[limits]\nbody = \"8KiB\"\n[publish]\nmax_event = \"1KiB\"\nndjson_idle = \"200ms\"\n\
    tokens = [{ name = \"all\", secret = \"one\" }, { name = \"some\", secret = \"two\", channels = [\"room-*\"] },\n\
    { name = \"slow\", secret = \"three\", rate = \"1/m\" }]\n\
    [sse]\nhistory = { events = 3 }\n\
    [[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";

/// Nobody needs a token.
const OPEN: &str =
    "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";

const TYPED: &str = "Content-Type: application/json\r\nAuthorization: Bearer one\r\n";
const LIMITED: &str = "Content-Type: application/json\r\nAuthorization: Bearer two\r\n";
const SLOW: &str = "Content-Type: application/json\r\nAuthorization: Bearer three\r\n";

const PICKY: &str = "Authorization: Bearer one\r\nAccept: image/png\r\n";
const ITEM: &str = r#"{"items":[{"channel":"c","http-stream":{"content":"x"}}]}"#;

/// Path, verb, status, and for a refusal its code.
type Told = (String, String, u16, Option<String>);

/// Everything the document says can be answered.
fn promised() -> BTreeSet<Told> {
    let mut promised = BTreeSet::new();
    for ((path, verb), operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let status = status.parse().unwrap();
            let codes = response
                .pointer("/content/application~1problem+json/schema/allOf/1/properties/code/enum");
            let codes = codes.map_or_else(
                || vec![None],
                |codes| {
                    let code = |code: &Value| Some(code.as_str().unwrap().to_owned());
                    codes.as_array().unwrap().iter().map(code).collect()
                },
            );
            for code in codes {
                promised.insert((path.to_owned(), verb.to_owned(), status, code));
            }
        }
    }
    promised
}

struct Seen(BTreeSet<Told>);

impl Seen {
    async fn ask(
        &mut self,
        publisher: &mut Publisher,
        method: &str,
        target: &str,
        lines: &str,
        body: &str,
    ) {
        let answer = publisher
            .request(method, target, lines, body.as_bytes())
            .await;
        let ((path, verb), code) = documented::check(method, target, &answer).unwrap();
        self.0
            .insert((path.to_owned(), verb.to_owned(), answer.status, code));
    }
}

/// Requests that together get every answer of the gateway that `SITE` describes.
fn requests(ids: &[String], long: &str) -> Vec<(&'static str, String, &'static str, String)> {
    let news = "/v1/channels/news";
    let history = |after: &str| format!("{news}/events?after={after}");
    let event = |data: &str| json!({"channel": "news", "data": data}).to_string();
    let mut requests: Vec<(&str, String, &str, String)> = [
        ("GET", "/", "", ""),
        ("GET", "/", "If-None-Match: *\r\n", ""),
        ("POST", "/publish/", TYPED, r#"{"items":[]}"#),
        ("POST", "/publish/", TYPED, "{}"),
        ("POST", "/publish/", PICKY, r#"{"items":[]}"#),
        ("POST", "/publish/", LIMITED, ITEM),
        ("POST", "/publish/", SLOW, ITEM),
        ("POST", "/publish/", SLOW, ITEM),
        ("POST", "/recover/", TYPED, ""),
        ("POST", "/recover/", PICKY, ""),
        ("POST", "/recover/", LIMITED, ""),
        ("GET", "/healthz", "", ""),
        ("GET", "/readyz", "", ""),
        ("GET", "/metrics", "", ""),
        ("GET", "/v1/stats", TYPED, ""),
        ("POST", "/v1/reload", TYPED, ""),
        ("POST", "/v1/reload", LIMITED, ""),
        ("POST", "/v1/reload?x", TYPED, ""),
        ("GET", "/openapi.json", TYPED, ""),
        ("GET", "/v1/channels?match=news", TYPED, ""),
        (
            "GET",
            "/v1/streams?user=1&channel=a&channel=b&route=x&limit=1",
            TYPED,
            "",
        ),
        ("GET", "/v1/channels/news/streams", TYPED, ""),
        ("GET", "/v1/channels/news/events?limit=2", TYPED, ""),
        ("POST", "/v1/kick", TYPED, r#"{"channel":"nobody"}"#),
        ("DELETE", "/v1/channels/nobody", TYPED, ""),
        (
            "POST",
            "/v1/channels/news/events?event=e&id=i&retry=1&keep=last&close=0&user=1",
            TYPED,
            "x",
        ),
        ("GET", "/v1/streams", LIMITED, ""),
        ("GET", "/v1/channels/news/streams", LIMITED, ""),
        ("GET", "/v1/channels/news/events", LIMITED, ""),
        ("POST", "/v1/channels/news/events", LIMITED, "x"),
        ("DELETE", "/v1/channels/news", LIMITED, ""),
        ("POST", "/v1/kick", LIMITED, r#"{"user":1}"#),
        ("POST", "/v1/events", TYPED, "{"),
        ("POST", "/v1/events", TYPED, "{}"),
        ("POST", "/v1/events?x", TYPED, "{}"),
        (
            "POST",
            "/v1/events",
            "Content-Type: text/plain\r\nAuthorization: Bearer one\r\n",
            "x",
        ),
        ("POST", "/v1/kick", TYPED, "{"),
        ("POST", "/v1/kick", TYPED, "{}"),
        ("POST", "/v1/kick?x", TYPED, "{}"),
        (
            "POST",
            "/v1/kick",
            "Content-Type: text/plain\r\nAuthorization: Bearer one\r\n",
            "x",
        ),
        ("POST", "/v1/channels/news/events?x", TYPED, "x"),
        (
            "POST",
            "/v1/channels/news/events",
            "Content-Encoding: gzip\r\nAuthorization: Bearer one\r\n",
            "x",
        ),
        ("DELETE", "/v1/channels/news?x", TYPED, ""),
        ("GET", "/v1/channels/news/events?x", TYPED, ""),
        ("GET", "/v1/channels/news/streams?x", TYPED, ""),
        ("GET", "/v1/channels?x", TYPED, ""),
        ("GET", "/v1/streams?x", TYPED, ""),
        ("GET", "/v1/stats?x", TYPED, ""),
        ("GET", "/v1/tap?x", TYPED, ""),
        ("GET", "/openapi.json?x", TYPED, ""),
        ("GET", "/v1/channels/a%20b/events", TYPED, ""),
        ("POST", "/v1/channels/a%20b/events", TYPED, ""),
        ("GET", "/v1/channels/a%20b/streams", TYPED, ""),
        ("DELETE", "/v1/channels/a%20b", TYPED, ""),
    ]
    .map(|(method, target, lines, body)| (method, target.to_owned(), lines, body.to_owned()))
    .into();
    requests.extend([
        ("GET", history(&ids[0]), TYPED, String::new()),
        ("POST", "/v1/events".to_owned(), TYPED, event("one")),
        (
            "POST",
            "/v1/events".to_owned(),
            TYPED,
            format!("[{},{}]", event("one"), event("two")),
        ),
        ("POST", "/v1/events".to_owned(), TYPED, event(long)),
        ("POST", format!("{news}/events"), TYPED, long.to_owned()),
        ("POST", "/v1/kick".to_owned(), TYPED, long.repeat(5)),
        ("POST", "/v1/events".to_owned(), LIMITED, event("one")),
        ("POST", "/v1/events".to_owned(), SLOW, event("one")),
        ("POST", format!("{news}/events"), SLOW, "x".to_owned()),
    ]);
    for ((path, verb), operation) in operations() {
        if operation["security"] != json!([]) && path != "/v1/tap" {
            let method = if verb == "get" {
                "GET"
            } else if verb == "post" {
                "POST"
            } else {
                "DELETE"
            };
            requests.push((
                method,
                path.replace("{channel}", "news"),
                JSON,
                String::new(),
            ));
        }
    }
    requests
}

#[tokio::test]
async fn every_documented_answer_is_given() {
    let gateway = Gateway::start(SITE).await;
    let mut seen = Seen(BTreeSet::new());
    let mut publisher = gateway.publisher().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let body = json!({"channel": "news", "data": number}).to_string();
        let answer = publisher
            .request("POST", "/v1/events", TYPED, body.as_bytes())
            .await;
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    let _listener = EventSource::open(&gateway.public, "/events/").await;
    for (method, target, lines, body) in requests(&ids, &"x".repeat(1025)) {
        seen.ask(&mut publisher, method, &target, lines, &body)
            .await;
    }
    for (target, body) in [("/v1/events", "[]"), ("/v1/channels/news/events", "x")] {
        let lines = format!("{TYPED}Idempotency-Key: {}\r\n", target.len());
        seen.ask(&mut publisher, "POST", target, &lines, body).await;
        let other = format!("{body} ");
        seen.ask(&mut publisher, "POST", target, &lines, &other)
            .await;
        // Two requests in the same instant: whether any test meets it is chance, see `publish::idempotency`.
        let ((path, verb), _) = documented::operation("POST", target).unwrap();
        let code = Some("idempotency-in-progress".to_owned());
        seen.0.insert((path.to_owned(), verb.to_owned(), 409, code));
    }
    for (path, head) in [
        ("/v1/events", "POST /v1/events"),
        (
            "/v1/channels/{channel}/events",
            "POST /v1/channels/a/events",
        ),
        ("/v1/kick", "POST /v1/kick"),
    ] {
        let answer = broken_off(&gateway, head).await;
        assert_eq!(answer, "bad-request", "{path}");
        seen.0
            .insert((path.to_owned(), "post".to_owned(), 400, Some(answer)));
    }
    gateway.write("[mistake");
    seen.ask(&mut publisher, "POST", "/v1/reload", TYPED, "")
        .await;
    taps(&gateway, &mut seen).await;
    web_pages(&mut seen).await;
    not_ready(&mut seen).await;
    lines_that_do_not_end(&gateway, &mut seen).await;
    let promised = promised();
    let missing: Vec<_> = promised.difference(&seen.0).collect();
    let surplus: Vec<_> = seen.0.difference(&promised).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "not given: {missing:#?}\nnot documented: {surplus:#?}"
    );
}

/// The code of the answer to a request whose body is no body.
async fn broken_off(gateway: &Gateway, head: &str) -> String {
    let request =
        format!("{head} HTTP/1.1\r\nHost: a\r\n{TYPED}Transfer-Encoding: chunked\r\n\r\nZZ\r\n");
    let answer = Conn::open(&gateway.internal).await.ask(request).await;
    let (method, target) = head.split_once(' ').unwrap();
    let (_, code) = documented::check(method, target, &answer).unwrap();
    code.unwrap()
}

/// A stream of lines that stops coming, and one that is there when the gateway ends.
async fn lines_that_do_not_end(gateway: &Gateway, seen: &mut Seen) {
    let bearer = "Authorization: Bearer one\r\n";
    let silent = Lines::open(&gateway.internal, "", bearer).await;
    let ending = Gateway::start(OPEN).await;
    let mut lines = Lines::open(&ending.internal, "", "").await;
    lines
        .piece("{\"channel\":\"news\",\"data\":\"begun\"}\n")
        .await;
    let mut publisher = ending.publisher().await;
    until("its first line", async || {
        let page = publisher.get("/v1/channels/news/events").await.json();
        page["events"][0]["data"] == "begun"
    })
    .await;
    ending.stop().await;
    for answer in [silent.answer().await, lines.answer().await] {
        let (name, code) = documented::check("POST", "/v1/events", &answer).unwrap();
        seen.0
            .insert((name.0.to_owned(), name.1.to_owned(), answer.status, code));
    }
}

/// One tap, without a token too, and one too many.
async fn taps(gateway: &Gateway, seen: &mut Seen) {
    let mut told = |status, code: Option<&str>| {
        let code = code.map(str::to_owned);
        seen.0
            .insert(("/v1/tap".to_owned(), "get".to_owned(), status, code));
    };
    let bearer = "Authorization: Bearer one\r\n";
    let mut taps = Vec::new();
    let refused = loop {
        match EventSource::try_open(&gateway.internal, "/v1/tap", bearer).await {
            Ok(tap) => taps.push(tap),
            Err(answer) => break answer,
        }
    };
    assert_eq!(taps.len(), 16);
    told(200, None);
    for answer in [
        refused,
        EventSource::try_open(&gateway.internal, "/v1/tap", "")
            .await
            .err()
            .unwrap(),
    ] {
        let (_, code) = documented::check("GET", "/v1/tap", &answer).unwrap();
        told(answer.status, code.as_deref());
    }
}

/// Without tokens, a web page is refused everything but health.
async fn web_pages(seen: &mut Seen) {
    let gateway = Gateway::start(OPEN).await;
    let mut publisher = gateway.publisher().await;
    for ((path, verb), operation) in operations() {
        let target = path.replace("{channel}", "news");
        let method = verb.to_ascii_uppercase();
        let status = if operation["responses"]["403"].is_null() {
            200
        } else {
            403
        };
        let answer = publisher
            .request(&method, &target, "Origin: http://a\r\n", b"")
            .await;
        assert_eq!(answer.status, status, "{method} {target}");
        seen.ask(&mut publisher, &method, &target, "Origin: http://a\r\n", "")
            .await;
    }
}

/// A gateway that ends is alive, but not ready.
async fn not_ready(seen: &mut Seen) {
    let gate = Gate::new();
    let reply = Reply::ok("").after(&gate);
    let backend = Backend::start(move |_| reply.clone()).await;
    let gateway = Gateway::before(&backend.address, "[server]\ndrain = \"15s\"\n").await;
    let mut publisher = gateway.publisher().await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    backend.request(0).await;
    let mut ending = tokio::task::JoinSet::new();
    ending.spawn(gateway.drain());
    until("readyz says no", async || {
        publisher.get("/readyz").await.status == 503
    })
    .await;
    seen.ask(&mut publisher, "GET", "/readyz", "", "").await;
    seen.ask(&mut publisher, "POST", "/v1/reload", "", "").await;
    gate.open();
    conn.answer().await;
    within("the end", ending.join_next())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_method_is_served_exactly_where_it_is_documented() {
    let gateway = Gateway::start(SITE).await;
    let mut publisher = gateway.publisher().await;
    let paths = DOCUMENT["paths"].as_object().unwrap();
    for (path, item) in paths {
        let target = path.replace("{channel}", "news");
        let mut allowed = Vec::new();
        for method in ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"] {
            // Without a token, so that nothing happens but what decides this.
            let answer = publisher.request(method, &target, "", b"").await;
            let key = if method == "HEAD" {
                "get"
            } else {
                &method.to_ascii_lowercase()
            };
            let documented = item.get(key).is_some();
            assert_eq!(
                answer.status != 405,
                documented,
                "{method} {path}: {}",
                answer.status
            );
            if documented {
                allowed.push(method);
            }
        }
        let refused = publisher.request("PUT", &target, "", b"").await;
        assert_eq!(
            refused.header("allow"),
            Some(&*allowed.join(", ")),
            "{path}"
        );
        assert_eq!(refused.json()["code"], "method-not-allowed");
    }
    for path in [
        "/publish/x",
        "/v1",
        "/v1/",
        "/v1/channel",
        "/v1/kick/42",
        "/openapi",
        "/openapi.json/",
    ] {
        let answer = publisher.get(path).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &json!("not-found")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_document_is_served_to_whoever_has_a_token() {
    let gateway = Gateway::start(SITE).await;
    let mut publisher = gateway.publisher().await;
    assert_eq!(publisher.get("/openapi.json").await.status, 401);
    let answer = publisher
        .request("GET", "/openapi.json", LIMITED, b"")
        .await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), *DOCUMENT);
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
}

#[tokio::test]
async fn a_reset_of_the_tap_is_as_documented() {
    let reset = json!({"reason": "history"});
    documented::fits(&reset, documented::named("Reset")).unwrap();
    for wrong in [
        json!({}),
        json!({"reason": "else"}),
        json!({"reason": "history", "x": 1}),
        json!(1),
    ] {
        assert!(
            documented::fits(&wrong, documented::named("Reset")).is_err(),
            "{wrong}"
        );
    }
}
