//! What is said of requests to one file.

use clap::Parser as _;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::cli::{Arguments, Command};
use crate::config::{Process, parse};
use crate::wire::headers::strip_request;

fn file(root: &str) -> String {
    format!(
        r#"version = 1
server.hosts = ["site.test"]
trust.proxies = ["10.0.0.0/8"]
[listen.http]
address = "127.0.0.1:80"
redirect_to_https = true
[listen.https]
address = "127.0.0.1:443"
tls = "main"
[tls.main]
self_signed = ["site.test"]
[upstream.django]
servers = ["127.0.0.1:1"]
health = {{ path = "/h", host = "site.test" }}
grip = true
[[route]]
path = "/events/<slug:room>/"
sse = {{ channels = ["room-{{room}}"], public = true }}
[[route]]
path = "/mine/"
sse = {{ ask = "django" }}
[[route]]
path = "/live/"
sse = {{ token = {{ kind = "django-signed", key = "k" }} }}
[[route]]
path = "/static/<path:file>"
static = {{ root = "{root}" }}
[[route]]
path = "/private/<path:file>"
internal = true
static = {{ root = "{root}" }}
[[route]]
path = "/old/<path:rest>"
redirect = {{ to = "/new/{{rest}}" }}
[[route]]
path = "/robots.txt"
respond = {{ body = "x", type = "text/plain" }}
[[route]]
path = "/api/<path:rest>"
proxy = {{ to = "django", strip = "/api" }}
limits = {{ body = "1KiB" }}
[[route]]
path = "/chat/"
proxy = {{ to = "django", record = {{ }} }}
[[route]]
path = "/<path:rest>"
proxy = "django"
"#
    )
}

fn args(words: &[&str]) -> ExplainArgs {
    let words = ["tidegate", "explain"].iter().chain(words);
    match Arguments::try_parse_from(words).unwrap().command {
        Some(Command::Explain(args)) => args,
        other => panic!("{other:?}"),
    }
}

async fn said(words: &[&str]) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.css"), "a {}").unwrap();
    let text = file(folder.path().to_str().unwrap());
    let config = parse(&text, &Process).unwrap();
    let wanted = Wanted::read(&args(words), &config).unwrap();
    let told = told(&config, wanted, &[17]).await;
    (told.as_json(), text::of(&told))
}

async fn explained(words: &[&str]) -> Value {
    said(words).await.0
}

fn header<'v>(explained: &'v Value, name: &str) -> Option<&'v str> {
    let mut headers = explained["sent"]["headers"].as_array()?.iter();
    headers.find(|header| header["name"] == name)?["value"].as_str()
}

