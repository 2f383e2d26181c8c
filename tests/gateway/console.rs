//! The console: one page at `/` of an internal listener, and what a browser may do by it.

use serde_json::json;

use crate::support::documented;
use crate::support::publishing::{JSON, ROUTES, site};
use crate::support::{Answer, Conn, EventSource, Gateway};

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
const TOKENS: &str = "[publish]\ntokens = [{ name = \"all\", secret = \"one\" }]\n";
const SAME: &str = "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n";

/// All fields but the date, in the order of their names.
fn fields(answer: &Answer) -> Vec<(String, String)> {
    let mut fields = answer.headers.clone();
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    fields.sort_unstable();
    fields
}

#[tokio::test]
async fn a_browser_is_shown_a_page_that_can_do_little_beside_asking() {
    for keys in ["", TOKENS] {
        let (gateway, mut publisher) = site(keys).await;
        let page = publisher.request("GET", "/", HTML, b"").await;
        assert_eq!(page.status, 200);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), Some(value), "{name}");
        }
        let policy = page.header("content-security-policy").unwrap();
        let rules: Vec<_> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(rules.contains(&rule), "{rule}: {policy}");
        }
        assert!(page.text().starts_with("<!doctype html>"));
        // Who cannot show a token yet needs the page to be asked for one, wherever the link to it was.
        for from in ["none", "same-origin", "cross-site"] {
            let lines = format!("{HTML}Sec-Fetch-Site: {from}\r\nSec-Fetch-Mode: navigate\r\n");
            let again = publisher.request("GET", "/", &lines, b"").await;
            assert_eq!((again.status, again.body), (200, page.body.clone()));
        }
        let head = publisher.request("HEAD", "/", HTML, b"").await;
        assert_eq!((head.status, fields(&head)), (200, fields(&page)));
        drop(gateway);
    }
}

