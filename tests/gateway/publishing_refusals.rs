//! What is not taken: every refusal with its place and a hint.

use serde_json::{Value, json};

use crate::support::publishing::{JSON, site};
use crate::support::{Gateway, Publisher};

#[tokio::test]
async fn every_wrong_body_gets_its_own_answer_with_place_and_hint() {
    let (gateway, mut publisher) =
        site("[publish]\nmax_event = \"1KiB\"\n[limits]\nbody = \"8KiB\"\n").await;
    let long = format!("{{\"channel\":\"news\",\"data\":\"{}\"}}", "x".repeat(1025));
    let name = format!("{{\"channel\":\"{}\",\"data\":\"\"}}", "c".repeat(201));
    for (body, status, code, pointer, hint) in [
        ("", 400, "bad-json", None, None),
        ("{", 400, "bad-json", None, None),
        (
            "{\"channel\":\"a\",\"data\":\"\"} x",
            400,
            "bad-json",
            None,
            None,
        ),
        ("\u{1}", 400, "bad-json", None, None),
        ("7", 422, "invalid-field", Some(""), None),
        ("{}", 422, "invalid-field", Some(""), None),
        ("{\"channel\":\"a\"}", 422, "invalid-field", Some(""), None),
        (
            "{\"chanel\":\"a\",\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/chanel"),
            Some("did you mean \"channel\"?"),
        ),
        (
            "{\"channel\":\"a\",\"dta\":\"\"}",
            422,
            "invalid-field",
            Some("/dta"),
            Some("did you mean \"data\"?"),
        ),
        (
            "{\"channel\":\"a b\",\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channel"),
            None,
        ),
        (
            "{\"channel\":\"\",\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channel"),
            None,
        ),
        (
            "{\"channel\":7,\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channel"),
            None,
        ),
        (&name, 422, "invalid-field", Some("/channel"), None),
        (
            "{\"channels\":[],\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channels"),
            None,
        ),
        (
            "{\"channels\":[\"a\",\"b,c\"],\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channels/1"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"channels\":[\"b\"],\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channels"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"channel\":\"b\",\"data\":\"\"}",
            422,
            "invalid-field",
            Some("/channel"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"event\":\"a\\nb\"}",
            422,
            "invalid-field",
            Some("/event"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"event\":\"a\\rb\"}",
            422,
            "invalid-field",
            Some("/event"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"event\":\"a\\u0000b\"}",
            422,
            "invalid-field",
            Some("/event"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"id\":\"a\\nb\"}",
            422,
            "invalid-field",
            Some("/id"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"id\":\"a\\rdata: forged\"}",
            422,
            "invalid-field",
            Some("/id"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"id\":\"a\\u0000\"}",
            422,
            "invalid-field",
            Some("/id"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"retry\":-1}",
            422,
            "invalid-field",
            Some("/retry"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"close\":\"yes\"}",
            422,
            "invalid-field",
            Some("/close"),
            None,
        ),
        (
            "{\"channel\":\"a\",\"data\":\"\",\"except\":\"x\"}",
            422,
            "invalid-field",
            Some("/except"),
            None,
        ),
        (&long, 413, "too-large", Some("/data"), None),
    ] {
        let answer = publisher
            .request("POST", "/v1/events", JSON, body.as_bytes())
            .await;
        let problem = answer.json();
        assert_eq!(answer.status, status, "{body}: {problem}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{body}: {problem}");
        assert_eq!(problem["type"], format!("urn:tidegate:problem:{code}"));
        assert_eq!(
            problem.get("pointer").and_then(Value::as_str),
            pointer,
            "{body}: {problem}"
        );
        assert_eq!(
            problem.get("hint").and_then(Value::as_str),
            hint,
            "{body}: {problem}"
        );
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let answer = publisher
        .request("POST", "/v1/events", "Content-Type: text/plain\r\n", b"{}")
        .await;
    assert_eq!(answer.status, 415);
    for target in ["/v1/events", "/v1/channels/news/events"] {
        let lines = format!("{JSON}Content-Encoding: gzip\r\n");
        let answer = publisher.request("POST", target, &lines, b"{}").await;
        let code = &answer.json()["code"];
        assert_eq!(
            (answer.status, code),
            (415, &json!("unsupported-media-type"))
        );
    }
    let answer = publisher
        .request("POST", "/v1/events", JSON, &vec![b' '; 9000])
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("too-large"))
    );
    assert_eq!(
        publisher_after(&gateway)
            .await
            .get("/v1/stats")
            .await
            .json()["events"],
        0,
        "nothing was taken"
    );
}

/// A fresh connection: the one that sent too much may have been closed.
async fn publisher_after(gateway: &Gateway) -> Publisher {
    gateway.publisher().await
}
