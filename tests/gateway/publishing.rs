//! The internal listener: who may publish, what is taken, and every refusal with its place and a hint.

use serde_json::{Value, json};

use crate::support::{EventSource, Gateway, Publisher};

const ROUTES: &str =
    "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";
const TOKENS: &str = "[publish]\nmax_event = \"1KiB\"\ntokens = [\n\
    { name = \"django\", secret = \"s3cret-one\" },\n\
    { name = \"billing\", secret = \"s3cret-two\", channels = [\"billing-*\", \"invoices\"] },\n]\n";
const JSON: &str = "Content-Type: application/json\r\n";

async fn site(text: &str) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!("{text}\n{ROUTES}")).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

#[tokio::test]
async fn one_event_is_answered_with_its_id_and_the_streams_that_hear_it() {
    let (gateway, mut publisher) = site("").await;
    assert_eq!(
        publisher
            .publish(json!({"channel": "news", "data": "x"}))
            .await["streams"],
        0,
        "0 is no error"
    );
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let answer = publisher
        .publish(json!({"channel": "news", "event": "tick", "data": {"n": 1.50, "text": "hi"}, "retry": 1000}))
        .await;
    let event = source.next().await;
    assert_eq!((event.event.as_str(), event.retry), ("tick", Some(1000)));
    assert_eq!(event.data, r#"{"n":1.5,"text":"hi"}"#);
    assert_eq!(
        (answer["id"].as_str(), &answer["streams"]),
        (Some(event.id.as_str()), &json!(1))
    );
    for (data, text) in [
        (json!("a text"), "a text"),
        (json!(""), ""),
        (json!(null), "null"),
        (json!([1, 2]), "[1,2]"),
        (json!("ä\u{2028}🎈"), "ä\u{2028}🎈"),
    ] {
        publisher
            .publish(json!({"channel": "news", "data": data}))
            .await;
        assert_eq!(source.next().await.data, text);
    }
}

#[tokio::test]
async fn a_batch_is_published_in_order_and_all_or_nothing() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let batch: Vec<_> = (0..5)
        .map(|n| json!({"channel": "news", "data": n}))
        .collect();
    let answer = publisher.publish(json!(batch)).await;
    assert_eq!(answer["published"], 5);
    assert_eq!(source.data(5).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(answer["last_id"], source.last_event_id());
    let before = publisher.get("/v1/stats").await.json()["last_id"].clone();
    let bad = json!([{"channel": "news", "data": 5}, {"channel": "news", "data": 6, "event": "a\nb"}, {"channel": "news", "data": 7}]);
    let answer = publisher.post(&bad).await;
    assert_eq!(
        (answer.status, &answer.json()["pointer"]),
        (422, &json!("/1/event"))
    );
    assert_eq!(
        publisher.get("/v1/stats").await.json()["last_id"],
        before,
        "nothing of it was taken"
    );
    publisher.text("news", "next").await;
    assert_eq!(source.next().await.data, "next");
    assert_eq!(publisher.publish(json!([])).await["published"], 0);
}

#[tokio::test]
async fn the_channel_endpoint_takes_the_body_as_it_is() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    let target = "/v1/channels/news/events?event=tick&id=own-1";
    let answer = publisher
        .request("POST", target, "", b"{\"not\": json")
        .await;
    assert_eq!(
        (answer.status, &answer.json()["id"]),
        (200, &json!("own-1")),
        "{}",
        answer.text()
    );
    let event = source.next().await;
    assert_eq!(
        (&*event.event, &*event.data, &*event.id),
        ("tick", "{\"not\": json", "own-1")
    );
    let answer = publisher
        .request("POST", "/v1/channels/news/events?close=1", "", b"bye")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(source.next().await.data, "bye");
    source.ends().await;
    for (target, status) in [
        ("/v1/channels/a%20b/events", 422),
        ("/v1/channels/news/events?evnt=x", 422),
        ("/v1/channels/news/events?event=a%0Ab", 422),
        ("/v1/channels/news/events?id=a%00b", 422),
        ("/v1/channels/news/events?close=perhaps", 422),
    ] {
        assert_eq!(
            publisher.request("POST", target, "", b"x").await.status,
            status,
            "{target}"
        );
    }
    let answer = publisher
        .request("POST", "/v1/channels/news/events", "", b"\xff\xfe")
        .await;
    assert!(
        matches!(answer.status, 400 | 422),
        "an event is text: {}",
        answer.status
    );
}

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

#[tokio::test]
async fn no_byte_of_an_event_forges_a_field_or_another_event() {
    let (gateway, mut publisher) = site("").await;
    let mut source = EventSource::open(&gateway.public, "/events/").await;
    for (data, seen) in [
        ("a\n\ndata: forged", "a\n\ndata: forged"),
        (
            "a\r\rid: forged\revent: forged",
            "a\n\nid: forged\nevent: forged",
        ),
        ("a\r\n\r\nretry: 1\r\n", "a\n\nretry: 1\n"),
        ("\u{feff}data: x", "\u{feff}data: x"),
        ("\nid: forged", "\nid: forged"),
        ("a\u{0}b", "a\u{0}b"),
        ("a\u{85}b\u{2028}c", "a\u{85}b\u{2028}c"),
    ] {
        let id = publisher.text("news", data).await;
        let event = source.next().await;
        assert_eq!(
            (&*event.event, &*event.data, &event.id),
            ("message", seen, &id),
            "{data:?}"
        );
        assert_ne!(event.retry, Some(1), "{data:?}");
    }
}