#[tokio::test]
async fn a_browser_keeps_the_page_as_long_as_it_is_the_same() {
    let (gateway, mut publisher) = site("").await;
    let page = publisher.request("GET", "/", HTML, b"").await;
    let etag = page.header("etag").unwrap();
    for (known, status) in [
        (etag.to_owned(), 304),
        (format!("\"x\", W/{etag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        (etag.trim_matches('"').to_owned(), 200),
    ] {
        let lines = format!("{HTML}If-None-Match: {known}\r\n");
        for method in ["GET", "HEAD"] {
            let answer = publisher.request(method, "/", &lines, b"").await;
            assert_eq!(answer.status, status, "{method} {known}");
            for name in ["etag", "cache-control", "content-security-policy"] {
                assert_eq!(answer.header(name), page.header(name), "{name}");
            }
        }
    }
    // It has no date, so none is compared.
    let dated = format!("{HTML}If-Modified-Since: Sun, 06 Nov 2033 08:49:37 GMT\r\n");
    assert_eq!(publisher.request("GET", "/", &dated, b"").await.status, 200);
    drop(gateway);
}

/// What the console asks, with bodies that are good.
fn calls() -> [(&'static str, &'static str, &'static str); 10] {
    [
        ("GET", "/v1/stats", ""),
        ("GET", "/v1/channels", ""),
        ("GET", "/v1/streams", ""),
        ("GET", "/v1/channels/news/events", ""),
        ("GET", "/v1/channels/news/streams", ""),
        ("GET", "/metrics", ""),
        ("POST", "/v1/events", r#"{"channel":"news","data":"x"}"#),
        ("POST", "/v1/kick", r#"{"channel":"nobody"}"#),
        ("POST", "/v1/reload", ""),
        ("DELETE", "/v1/channels/nobody", ""),
    ]
}

/// The statuses of all calls, on a connection each, with these lines.
async fn statuses(gateway: &Gateway, host: &str, lines: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, target, body) in calls() {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{JSON}{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Conn::open(&gateway.internal).await.ask(request).await;
        documented::check(method, target, &answer);
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{method} {target}"
        );
        for (name, _) in &answer.headers {
            let is_grant = name.to_ascii_lowercase().starts_with("access-control-");
            assert!(!is_grant, "{method} {target}: {name}");
        }
        statuses.push(answer.status);
    }
    statuses
}

#[tokio::test]
async fn without_tokens_the_page_may_do_everything_and_no_other_page_anything() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let all = calls().len();
    for (host, lines) in [
        ("localhost", SAME),
        ("localhost", "Sec-Fetch-Site: same-origin\r\n"),
        (
            "127.0.0.1:9090",
            "Sec-Fetch-Site: same-origin\r\nOrigin: http://127.0.0.1:9090\r\n",
        ),
    ] {
        let statuses = statuses(&gateway, host, lines).await;
        assert_eq!(statuses, vec![200; all], "{host} {lines}");
    }
    assert_eq!(source.data(3).await, ["x"; 3]);
    for (host, lines) in [
        ("localhost:9090", "Origin: http://localhost:8000\r\n"),
        (
            "localhost:9090",
            "Sec-Fetch-Site: same-site\r\nOrigin: http://localhost:8000\r\n",
        ),
        (
            "localhost:9090",
            "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost:8000\r\n",
        ),
        ("localhost", "Sec-Fetch-Site: same-site\r\n"),
        ("localhost", "Sec-Fetch-Site: cross-site\r\n"),
        (
            "localhost",
            "Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n",
        ),
        (
            "localhost",
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: same-origin\r\n",
        ),
        (
            "localhost",
            "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\nOrigin: http://localhost\r\n",
        ),
        (
            "rebound.test",
            "Sec-Fetch-Site: same-origin\r\nOrigin: http://rebound.test\r\n",
        ),
        ("rebound.test", "Sec-Fetch-Site: same-origin\r\n"),
        ("rebound.test", ""),
    ] {
        let statuses = statuses(&gateway, host, lines).await;
        assert_eq!(statuses, vec![403; all], "{host} {lines}");
    }
    publisher.text("news", "last").await;
    assert_eq!(source.data(1).await, ["last"], "nothing came in between");
}

#[tokio::test]
async fn the_address_bar_opens_what_is_made_to_be_read() {
    let (gateway, mut publisher) = site("").await;
    let typed = "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n";
    for (method, target, status) in [
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/stats", 403),
        ("GET", "/v1/streams", 403),
        ("GET", "/v1/tap", 403),
        ("POST", "/v1/reload", 403),
    ] {
        let answer = publisher.request(method, target, typed, b"").await;
        assert_eq!(answer.status, status, "{method} {target}");
    }
    let fetched = "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: cors\r\n";
    let answer = publisher.request("GET", "/metrics", fetched, b"").await;
    assert_eq!(answer.status, 403);
    drop(gateway);
}

#[tokio::test]
async fn with_tokens_a_page_needs_one_and_nothing_else() {
    let (gateway, _) = site(TOKENS).await;
    let bearer = "Authorization: Bearer one\r\n";
    for lines in [SAME, "Sec-Fetch-Site: same-origin\r\n", ""] {
        let open = statuses(&gateway, "gate.test", lines).await;
        for ((_, target, _), status) in calls().into_iter().zip(open) {
            assert_eq!(status == 200, target == "/metrics", "{target}: {status}");
        }
        let lines = format!("{lines}{bearer}");
        let shown = statuses(&gateway, "gate.test", &lines).await;
        assert_eq!(shown, vec![200; calls().len()]);
    }
}

#[tokio::test]
async fn no_page_of_another_origin_is_told_that_it_may_show_a_token() {
    for keys in ["", TOKENS] {
        let (gateway, mut publisher) = site(keys).await;
        for target in ["/", "/v1/stats", "/v1/events", "/v1/kick"] {
            let lines = "Origin: http://localhost:8000\r\nSec-Fetch-Site: same-site\r\n\
                         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
            let answer = publisher.request("OPTIONS", target, lines, b"").await;
            assert_eq!(answer.status, 405, "{target}");
            let head = answer.head.to_ascii_lowercase();
            assert!(!head.contains("access-control-"), "{head}");
        }
        drop(gateway);
    }
}

#[tokio::test]
async fn without_the_console_no_page_may_call() {
    let gateway = Gateway::start(&format!("[console]\nenabled = false\n{ROUTES}")).await;
    let lines = format!("{HTML}{SAME}");
    let mut publisher = gateway.publisher().await;
    // The document has no such path then, and neither has the gateway.
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let answer = Conn::open(&gateway.internal).await.ask(request).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (404, &json!("not-found"))
    );
    let refused = statuses(&gateway, "localhost", SAME).await;
    assert_eq!(refused, vec![403; calls().len()]);
    assert_eq!(publisher.get("/v1/stats").await.status, 200);
}
