//! The far side of every limit on clients.

use std::time::Duration;

use crate::support::{Backend, Conn, Ending, Gate, Gateway, Reply, gateway, get, within};

async fn limited(limits: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let text = format!("{limits}\n{}", gateway::everything_to(&backend.address, ""));
    (Gateway::start(&text).await, backend)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn at_max_connections_accepting_pauses_until_one_ends() {
    let (gateway, backend) = limited("[server]\nmax_connections = 2").await;
    let mut first = Conn::open(&gateway.public).await;
    let mut second = Conn::open(&gateway.public).await;
    assert_eq!(first.ask(GET).await.status, 200);
    assert_eq!(second.ask(GET).await.status, 200);
    let mut third = Conn::open(&gateway.public).await;
    third.send(GET).await;
    assert_eq!(first.ask(GET).await.status, 200);
    assert_eq!(second.ask(GET).await.status, 200);
    assert_eq!(backend.count(), 4, "the third waits in the kernel");
    // The internal side has connections of its own.
    assert_eq!(get(&gateway.internal, "/healthz").await.status, 200);
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_431() {
    let (gateway, backend) = limited("[limits]\nheader = \"8KiB\"").await;
    for (length, good) in [(4_000, true), (20_000, false)] {
        let value = "v".repeat(length);
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn
            .ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n"))
            .await;
        assert_eq!(answer.status, if good { 200 } else { 431 }, "{length}");
    }
    let many = "X: y\r\n".repeat(200);
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(
        conn.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"))
            .await
            .status,
        431
    );
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let (gateway, backend) = limited("[limits]\nheader = \"8KiB\"").await;
    let target = "t".repeat(70_000);
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask(format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .await;
    assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_slow_head_ends_its_connection_however_it_trickles() {
    let (gateway, backend) = limited("[limits]\nheader_timeout = \"300ms\"").await;
    let before = tokio::time::Instant::now();
    let mut silent = Conn::open(&gateway.public).await;
    let mut half = Conn::open(&gateway.public).await;
    half.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    // The second head of a connection has no more time than the first.
    let mut second = Conn::open(&gateway.public).await;
    assert_eq!(second.ask(GET).await.status, 200);
    second.send("GET / HT").await;
    let mut trickling = Conn::open(&gateway.public).await;
    trickling.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let ended = within("the trickling one ends", async {
        loop {
            trickling.send("y").await;
            if !trickling.is_silent_for(Duration::from_millis(20)).await {
                return before.elapsed();
            }
        }
    })
    .await;
    assert!(ended >= Duration::from_millis(250), "{ended:?}");
    for conn in [&mut silent, &mut half, &mut second] {
        conn.rest().await;
    }
    assert!(before.elapsed() < Duration::from_secs(10));
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_keepalive_and_a_busy_one_is_not() {
    let gate = Gate::new();
    let slow = Reply::ok("slow").after(&gate);
    let backend = Backend::start(move |request| match request.target() {
        "/slow" => slow.clone(),
        _ => Reply::ok("fine"),
    })
    .await;
    let text = format!(
        "[limits]\nkeepalive = \"200ms\"\n{}",
        gateway::everything_to(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    let mut busy = Conn::open(&gateway.public).await;
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut idle = Conn::open(&gateway.public).await;
    assert_eq!(idle.ask(GET).await.status, 200);
    assert_eq!(idle.ending().await, Ending::Clean);
    gate.open();
    assert_eq!(busy.answer().await.text(), "slow");
}

#[tokio::test]
async fn where_http_2_is_off_its_preface_is_refused() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let gateway = Gateway::start_with(
        "http2 = false",
        &gateway::everything_to(&backend.address, ""),
    )
    .await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let rest = conn.rest().await;
    // Not one frame: the first of HTTP/2 would be SETTINGS.
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 400 "),
        "{rest:?}"
    );
    assert_eq!(get(&gateway.public, "/").await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let body = "x".repeat(32 << 20);
    let reply = Reply::ok(&body);
    let backend = Backend::start(move |_| reply.clone()).await;
    let text = format!(
        "[limits]\nbody_idle = \"300ms\"\n{}",
        gateway::everything_to(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(GET).await;
    backend.request(0).await;
    backend
        .until("the gateway gives up", |log| {
            log.connections[0].closed || log.at_once == 0
        })
        .await;
    // Django is rid of its answer at once; what was read of it waits for the client, until that is given up.
    gateway.until_no_body_waits().await;
    let answer = conn.answer().await;
    assert!(!answer.whole && answer.body.len() < body.len());
}
