//! How often a client may come: over all routes, and to one of them.

use tidegate::server::Address;

use crate::support::asking::granted;
use crate::support::{Answer, Backend, Conn, EventSource, Gateway, Reply, gateway, get};

/// Rates that no test outlasts, so that what was used stays used.
async fn site(keys: &str, limits: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|request| match request.target() {
        "/asked/" => granted(""),
        _ => Reply::ok("page"),
    })
    .await;
    let text = format!(
        "{keys}\n{}\
         [[route]]\npath = \"/public/\"\nsse = {{ channels = [\"news\"], public = true }}\n{limits}\n\
         [[route]]\npath = \"/asked/\"\nsse = {{ ask = \"django\" }}\n{limits}\n\
         [[route]]\npath = \"/form/\"\nproxy = \"django\"\n{limits}\n{}",
        gateway::upstream(&backend.address, ""),
        gateway::PROXY,
    );
    (Gateway::start(&text).await, backend)
}

async fn from(address: &Address, client: &str, target: &str) -> Answer {
    let mut conn = Conn::open(address).await;
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    conn.ask(head).await
}

#[tokio::test]
async fn a_client_that_comes_too_often_is_told_when_to_come_back() {
    let (gateway, backend) = site("[limits]\nrate = \"2/h\"\nburst = 3", "").await;
    let mut publisher = gateway.publisher().await;
    for target in ["/", "/form/", "/other"] {
        assert_eq!(get(&gateway.public, target).await.status, 200);
    }
    let refused = get(&gateway.public, "/").await;
    assert_eq!(
        (refused.status, refused.header("cache-control")),
        (429, Some("no-store"))
    );
    // Half an hour, less what the test took, in whole seconds.
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1780..=1800).contains(&after), "{after}");
    assert!(refused.text().contains("this client comes too often"));
    assert_eq!(get(&gateway.public, "/public/").await.status, 429);
    assert_eq!(backend.count(), 3);
    for (metric, count) in [
        ("tidegate_requests_limited_total{rate=\"all\"}", 2),
        ("tidegate_request_failures_total{failure=\"limited\"}", 2),
        ("tidegate_streams_refused_total{reason=\"rate\"}", 1),
        ("tidegate_rate_newcomers_total", 0),
    ] {
        assert_eq!(publisher.metric(metric).await, count, "{metric}");
    }
}

#[tokio::test]
async fn a_route_has_a_rate_of_its_own_which_on_a_stream_is_that_of_connects() {
    let (gateway, backend) = site("", "limits = { rate = \"2/h\" }").await;
    for target in ["/public/", "/asked/"] {
        for _ in 0..2 {
            drop(EventSource::open(&gateway.public, target).await);
        }
        let refused = get(&gateway.public, target).await;
        assert_eq!(refused.status, 429, "{target}");
    }
    assert_eq!(backend.count(), 2, "Django is not asked for the third");
    for status in [200, 200, 429] {
        assert_eq!(get(&gateway.public, "/form/").await.status, status);
    }
    assert_eq!(get(&gateway.public, "/page").await.status, 200);
    let metric = "tidegate_requests_limited_total{rate=\"route\"}";
    assert_eq!(gateway.publisher().await.metric(metric).await, 3);
}

#[tokio::test]
async fn a_refused_body_is_not_read() {
    let (gateway, backend) = site("", "limits = { rate = \"1/h\", burst = 1 }").await;
    assert_eq!(get(&gateway.public, "/form/").await.status, 200);
    let mut conn = Conn::open(&gateway.public).await;
    // Of this body not a byte comes.
    conn.send("POST /form/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    assert_eq!(conn.answer_to("POST").await.status, 429);
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own() {
    let keys = "[trust]\nproxies = [\"127.0.0.1\"]\n[limits]\nrate = \"1/h\"\nburst = 1";
    let (gateway, _backend) = site(keys, "").await;
    for (client, status) in [
        ("203.0.113.1", 200),
        ("203.0.113.2", 200),
        ("203.0.113.1", 429),
        ("2001:db8::1", 200),
        ("2001:db8::ffff", 429),
        ("2001:db8:0:1::1", 200),
    ] {
        assert_eq!(
            from(&gateway.public, client, "/").await.status,
            status,
            "{client}"
        );
    }
}

#[tokio::test]
async fn a_rate_of_zero_is_none() {
    let (gateway, _backend) = site(
        "[limits]\nrate = \"0\"",
        "limits = { rate = \"0\", burst = 1 }",
    )
    .await;
    for _ in 0..120 {
        assert_eq!(get(&gateway.public, "/form/").await.status, 200);
    }
}

#[tokio::test]
async fn a_preflight_costs_nothing_and_a_refusal_can_be_read() {
    let cors = "cors = { origins = [\"https://app.test\"] }";
    let gateway = Gateway::start(&format!(
        "[[route]]\npath = \"/events/\"\nlimits = {{ rate = \"1/h\" }}\n\
         sse = {{ channels = [\"news\"], public = true, {cors} }}\n",
    ))
    .await;
    let origin = "Origin: https://app.test\r\n";
    for _ in 0..3 {
        let mut conn = Conn::open(&gateway.public).await;
        let ask = "Access-Control-Request-Method: GET\r\n";
        conn.send(format!(
            "OPTIONS /events/ HTTP/1.1\r\nHost: a\r\n{origin}{ask}\r\n"
        ))
        .await;
        assert_eq!(conn.answer_to("OPTIONS").await.status, 204);
    }
    drop(EventSource::open_with(&gateway.public, "/events/", origin).await);
    let refused = EventSource::try_open(&gateway.public, "/events/", origin)
        .await
        .err()
        .unwrap();
    assert_eq!(
        (
            refused.status,
            refused.header("access-control-allow-origin")
        ),
        (429, Some("https://app.test"))
    );
}