#[tokio::test]
async fn what_django_is_sent_is_told() {
    let url = "https://site.test:8443/api/x%20y?q=1#part";
    let cookie = "Cookie: a=b";
    let forged = "X-Forwarded-For: 1.2.3.4";
    let said = explained(&["put", url, "-H", cookie, "-H", forged, "-H", "A_B: c"]).await;
    assert_eq!(said["sent"]["line"], "PUT /x%20y?q=1 HTTP/1.1");
    assert_eq!(said["sent"]["servers"], json!(["127.0.0.1:1"]));
    assert_eq!(said["sent"]["removed"], json!(["x-forwarded-for", "a_b"]));
    for (name, value) in [
        ("cookie", Some("a=b")),
        ("host", Some("site.test:8443")),
        ("x-forwarded-for", Some("203.0.113.7")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-port", Some("8443")),
        ("x-request-id", Some("<id>")),
        ("sse-cursor", Some("<place>")),
        ("grip-sig", Some("<signature>")),
        ("a_b", None),
    ] {
        assert_eq!(header(&said, name), value, "{name}");
    }
    assert_eq!(said["route"]["number"], 8);
    assert_eq!(said["route"]["parameters"], json!({ "rest": "x y" }));
    assert_eq!(said["route"]["settings"]["proxy"]["strip"], "/api");
    assert_eq!(said["also_fits"][0]["path"], "/<path:rest>");
    assert!(said["answer"].is_null());
}

#[tokio::test]
async fn what_a_client_may_not_say_is_removed_also_if_it_says_the_same() {
    let said = explained(&["/mine/", "-H", "SSE-Ask: 1"]).await;
    assert_eq!(said["sent"]["removed"], json!(["sse-ask"]));
    let headers = said["sent"]["headers"].as_array().unwrap();
    let asked = headers.iter().find(|header| header["name"] == "sse-ask");
    assert_eq!(asked.unwrap()["ours"], true);
}

#[tokio::test]
async fn a_method_that_nobody_serves_says_nothing_of_the_host() {
    let said = explained(&["TRACE", "/x"]).await;
    assert_eq!(said["host"]["served"], true);
    assert_eq!(said["answer"]["status"], 405);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let words = ["-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Request-ID: r-1"];
    let said = explained(&[&["/x", "--from", "10.0.0.1"], &words[..]].concat()).await;
    assert_eq!(header(&said, "x-forwarded-for"), Some("1.2.3.4, 10.0.0.1"));
    assert_eq!(header(&said, "x-real-ip"), Some("1.2.3.4"));
    assert_eq!(header(&said, "x-request-id"), Some("r-1"));
}

#[tokio::test]
async fn it_is_told_whether_an_answer_is_recorded() {
    let cookie = ["-H", "Cookie: sessionid=x", "-H", "Accept-Encoding: gzip"];
    for (method, more, recorded) in [
        ("GET", &[][..], true),
        ("POST", &[], false),
        ("POST", &cookie, true),
        ("PUT", &cookie, false),
    ] {
        let said = explained(&[&[method, "/chat/"], more].concat()).await;
        let purpose = said["sent"]["purpose"].as_str().unwrap();
        assert_eq!(
            purpose.ends_with("is recorded"),
            recorded,
            "{method} {more:?}"
        );
    }
    let upgrade = ["-H", "Connection: upgrade", "-H", "Upgrade: websocket"];
    let said = explained(&[&["/chat/"], &upgrade[..]].concat()).await;
    assert_eq!(said["sent"]["purpose"], "a WebSocket");
    assert_eq!(header(&said, "upgrade"), Some("websocket"));
}

#[tokio::test]
async fn streams_are_told_by_who_may_listen() {
    let public = explained(&["/events/tea/"]).await;
    assert_eq!(public["answer"]["channels"], json!(["room-tea"]));
    assert_eq!(
        (&public["route"]["line"], &public["answer"]["status"]),
        (&json!(17), &json!(200))
    );
    assert_eq!(
        explained(&["POST", "/events/tea/"]).await["answer"]["status"],
        405
    );
    let asked = explained(&["/mine/", "-H", "Last-Event-ID: 7"]).await;
    assert_eq!(header(&asked, "sse-ask"), Some("1"));
    assert_eq!(header(&asked, "sse-stream"), Some("<stream>"));
    assert_eq!(header(&asked, "sse-replay"), Some("<full or partial>"));
    assert_eq!(
        header(&asked, "accept"),
        Some("text/event-stream, */*;q=0.1")
    );
    let token = explained(&["/live/?token=x"]).await;
    assert_eq!(token["answer"]["status"], 401);
}

#[tokio::test]
async fn what_is_answered_here_is_told() {
    let file = explained(&["/static/a.css"]).await;
    assert_eq!(file["answer"]["status"], 200);
    assert!(file["answer"]["file"].as_str().unwrap().ends_with("/a.css"));
    let missing = explained(&["/static/b.css"]).await;
    assert_eq!(missing["answer"]["status"], 404);
    assert!(
        missing["answer"]["file"]
            .as_str()
            .unwrap()
            .ends_with("/b.css")
    );
    let redirect = explained(&["/old/a/?b"]).await;
    assert_eq!(
        (&redirect["answer"]["status"], &redirect["answer"]["why"]),
        (&json!(308), &json!("/new/a/?b"))
    );
    assert_eq!(explained(&["/robots.txt"]).await["answer"]["status"], 200);
    let internal = explained(&["/private/a.css"]).await;
    assert_eq!(internal["answer"]["status"], 404);
    assert!(
        internal["answer"]["why"]
            .as_str()
            .unwrap()
            .contains("X-Accel-Redirect")
    );
    let to_https = explained(&["http://site.test/x"]).await;
    assert_eq!(to_https["answer"]["why"], "https://site.test/x");
    assert!(to_https["route"].is_null());
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_status() {
    for (words, status) in [
        (&["https://other.test/"][..], 421),
        (&["/a/../b"], 400),
        (&["TRACE", "/"], 405),
        (&["POST", "/api/x", "-H", "Content-Length: 1025"], 413),
        (&["/x", "-H", "Host: a b"], 400),
    ] {
        let said = explained(words).await;
        assert_eq!(said["answer"]["status"], status, "{words:?}");
        assert!(said["sent"].is_null(), "{words:?}");
    }
}

#[tokio::test]
async fn people_are_told_the_same() {
    let (_, text) = said(&["/api/x", "-H", "Cookie: a=\u{9b}b"]).await;
    for line in [
        "request    GET /api/x",
        "host       site.test is served",
        "route      8: \"/api/<path:rest>\", proxy",
        "also fits  10: \"/<path:rest>\", proxy, but stands later",
        "sent       GET /x HTTP/1.1",
        "           + x-real-ip: 203.0.113.7",
        "             cookie: a=?b",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}\n{text}");
    }
    assert!(
        !text.contains(char::is_control) || text.lines().all(|l| !l.contains(char::is_control))
    );
}

#[test]
fn what_is_unclear_is_refused() {
    let config = parse(&file("/"), &Process).unwrap();
    for words in [
        &["a/b"][..],
        &["ftp://site.test/"],
        &["http://u@site.test/"],
        &["/a b"],
        &["G T", "/"],
        &["/", "-H", "Cookie"],
        &["/", "-H", "A B: c"],
    ] {
        assert!(Wanted::read(&args(words), &config).is_err(), "{words:?}");
    }
}

#[test]
fn what_is_said_to_be_removed_always_is() {
    let all = text::NEVER.join(", ");
    for said in all.split(", ") {
        let name = said.replace("-*", "-x").to_ascii_lowercase();
        let name = match &*name {
            "hop-by-hop headers" => "te",
            "and every name with a _" => "a_b",
            name => name,
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            "x".parse().unwrap(),
        );
        strip_request(&mut headers);
        assert!(headers.is_empty(), "{said}");
    }
}
