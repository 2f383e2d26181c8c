//! The connections to Django: which request goes on which, and what becomes of each when somebody leaves.

use std::time::Duration;

use tidegate::server::Address;

use crate::support::recording::says;
use crate::support::{Backend, Conn, EventSource, Gate, Gateway, Reply, get, until};
use crate::websockets::{SWITCH, UPGRADE};

#[tokio::test]
async fn an_idle_connection_is_used_again_for_get_and_not_for_post() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for _ in 0..3 {
        get(&gateway.public, "/").await;
    }
    assert_eq!(
        backend.request(2).await.conn,
        0,
        "the connection is used again"
    );
    // What was idle for so long may be closed by gunicorn in this very moment.
    crate::support::pass(Duration::from_millis(150)).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(
        Conn::open(&gateway.public).await.ask(post).await.status,
        200
    );
    assert_eq!(
        backend.request(3).await.conn,
        1,
        "a POST goes on a fresh connection"
    );
    get(&gateway.public, "/").await;
    assert!(backend.request(4).await.conn <= 1, "a GET needs no third");
}

#[tokio::test]
async fn a_connection_idle_for_longer_than_idle_reuse_is_closed_or_left() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "idle_reuse = \"100ms\"").await;
    get(&gateway.public, "/").await;
    crate::support::pass(Duration::from_millis(150)).await;
    get(&gateway.public, "/").await;
    assert_eq!(backend.request(1).await.conn, 1);
    backend
        .until("the old one is closed", |log| log.connections[0].closed)
        .await;
}

#[tokio::test]
async fn a_pooled_connection_that_django_closed_is_not_the_clients_concern() {
    for reply in [Reply::ok("fine").close(), Reply::ok("fine").reset()] {
        let backend = Backend::start(move |_| reply.clone()).await;
        let gateway = Gateway::before(&backend.address, "").await;
        for number in 0..20 {
            let answer = get(&gateway.public, "/").await;
            assert_eq!(
                (answer.status, answer.text()),
                (200, "fine"),
                "request {number}"
            );
        }
    }
    // Closed only once the next request has arrived on it.
    let backend = Backend::start(|request| match request.number {
        1 => Reply::default().close(),
        _ => Reply::ok("fine"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    for _ in 0..3 {
        assert_eq!(get(&gateway.public, "/").await.text(), "fine");
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_connection_with_it() {
    let backend = Backend::start(|request| match request.target() {
        "/never" => Reply::hang(),
        "/half" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then_hang(),
        _ => Reply::ok("mine"),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "").await;
    for (number, target) in ["/never", "/half"].into_iter().enumerate() {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        backend.request(number * 2).await;
        if target == "/half" {
            assert_eq!(conn.head().await.status, 200);
        }
        drop(conn);
        let at = backend.request(number * 2).await.conn;
        backend
            .until("the gateway closes as well", |log| {
                log.connections[at].closed
            })
            .await;
        assert_eq!(get(&gateway.public, "/").await.text(), "mine");
        assert_ne!(
            backend.request(number * 2 + 1).await.conn,
            at,
            "it is never used again"
        );
    }
}

#[tokio::test]
async fn many_clients_at_once_get_each_their_own_answer() {
    let backend = Backend::start(|request| Reply::ok(request.target())).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20 {
        let address: Address = gateway.public.clone();
        clients.spawn(async move {
            let mut random = fastrand::Rng::with_seed(client);
            let mut conn = Conn::open(&address).await;
            for number in 0..20 {
                let target = format!("/{client}/{number}");
                conn.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
                    .await;
                if random.u8(0..4) == 0 {
                    // Leaves in the middle: nobody else may get what was meant for this one.
                    conn = Conn::open(&address).await;
                    continue;
                }
                assert_eq!(conn.answer().await.text(), target);
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_request_in_flight_and_its_answer_are_counted() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    get(&gateway.public, "/").await;
    let mut publisher = gateway.publisher().await;
    until("the count", async || {
        publisher
            .metric("tidegate_requests_total{status=\"2xx\"}")
            .await
            >= 1
    })
    .await;
}

/// Whether the kernel probes a silent connection to `server`: the timer of its line (proc(5), `/proc/net/tcp`) is that of
/// keepalive.
#[cfg(target_os = "linux")]
fn is_probed(server: &str) -> bool {
    let port: u16 = server.rsplit_once(':').unwrap().1.parse().unwrap();
    let peer = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.any(|words| words[2] == peer && words[3] == "01" && words[5].starts_with("02:"))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_is_gone_in_the_midst_of_an_event_stream_is_noticed() {
    let backend = Backend::start(|request| match request.target() {
        "/stream/" => says("data: 1\n\n").then_hang(),
        _ => Reply::ok(""),
    })
    .await;
    let gateway = Gateway::before(&backend.address, "idle_reuse = \"1h\"").await;
    get(&gateway.public, "/").await;
    assert!(!is_probed(&backend.address), "where no stream is read");
    let mut source = EventSource::open(&gateway.public, "/stream/").await;
    source.data(1).await;
    until("the kernel to look after it", async || {
        is_probed(&backend.address)
    })
    .await;
}

#[tokio::test]
async fn what_a_server_says_after_its_answer_to_a_head_answers_nobody() {
    const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for lines in [
        // As gunicorn answers for a view that streams, and as older ones do.
        "Connection: keep-alive\r\n",
        "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
        "Content-Type: text/event-stream\r\n",
        "Content-Length: 44\r\n",
    ] {
        for late in [false, true] {
            let gate = Gate::new();
            let view = gate.clone();
            let backend = Backend::start(move |request| {
                let head = Reply::raw(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
                match request.line() {
                    "HEAD /stream" if late => head.wait(&view).then(FORGED),
                    "HEAD /stream" => head.then(FORGED),
                    _ => Reply::ok("page"),
                }
            })
            .await;
            let gateway = Gateway::before(&backend.address, "").await;
            let mut conn = Conn::open(&gateway.public).await;
            conn.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(conn.answer_to("HEAD").await.status, 200);
            // A server that writes to it notices that nobody listens.
            backend
                .until("the end of that connection", |log| {
                    log.connections[0].closed || !late
                })
                .await;
            gate.open();
            for _ in 0..5 {
                assert_eq!(get(&gateway.public, "/page").await.text(), "page");
            }
            assert_eq!(backend.request(5).await.conn, 1, "the other one is kept");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_is_gone_in_the_midst_of_a_websocket_is_noticed() {
    let backend = Backend::start(|_| Reply::raw(SWITCH).then_hang()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask_head(UPGRADE).await, 101);
    until("the kernel to look after it", async || {
        is_probed(&backend.address)
    })
    .await;
}