#[tokio::test]
async fn an_id_in_the_form_of_the_gateways_own_is_refused() {
    let (_gateway, mut publisher) = site("").await;
    let id = publisher.text("news", "x").await;
    let (epoch, _) = id.split_once('-').unwrap();
    for forged in [id.clone(), format!("{epoch}-999999"), format!("{epoch}-0")] {
        let answer = publisher
            .post(&json!({"channel": "news", "data": "", "id": forged}))
            .await;
        assert_eq!(
            (answer.status, &answer.json()["pointer"]),
            (422, &json!("/id")),
            "{forged}"
        );
        let target = format!("/v1/channels/news/events?id={forged}");
        assert_eq!(
            publisher.request("POST", &target, "", b"").await.status,
            422
        );
    }
    assert_eq!(
        publisher
            .post(&json!({"channel": "news", "data": "", "id": "mine-7"}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn channels_and_stats_tell_what_is_there() {
    let (gateway, mut publisher) = site("").await;
    let _listening = EventSource::open(&gateway.public, "/events/").await;
    publisher.text("room-1", "a").await;
    let last = publisher.text("room-1", "b").await;
    publisher.text("other", "c").await;
    let all = publisher.get("/v1/channels").await.json();
    let names: Vec<_> = all["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["news", "other", "room-1"]);
    let some = publisher.get("/v1/channels?match=room-*").await.json();
    assert_eq!(
        some["channels"],
        json!([{"name": "room-1", "streams": 0, "events": 2, "last_id": last}])
    );
    let news = publisher.get("/v1/channels?match=news").await.json();
    assert_eq!(
        (
            &news["channels"][0]["streams"],
            &news["channels"][0]["events"]
        ),
        (&json!(1), &json!(0))
    );
    assert_eq!(publisher.get("/v1/channels?match=a%20b").await.status, 422);
    let stats = publisher.get("/v1/stats").await.json();
    assert_eq!(
        (&stats["streams"], &stats["events"]),
        (&json!(1), &json!(3))
    );
}

#[tokio::test]
async fn the_metrics_name_what_the_contract_asks_for() {
    let backend = crate::support::Backend::start(|_| crate::support::Reply::channel("news")).await;
    let text = format!(
        "{}[[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\" }}\n{}",
        crate::support::gateway::upstream(&backend.address, ""),
        crate::support::gateway::PROXY,
    );
    let gateway = Gateway::start(&text).await;
    let mut publisher = gateway.publisher().await;
    crate::support::get(&gateway.public, "/page").await;
    drop(EventSource::resume(&gateway.public, "/asked/", "unknown").await);
    let left = "tidegate_streams_ended_total{reason=\"client\"}";
    crate::support::until("the end of a stream", async || {
        publisher.metric(left).await == 1.0
    })
    .await;
    let mut source = EventSource::open(&gateway.public, "/asked/").await;
    publisher.text("news", "x").await;
    source.next().await;
    let answer = publisher.get("/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text();
    for line in [
        "tidegate_streams_open 1",
        "tidegate_streams_opened_total 2",
        "tidegate_streams_ended_total{reason=\"client\"} 1",
        "tidegate_stream_resets_total{reason=\"unknown-id\"} 1",
        "tidegate_events_published_total 1",
        "tidegate_events_delivered_total 1",
        "tidegate_asks_total{status=\"2xx\"} 2",
        "tidegate_requests_total{status=\"2xx\"} 3",
        "tidegate_upstream_response_duration_seconds_count{upstream=\"django\"} 3",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
    for name in [
        "tidegate_connections_open",
        "tidegate_history_memory_bytes",
        "tidegate_build_info",
    ] {
        assert!(
            text.contains(&format!("\n{name}")),
            "{name} is not in\n{text}"
        );
    }
    assert!(!text.contains("_total_total"), "{text}");
}

#[tokio::test]
async fn health_and_readiness_need_no_token_and_wrong_paths_and_methods_are_told_apart() {
    let (_gateway, mut publisher) = site("").await;
    for (method, target, status) in [
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/events", 405),
        ("PUT", "/v1/events", 405),
        ("POST", "/v1/stats", 405),
        ("DELETE", "/metrics", 405),
    ] {
        let answer = publisher.request(method, target, "", b"").await;
        assert_eq!(answer.status, status, "{method} {target}");
        if status == 405 {
            assert!(answer.header("allow").is_some());
        }
        if status >= 400 {
            assert_eq!(answer.json()["status"], status);
        }
    }
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

#[tokio::test]
async fn a_tap_sees_every_event_of_the_channels_it_asks_for() {
    let (gateway, mut publisher) = site("").await;
    let mut all = EventSource::open(&gateway.internal_unix, "/v1/tap").await;
    let mut some = EventSource::open(
        &gateway.internal_unix,
        "/v1/tap?channel=room-*&channel=news",
    )
    .await;
    all.read_past("\n\n").await;
    some.read_past("\n\n").await;
    for (channel, data) in [("other", "a"), ("room-1", "b"), ("news", "c")] {
        publisher.text(channel, data).await;
    }
    for data in ["a", "b", "c"] {
        let event = all.next().await;
        assert!(event.data.contains(data), "{event:?}");
    }
    for data in ["b", "c"] {
        let event = some.next().await;
        assert!(event.data.contains(data), "{event:?}");
    }
}
