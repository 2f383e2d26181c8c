//! Asked streams against a small Django on a socket: each test is a bug that was there once.

use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::body::Timer;
use super::tests::{CLIENT, event, said};
use super::*;
use crate::ask::{self, Asker};
use crate::base::sync::lock;
use crate::domain::Epoch;
use crate::history::{self, Log};
use crate::hub::Ending;
use crate::limits::Budget;
use crate::upstream::{self, Buffers, Families, Head, RequestBody, Room, Server, Switch, Upstream};
use crate::wire::last_event_id;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Django that answers its n-th request (from 0) by a script: the bytes, and whether the connection stays open. It ends
/// with the test.
struct Django {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Django {
    async fn start(script: impl Fn(usize) -> (String, bool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (script, requests) = (Arc::new(script), Arc::clone(&seen));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
                connections.spawn(async move { serve(socket, &*script, &requests).await });
            }
        });
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }

    fn count(&self) -> usize {
        lock(&self.seen).len()
    }

    fn upstream(&self, others: &[&str]) -> Upstream {
        let servers = others.iter().copied().chain([self.address.as_str()]);
        let servers = servers
            .map(|address| Server::Tcp(address.to_owned()))
            .collect();
        let registry = Registry::default();
        let buffers = Buffers::new(&Room::default(), &registry);
        let settings = upstream::Settings::new("django", servers);
        let (families, switch) = (Families::new(&registry), Switch::new(&registry));
        Upstream::new(settings, &families, &buffers, &switch)
    }
}

async fn serve(
    mut socket: TcpStream,
    script: &(dyn Fn(usize) -> (String, bool) + Send + Sync),
    requests: &Mutex<Vec<String>>,
) {
    let mut buffer = vec![0; 4096];
    loop {
        let mut request = String::new();
        while !is_whole(&request) {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => request.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
            }
        }
        let number = {
            let mut requests = lock(requests);
            requests.push(request);
            requests.len() - 1
        };
        let (answer, stays) = script(number);
        if socket.write_all(answer.as_bytes()).await.is_err() || !stays {
            return;
        }
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// A grant of channel `a` with an initial state.
fn grant(more: &str, state: &str) -> String {
    let length = state.len();
    format!(
        "HTTP/1.1 200 OK\r\nSSE-Channel: a\r\n{more}Content-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n{state}"
    )
}

struct Site {
    django: Django,
    streams: Streams,
    asker: Asker,
}

impl Site {
    async fn start(
        cache: Duration,
        script: impl Fn(usize) -> (String, bool) + Send + Sync + 'static,
    ) -> Self {
        let django = Django::start(script).await;
        let registry = Registry::default();
        let log = Log::new(
            history::Settings::default(),
            Epoch::from_random(1),
            &registry,
        );
        let streams = Streams::new(Hub::new(log, &registry), Slots::new(100), &registry);
        let settings = ask::Settings {
            cache,
            ..ask::Settings::default()
        };
        let budget = Budget::new(settings.at_once);
        let asker = Asker::new(
            django.upstream(&[]),
            budget,
            &settings,
            1 << 20,
            &ask::Metrics::new(&registry),
        );
        Self {
            django,
            streams,
            asker,
        }
    }

    async fn open(
        &self,
        settings: &Settings,
        method: Method,
        body: &'static str,
    ) -> Result<Box<Held>, OpenError> {
        let mut headers = HeaderMap::new();
        headers.insert("host", "x".parse().unwrap());
        let head = Box::new(Head {
            method,
            target: "/e".parse().unwrap(),
            headers,
        });
        let body = if body.is_empty() {
            RequestBody::Empty
        } else {
            RequestBody::Memory(Bytes::from_static(body.as_bytes()))
        };
        let source = Source::Ask {
            asker: self.asker.clone(),
            head,
            body,
        };
        let last = last_event_id::of_request(&HeaderMap::new(), None);
        let opening = Opening {
            session: None,
            head_only: false,
            client: CLIENT,
            last,
            wants_stream: true,
            source,
        };
        let settings = Arc::new(settings.clone());
        let response = self.streams.open(&settings, opening).await?;
        match response.into_body() {
            Body::Held(held, _) => Ok(held),
            other => panic!("{other:?}"),
        }
    }

    fn publish(&self, data: &'static str) {
        self.streams.publish(event(data));
    }
}

/// Runs the stream until `done`.
async fn run_until(held: &mut Held, mut done: impl FnMut() -> bool) -> bool {
    let mut timer = Timer::default();
    let run = std::future::poll_fn(|cx| {
        loop {
            match held.poll_next(cx, Instant::now()) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending if done() => return Poll::Ready(false),
                Poll::Pending => ready!(timer.poll(cx, held.due())),
            }
        }
    });
    timeout(PATIENCE, run).await.unwrap()
}

