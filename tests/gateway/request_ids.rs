//! The id of a request: whose counts, in which header it goes to Django and back; and what else the file may move.

use crate::support::{Answer, Backend, Conn, EventSource, Gateway, Reply, gateway};

const LOG: &str = "[log]\nrequest_id = \"X-Correlation-ID\"\n";

async fn named(trust: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let to = gateway::everything_to(&backend.address, "");
    (Gateway::start(&format!("{LOG}{trust}{to}")).await, backend)
}

const REQUEST: &str =
    "GET / HTTP/1.1\r\nHost: site.test\r\nX-Correlation-ID: theirs\r\nX-Request-ID: other\r\n\r\n";

#[tokio::test]
async fn a_trusted_peer_names_the_request_in_the_header_of_the_file() {
    let (gateway, backend) = named("[trust]\nproxies = [\"127.0.0.1\"]\n").await;
    assert_eq!(
        Conn::open(&gateway.public).await.ask(REQUEST).await.status,
        200
    );
    let seen = backend.request(0).await;
    assert_eq!(seen.header("x-correlation-id"), Some("theirs"));
    assert_eq!(seen.header("x-request-id"), None);
    let refused = REQUEST.replace("Host: site.test", "Host: a\r\nHost: b");
    let answer = Conn::open(&gateway.public).await.ask(refused).await;
    assert_eq!(answer.status, 400);
    let long = REQUEST.replace("GET /", "TRACE /");
    let answer = Conn::open(&gateway.public).await.ask(long).await;
    assert_eq!(answer.header("x-correlation-id"), Some("theirs"));
    assert!(answer.text().contains("request id: theirs"));
}

#[tokio::test]
async fn who_is_not_trusted_gets_an_id_of_the_gateways_own() {
    let (gateway, backend) = named("").await;
    assert_eq!(
        Conn::open(&gateway.public).await.ask(REQUEST).await.status,
        200
    );
    let seen = backend.request(0).await;
    let id = seen.header("x-correlation-id").unwrap();
    assert_eq!((id.len(), seen.header("x-request-id")), (32, None));
}

#[tokio::test]
async fn what_a_cdn_says_of_the_client_reaches_django_only_as_ours() {
    for (client_ip, trusted, expected) in [
        ("cf-connecting-ip", true, Some("203.0.113.9")),
        ("cf-connecting-ip", false, Some("127.0.0.1")),
        ("true-client-ip", true, None),
        ("x-forwarded-for", true, None),
    ] {
        let backend = Backend::start(|_| Reply::ok("fine")).await;
        let proxies = if trusted { "127.0.0.1" } else { "10.0.0.1" };
        let trust = format!("[trust]\nproxies = [\"{proxies}\"]\nclient_ip = \"{client_ip}\"\n");
        let to = gateway::everything_to(&backend.address, "");
        let gateway = Gateway::start(&format!("{trust}{to}")).await;
        let request = "GET / HTTP/1.1\r\nHost: site.test\r\nCF-Connecting-IP: 203.0.113.9\r\n\r\n";
        assert_eq!(
            Conn::open(&gateway.public).await.ask(request).await.status,
            200
        );
        let seen = backend.request(0).await;
        assert_eq!(seen.header("cf-connecting-ip"), expected, "{client_ip}");
    }
}

/// An answer of the internal listener, which takes no other host.
async fn inside(gateway: &Gateway, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    Conn::open(&gateway.internal).await.ask(request).await
}

#[tokio::test]
async fn the_metrics_may_be_elsewhere_and_the_console_away() {
    let text = "[metrics]\npath = \"/internal/numbers\"\n[console]\nenabled = false\n\
                [[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";
    let gateway = Gateway::start(text).await;
    let numbers = inside(&gateway, "/internal/numbers").await;
    assert!(numbers.text().contains("tidegate_connections_open"));
    assert!(!numbers.text().contains("tidegate_channel_streams"));
    for gone in ["/metrics", "/"] {
        assert_eq!(inside(&gateway, gone).await.status, 404, "{gone}");
    }
    let document = inside(&gateway, "/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.contains_key("/internal/numbers"));
    assert!(!paths.contains_key("/metrics") && !paths.contains_key("/"));
}

#[tokio::test]
async fn channels_have_gauges_of_their_own_where_the_file_says_so_and_not_without_end() {
    let text = "[metrics]\nper_channel = true\n\
                [[route]]\npath = \"/events/\"\nsse = { channels = [\"z-news\"], public = true }\n";
    let gateway = Gateway::start(text).await;
    let _listening = EventSource::open(&gateway.public, "/events/").await;
    let mut publisher = gateway.publisher().await;
    let mut events = Vec::new();
    for number in 0..1001 {
        events.push(serde_json::json!({"channel": format!("room-{number}"), "data": "x"}));
    }
    publisher.publish(serde_json::Value::Array(events)).await;
    // The one with a stream comes first, whatever its name.
    assert_eq!(
        publisher
            .metric("tidegate_channel_streams{channel=\"z-news\"}")
            .await,
        1
    );
    assert_eq!(
        publisher
            .metric("tidegate_channel_events{channel=\"room-0\"}")
            .await,
        1
    );
    assert_eq!(publisher.metric("tidegate_channels_left_out").await, 2);
    let text = inside(&gateway, "/metrics").await;
    assert_eq!(
        text.text().matches("tidegate_channel_events{").count(),
        1000
    );
}
