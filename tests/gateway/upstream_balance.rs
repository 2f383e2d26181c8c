//! Which of several servers a request goes to, and how many it may have at once.

use tokio::task::JoinSet;

use crate::support::gateway::{PROXY, servers, upstream};
use crate::support::{Backend, Conn, Gate, Gateway, Reply, get, until};

async fn two() -> [Backend; 2] {
    [
        Backend::start(|_| Reply::ok("one")).await,
        Backend::start(|_| Reply::ok("two")).await,
    ]
}

async fn before([one, two]: &[Backend; 2], keys: &str) -> Gateway {
    Gateway::before(&servers([&one.address, &two.address]), keys).await
}

#[tokio::test]
async fn servers_take_turns() {
    for keys in ["balance = \"round-robin\"", ""] {
        let both = two().await;
        let gateway = before(&both, keys).await;
        for _ in 0..10 {
            get(&gateway.public, "/").await;
        }
        assert_eq!(both.each_ref().map(Backend::count), [5, 5], "{keys:?}");
    }
}

#[tokio::test]
async fn the_least_busy_server_is_not_the_one_that_is_stuck() {
    let both = two().await;
    let gate = Gate::new();
    let stuck = Reply::ok("late").after(&gate);
    both[0].script(move |request| match request.target() {
        "/slow" => stuck.clone(),
        _ => Reply::ok("one"),
    });
    let gateway = before(&both, "").await;
    let mut slow = Conn::open(&gateway.public).await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    both[0].request(0).await;
    let mut publisher = gateway.publisher().await;
    let name = "tidegate_upstream_in_flight{upstream=\"django\"}";
    assert_eq!(publisher.metric(name).await, 1);
    for _ in 0..10 {
        assert_eq!(get(&gateway.public, "/").await.text(), "two");
    }
    gate.open();
    assert_eq!(slow.answer().await.text(), "late");
    until("nothing is in flight", async || {
        publisher.metric(name).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_stays_with_its_server_until_that_is_away() {
    let mut both = two().await;
    let text = upstream(
        &servers([&both[0].address, &both[1].address]),
        "balance = \"client-ip\"",
    );
    let text = format!("[trust]\nproxies = [\"127.0.0.1\"]\n{text}{PROXY}");
    let gateway = Gateway::start(&text).await;
    let ask = async |client: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn.ask(request).await;
        assert_eq!(answer.status, 200);
        answer.text().to_owned()
    };
    let clients: Vec<_> = (0..20).map(|number| format!("192.0.2.{number}")).collect();
    let mut homes = Vec::new();
    for client in &clients {
        let home = ask(client).await;
        for _ in 0..3 {
            assert_eq!(ask(client).await, home);
        }
        homes.push(home);
    }
    let of_one = homes.iter().filter(|home| *home == "one").count();
    assert!((3..=17).contains(&of_one), "{homes:?}");
    // One network of IPv6 is one client.
    let home = ask("2001:db8:0:1::1").await;
    for client in ["2001:db8:0:1::2", "2001:db8:0:1:ffff::"] {
        assert_eq!(ask(client).await, home);
    }

    both[0].down().await;
    for client in &clients {
        assert_eq!(ask(client).await, "two");
    }
    both[0].up();
    until("all are back home", async || {
        let mut back = true;
        for (client, home) in clients.iter().zip(&homes) {
            back &= ask(client).await == *home;
        }
        back
    })
    .await;
}

#[tokio::test]
async fn so_many_are_in_flight_over_all_servers_and_the_rest_wait_in_order() {
    let both = two().await;
    let gate = Gate::new();
    for backend in &both {
        let reply = Reply::ok("").after(&gate);
        backend.script(move |_| reply.clone());
    }
    let gateway = before(&both, "max_in_flight = 2").await;
    let mut clients = JoinSet::new();
    for _ in 0..5 {
        let address = gateway.public.clone();
        clients.spawn(async move { get(&address, "/").await.status });
    }
    let mut publisher = gateway.publisher().await;
    let waiting = "tidegate_upstream_waiting{upstream=\"django\"}";
    until("three wait", async || publisher.metric(waiting).await == 3).await;
    assert_eq!(both[0].count() + both[1].count(), 2);
    gate.open();
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(publisher.metric(waiting).await, 0);
}