#[tokio::test]
async fn a_kept_answer_never_carries_a_state_to_another_place_of_the_log() {
    let site = Site::start(PATIENCE, |_| (grant("", "data: state\n"), true)).await;
    let _first = site
        .open(&Settings::default(), Method::GET, "")
        .await
        .unwrap();
    site.publish("x");
    let _second = site
        .open(&Settings::default(), Method::GET, "")
        .await
        .unwrap();
    assert_eq!(site.django.count(), 2, "the state of the second is its own");
}

#[tokio::test]
async fn an_ask_with_a_body_is_never_repeated_but_ends_when_it_expires() {
    let site = Site::start(Duration::ZERO, |_| (grant("SSE-Expires: 1\r\n", ""), true)).await;
    let mut held = site
        .open(&Settings::default(), Method::POST, "room=1")
        .await
        .unwrap();
    assert!(run_until(&mut held, || false).await);
    assert_eq!(site.django.count(), 1);
}

#[tokio::test]
async fn a_state_that_breaks_off_is_djangos_failure_and_not_the_views() {
    let broken = "HTTP/1.1 200 OK\r\nSSE-Channel: a\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\nx";
    let site = Site::start(Duration::ZERO, |_| (broken.to_owned(), false)).await;
    assert!(
        site.open(&Settings::default(), Method::GET, "")
            .await
            .is_ok(),
        "held"
    );
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_left_for_another() {
    let django = Django::start(|_| {
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            true,
        )
    })
    .await;
    let upstream = django.upstream(&["127.0.0.1:1"]);
    let head = Head {
        method: Method::POST,
        target: "/".parse().unwrap(),
        headers: HeaderMap::new(),
    };
    for _ in 0..4 {
        assert!(
            upstream
                .send(&head, RequestBody::Empty, PATIENCE)
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn an_ask_survives_a_connection_that_was_closed_in_the_same_moment() {
    let script = |number| {
        if number == 1 {
            (String::new(), false)
        } else {
            (grant("", ""), true)
        }
    };
    let site = Site::start(Duration::ZERO, script).await;
    let settings = Settings {
        backend_down: BackendDown::Fail,
        ..Settings::default()
    };
    for _ in 0..2 {
        assert!(site.open(&settings, Method::GET, "").await.is_ok());
    }
}

#[tokio::test]
async fn an_expired_permission_delivers_nothing_even_when_the_gateway_drains() {
    let site = Site::start(Duration::ZERO, |_| (grant("SSE-Expires: 1\r\n", ""), true)).await;
    let mut held = site
        .open(&Settings::default(), Method::GET, "")
        .await
        .unwrap();
    said(&mut held);
    // The stream is not polled while its permission runs out.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    site.publish("secret");
    for id in site.streams.0.hub.start_drain() {
        site.streams.0.hub.end(id, Ending::Drain);
    }
    assert!(!said(&mut held).0.contains("secret"));
}

#[tokio::test]
async fn a_renewal_is_never_answered_by_what_was_kept() {
    let site = Site::start(Duration::from_secs(60), |_| {
        (grant("SSE-Expires: 1\r\n", ""), true)
    })
    .await;
    let mut held = site
        .open(&Settings::default(), Method::GET, "")
        .await
        .unwrap();
    let django = &site.django;
    assert!(!run_until(&mut held, || django.count() >= 3).await);
}

#[tokio::test(start_paused = true)]
async fn a_full_budget_is_no_refusal_where_clients_are_told_to_retry() {
    let site = Site::start(Duration::ZERO, |_| (grant("", ""), true)).await;
    let mut turns = Vec::new();
    for _ in 0..ask::AT_ONCE {
        turns.push(site.asker.turn().await);
    }
    let settings = Settings {
        backend_down: BackendDown::Retry,
        ..Settings::default()
    };
    let head = Box::new(Head {
        method: Method::GET,
        target: "/e".parse().unwrap(),
        headers: HeaderMap::new(),
    });
    let source = Source::Ask {
        asker: site.asker.clone(),
        head,
        body: RequestBody::Empty,
    };
    let opening = Opening {
        session: None,
        head_only: false,
        client: CLIENT,
        last: None,
        wants_stream: true,
        source,
    };
    let response = site
        .streams
        .open(&Arc::new(settings), opening)
        .await
        .unwrap();
    assert!(matches!(response.into_body(), Body::Text(text) if text.starts_with(b"retry: ")));
}
