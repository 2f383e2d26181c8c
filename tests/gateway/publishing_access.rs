//! Who may publish: by a token, or without tokens nobody who comes from a web page or by a foreign name.

use serde_json::json;

use crate::support::EventSource;
use crate::support::publishing::{JSON, site};

const TOKENS: &str = "[publish]\nmax_event = \"1KiB\"\ntokens = [\n\
    { name = \"django\", secret = \"s3cret-one\" },\n\
    { name = \"billing\", secret = \"s3cret-two\", channels = [\"billing-*\", \"invoices\"] },\n]\n";

#[tokio::test]
async fn a_token_is_needed_where_there_are_tokens_and_is_good_for_its_channels() {
    let (gateway, mut publisher) = site(TOKENS).await;
    let bearer = |token: &str| format!("{JSON}Authorization: Bearer {token}\r\n");
    let news = json!({"channel": "news", "data": ""}).to_string();
    let bill = json!({"channel": "billing-7", "data": ""}).to_string();
    for (lines, body, status) in [
        (JSON.to_owned(), &news, 401),
        (bearer("s3cret-onf"), &news, 401),
        (bearer(""), &news, 401),
        (bearer("s3cret-one s3cret-one"), &news, 401),
        (
            format!("{JSON}Authorization: Basic s3cret-one\r\n"),
            &news,
            401,
        ),
        (bearer("s3cret-one"), &news, 200),
        (
            format!("{JSON}Authorization: bearer s3cret-one\r\n"),
            &news,
            200,
        ),
        (bearer("s3cret-two"), &news, 403),
        (bearer("s3cret-two"), &bill, 200),
    ] {
        let answer = publisher
            .request("POST", "/v1/events", &lines, body.as_bytes())
            .await;
        assert_eq!(answer.status, status, "{lines} {body}: {}", answer.text());
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    let both = json!([{"channel": "billing-1", "data": ""}, {"channels": ["invoices", "news"], "data": ""}]).to_string();
    let answer = publisher
        .request("POST", "/v1/events", &bearer("s3cret-two"), both.as_bytes())
        .await;
    assert_eq!(answer.status, 403);
    let lines = bearer("s3cret-one");
    assert_eq!(
        publisher
            .request("GET", "/v1/channels?match=billing-1", &lines, b"")
            .await
            .json()["channels"],
        json!([])
    );
    for target in ["/v1/channels", "/v1/stats", "/v1/tap"] {
        assert_eq!(publisher.get(target).await.status, 401, "{target}");
    }
    for target in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(
            publisher.get(target).await.status,
            200,
            "{target} needs none"
        );
    }
    // A token for some channels sees no others, and a token through a browser is somebody's own business.
    let shown = publisher
        .request("GET", "/v1/channels", &bearer("s3cret-two"), b"")
        .await
        .json();
    assert_eq!(shown["channels"].as_array().unwrap().len(), 1);
    assert_eq!(shown["channels"][0]["name"], "billing-7");
    let lines = format!("{}Origin: http://site.test\r\n", bearer("s3cret-one"));
    assert_eq!(
        publisher
            .request("POST", "/v1/events", &lines, news.as_bytes())
            .await
            .status,
        200
    );
    drop(gateway);
}

#[tokio::test]
async fn a_refusal_names_what_the_token_is_not_good_for() {
    let (gateway, mut publisher) = site(TOKENS).await;
    let lines = format!("{JSON}Authorization: Bearer s3cret-two\r\n");
    let id = publisher
        .request(
            "POST",
            "/v1/events",
            &lines,
            br#"{"channel":"invoices","data":""}"#,
        )
        .await
        .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (target, body, name, place) in [
        (
            "events",
            r#"{"channel":"a","data":""}"#,
            "pointer",
            "/channel",
        ),
        (
            "events",
            r#"{"channels":["a"],"data":""}"#,
            "pointer",
            "/channels",
        ),
        (
            "events",
            r#"{"channels":["invoices","a"],"data":""}"#,
            "pointer",
            "/channels",
        ),
        ("events", r#"{"user":7,"data":""}"#, "pointer", "/user"),
        (
            "events",
            r#"[{"channel":"invoices","data":""},{"channels":["a"],"data":""}]"#,
            "pointer",
            "/1/channels",
        ),
        ("channels/a/events", "", "pointer", "/channel"),
        ("channels/invoices/events?user=7", "", "parameter", "user"),
    ] {
        let target = format!("/v1/{target}");
        let answer = publisher
            .request("POST", &target, &lines, body.as_bytes())
            .await;
        assert_eq!((answer.status, &answer.json()[name]), (403, &json!(place)));
    }
    let target = format!("/v1/channels/invoices/events?id={id}");
    let answer = publisher.request("POST", &target, &lines, b"").await;
    assert_eq!(
        (answer.status, &answer.json()["parameter"]),
        (422, &json!("id"))
    );
    drop(gateway);
}

#[tokio::test]
async fn without_tokens_no_web_page_and_no_foreign_name_gets_in() {
    let (gateway, _) = site("").await;
    let body = json!({"channel": "news", "data": "forged"}).to_string();
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    for (address, host, lines, status) in [
        (
            &gateway.internal,
            "localhost",
            "Origin: http://evil.test\r\n",
            403,
        ),
        (&gateway.internal, "localhost", "Origin: null\r\n", 403),
        (
            &gateway.internal,
            "localhost",
            "Sec-Fetch-Site: cross-site\r\n",
            403,
        ),
        (
            &gateway.internal,
            "localhost",
            "Sec-Fetch-Site: none\r\n",
            403,
        ),
        (&gateway.internal, "evil.test", "", 403),
        (&gateway.internal, "localhost.evil.test", "", 403),
        (&gateway.internal, "127.0.0.1.evil.test", "", 403),
        (&gateway.internal, "10.0.0.1", "", 403),
        (
            &gateway.internal_unix,
            "localhost",
            "Origin: http://evil.test\r\n",
            403,
        ),
        (&gateway.internal, "localhost:9090", "", 200),
        (&gateway.internal, "127.0.0.1", "", 200),
        (&gateway.internal, "[::1]:9090", "", 200),
        (&gateway.internal_unix, "any.name", "", 200),
    ] {
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {host}\r\n{JSON}{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = crate::support::Conn::open(address).await.ask(request).await;
        assert_eq!(answer.status, status, "{host} {lines}");
        if status == 403 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
        }
    }
    assert_eq!(source.data(4).await, ["forged"; 4]);
}

#[tokio::test]
async fn the_public_side_knows_nothing_of_the_internal_one() {
    let (gateway, _) = site("").await;
    for target in ["/metrics", "/healthz", "/v1/stats", "/v1/events"] {
        assert_eq!(
            crate::support::get(&gateway.public, target).await.status,
            404,
            "{target}"
        );
    }
}
