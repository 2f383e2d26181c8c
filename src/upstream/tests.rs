//! One connection against a server that says anything, in pieces of any size, in simulated time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::conn::Socket;
use super::exchange::Exchange;
use super::pool::{Lease, Pool};
use super::{AnswerBody, AnswerError, Head, RequestBody, Server, UpstreamError};
use crate::wire::http1::{Invalid, MOST_FIELDS, MOST_HEAD};

pub(super) const PATIENCE: Duration = Duration::from_secs(65);
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\n";

pub(super) struct Site {
    pool: Pool,
    open: TaskTracker,
}

impl Site {
    pub(super) fn new() -> Self {
        Self {
            pool: Pool::for_tests(Server::Tcp("unused".to_owned())),
            open: TaskTracker::new(),
        }
    }

    /// A connection, and its far end.
    pub(super) fn connect(&self, capacity: usize) -> (Lease, DuplexStream) {
        let (near, far) = duplex(capacity);
        (self.pool.over(Socket::Pipe(near), &self.open), far)
    }

    pub(super) fn idle(&self) -> Option<Lease> {
        self.pool.idle(PATIENCE, PATIENCE, Instant::now())
    }
}

pub(super) fn head(method: Method) -> Head {
    Head {
        method,
        target: "/a?b".parse().unwrap(),
        headers: HeaderMap::new(),
    }
}

pub(super) async fn ask(
    lease: Lease,
    method: Method,
    body: RequestBody,
) -> Result<Response<AnswerBody>, UpstreamError> {
    let mut exchange = Exchange::new(lease, &head(method), None, body, Instant::now(), PATIENCE);
    let answer = poll_fn(|cx| exchange.poll(cx)).await?;
    let answered = exchange.answered(answer);
    let now = Instant::now();
    Ok(AnswerBody::response(answered, Some(PATIENCE), None, now))
}

pub(super) async fn get(lease: Lease) -> Result<Response<AnswerBody>, UpstreamError> {
    ask(lease, Method::GET, RequestBody::Empty).await
}

/// The status and the body; `None` in place of the body if it broke off.
pub(super) type Seen = (u16, Option<Bytes>);

pub(super) async fn all(answer: Response<AnswerBody>) -> Seen {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await;
    (status, body.ok().map(http_body_util::Collected::to_bytes))
}

/// What a client sees of `pieces`, and whether the connection is kept.
async fn seen(
    method: Method,
    pieces: &[&[u8]],
    close: bool,
) -> (Result<Seen, UpstreamError>, bool) {
    let site = Site::new();
    let (lease, mut far) = site.connect(1 << 20);
    let server = async {
        for piece in pieces {
            // Whoever has seen enough may have gone.
            if far.write_all(piece).await.is_err() {
                return;
            }
            yield_now().await;
        }
        if close {
            far.shutdown().await.unwrap();
        }
    };
    let client = async {
        match ask(lease, method, RequestBody::Empty).await {
            Ok(answer) => Ok(all(answer).await),
            Err(error) => Err(error),
        }
    };
    let (seen, ()) = tokio::join!(client, server);
    (seen, site.idle().is_some())
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_the_same_however_it_is_cut() {
    for (text, close, body, kept) in [
        ("Content-Length: 5\r\n\r\nhello", false, Some("hello"), true),
        ("Content-Length: 0\r\n\r\n", false, Some(""), true),
        ("Content-Length: 2\r\n\r\nhello", false, Some("he"), false),
        ("Content-Length: 9\r\n\r\nhello", true, None, false),
        (
            "Connection: close\r\nContent-Length: 1\r\n\r\nh",
            false,
            Some("h"),
            false,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: 1\r\n\r\n",
            false,
            Some("hello"),
            true,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n",
            false,
            Some("he"),
            true,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\nx",
            false,
            Some("he"),
            false,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n",
            true,
            None,
            false,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
            false,
            None,
            false,
        ),
        ("\r\nhello", true, Some("hello"), false),
    ] {
        let text = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}{text}");
        for at in 0..=text.len() {
            let (one, other) = text.as_bytes().split_at(at);
            let (seen, is_kept) = seen(Method::GET, &[one, other], close).await;
            let body = body.map(|body| Bytes::copy_from_slice(body.as_bytes()));
            assert_eq!(seen.unwrap(), (200, body), "{text:?} cut at {at}");
            // What comes after the end may come too late to be seen here; then it is seen when the next request comes.
            assert_eq!(is_kept, kept, "{text:?} cut at {at}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        let (seen, _) = seen(Method::GET, &bytes, close).await;
        assert_eq!(
            seen.unwrap().1.is_some(),
            body.is_some(),
            "{text:?} in bytes"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn some_answers_have_no_body_whatever_they_say() {
    // A server that sends nevertheless what it announces would answer the next request with it.
    for (method, text, is_kept) in [
        (Method::HEAD, "200 OK\r\nContent-Length: 1000", false),
        (Method::HEAD, "200 OK\r\nTransfer-Encoding: chunked", false),
        (Method::HEAD, "200 OK\r\nContent-Length: 0", true),
        (Method::HEAD, "200 OK", false),
        (Method::HEAD, "304 Not Modified", true),
        (Method::GET, "204 No Content", true),
        (Method::GET, "204 No Content\r\nContent-Length: 7", false),
        (Method::GET, "304 Not Modified\r\nContent-Length: 7", false),
        (Method::GET, "304 Not Modified", true),
    ] {
        let head = format!("HTTP/1.1 {text}\r\n\r\n");
        let (found, kept) = seen(method, &[head.as_bytes()], false).await;
        assert_eq!(found.unwrap().1, Some(Bytes::new()), "{text}");
        assert_eq!(kept, is_kept, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_version_and_its_connection_header_say_whether_it_is_kept() {
    for (head, kept) in [
        ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\n", false),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", true),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n",
            false,
        ),
    ] {
        let text = format!("{head}Content-Length: 0\r\n\r\n");
        let (found, is_kept) = seen(Method::GET, &[text.as_bytes()], false).await;
        assert_eq!(found.unwrap().0, 200);
        assert_eq!(is_kept, kept, "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_is_refused() {
    let long = format!("X: {}", "x".repeat(MOST_HEAD));
    let many = "X: y\r\n".repeat(MOST_FIELDS + 1);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nX: a\n\r\n",
        "HTTP/1.1 200 OK\r\nX\0: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 204 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        &format!("{OK}{long}"),
        &format!("{OK}{many}\r\n"),
        &interim,
    ] {
        let (seen, kept) = seen(Method::GET, &[text.as_bytes()], true).await;
        let refused = matches!(
            seen,
            Err(UpstreamError::Invalid(_) | UpstreamError::Ambiguous)
        );
        assert!(refused && !kept, "{text:.80}: {seen:?}");
    }
    let (seen, _) = seen(Method::GET, &[OK.as_bytes(), long.as_bytes()], false).await;
    assert!(matches!(
        seen,
        Err(UpstreamError::Invalid(Invalid::TooLong))
    ));
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_answer_is_no_answer() {
    let text = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for at in 0..text.len() {
        let (seen, kept) = seen(Method::GET, &[&text.as_bytes()[..at]], true).await;
        assert!(
            matches!(seen, Err(UpstreamError::Reset(_))),
            "at {at}: {seen:?}"
        );
        assert!(!kept);
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_the_connection_along_wherever_the_answer_is() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n";
    for at in 0..text.len() {
        let site = Site::new();
        let (lease, mut far) = site.connect(1 << 20);
        far.write_all(&text.as_bytes()[..at]).await.unwrap();
        let reading = async { all(get(lease).await.unwrap()).await };
        // The clock jumps, for nothing more comes.
        assert!(
            timeout(Duration::from_secs(1), reading).await.is_err(),
            "at {at}"
        );
        assert!(
            site.idle().is_none() && site.pool.in_flight() == 0,
            "at {at}"
        );
        far.read_to_end(&mut Vec::new()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_only_if_nothing_came_meanwhile() {
    let site = Site::new();
    let (lease, mut far) = site.connect(1 << 10);
    let answer = format!("{OK}Content-Length: 0\r\n\r\n");
    far.write_all(answer.as_bytes()).await.unwrap();
    drop(get(lease).await.unwrap());
    let again = site.idle().expect("it was given back");
    far.write_all(answer.as_bytes()).await.unwrap();
    drop(get(again).await.unwrap());
    // A byte that nobody asked for.
    far.write_all(b"H").await.unwrap();
    assert!(site.idle().is_none());
    far.read_to_end(&mut Vec::new()).await.unwrap();

    let (lease, mut far) = site.connect(1 << 10);
    far.write_all(answer.as_bytes()).await.unwrap();
    drop(get(lease).await.unwrap());
    drop(far);
    assert!(site.idle().is_none(), "closed meanwhile");

    let (lease, mut far) = site.connect(1 << 10);
    site.open.close();
    far.write_all(answer.as_bytes()).await.unwrap();
    drop(get(lease).await.unwrap());
    assert!(site.idle().is_none(), "the upstream is closed");
    site.open.wait().await;
}

#[tokio::test]
async fn the_kernel_is_asked_before_a_request_that_must_not_be_sent_twice() {
    let site = Site::new();
    for byte in [None, Some(b'H')] {
        let (near, mut far) = UnixStream::pair().unwrap();
        let lease = site.pool.over(Socket::Unix(near), &site.open);
        lease.give_back(Instant::now());
        // Nothing is awaited in between, so the runtime does not know of it.
        match byte {
            Some(byte) => assert_eq!(far.try_write(&[byte]).unwrap(), 1),
            None => far.shutdown().await.unwrap(),
        }
        assert!(site.idle().is_none());
    }
    let (near, _far) = UnixStream::pair().unwrap();
    let lease = site.pool.over(Socket::Unix(near), &site.open);
    lease.give_back(Instant::now());
    assert!(site.idle().is_some());
}

#[tokio::test]
async fn connections_of_a_busier_time_are_closed_when_one_is_used_again_and_again() {
    let site = Site::new();
    let (reuse, kept) = (Duration::from_millis(100), Duration::from_secs(2));
    let began = Instant::now();
    let mut far = Vec::new();
    for _ in 0..3 {
        let (lease, end) = site.connect(1 << 10);
        lease.give_back(began);
        far.push(end);
    }
    let later = |seconds| began + Duration::from_secs(seconds);
    // Nothing was just used; what a request that may be repeated can use stays.
    assert!(site.pool.idle(reuse, kept, later(1)).is_none());
    let last = site.pool.idle(kept, kept, later(1));
    last.expect("it is good for a second more")
        .give_back(later(1));
    assert!(site.pool.idle(reuse, kept, later(2)).is_none());
    let [first, second, last] = far.try_into().unwrap();
    for mut closed in [first, second] {
        closed.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let again = site.pool.idle(kept, kept, later(2));
    assert!(again.is_some(), "the last one is of a second ago");
    drop(last);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_not_pause_for_long() {
    for head in [
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "",
    ] {
        let site = Site::new();
        let (lease, mut far) = site.connect(1000);
        far.write_all(format!("{OK}{head}\r\n").as_bytes())
            .await
            .unwrap();
        let mut body = get(lease).await.unwrap().into_body();
        let began = Instant::now();
        let frame = body.frame().await.unwrap();
        assert!(matches!(frame, Err(AnswerError::Idle)), "{head}");
        assert_eq!(began.elapsed(), PATIENCE);
        far.read_to_end(&mut Vec::new()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_of_an_answer_is_given_before_it_is_told_that_it_broke_off() {
    let site = Site::new();
    let (lease, mut far) = site.connect(1000);
    far.write_all(format!("{OK}Content-Length: 9\r\n\r\nhello").as_bytes())
        .await
        .unwrap();
    far.shutdown().await.unwrap();
    let mut body = get(lease).await.unwrap().into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "hello"
    );
    let mut waits = 0;
    let broken = poll_fn(|cx| {
        let frame = http_body::Body::poll_frame(Pin::new(&mut body), cx);
        waits += u32::from(frame.is_pending());
        frame
    });
    assert!(matches!(broken.await, Some(Err(AnswerError::Broken(_)))));
    assert_eq!(
        waits, 1,
        "a server writes what it has when it is told to wait"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_101_the_bytes_belong_to_who_takes_them_over() {
    let site = Site::new();
    let (lease, mut far) = site.connect(1000);
    far.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello")
        .await
        .unwrap();
    let answer = get(lease).await.unwrap();
    assert_eq!(answer.status(), 101);
    let mut switched = answer.into_body().switched().unwrap();
    let mut read = [0; 5];
    switched.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
    switched.write_all(b"there").await.unwrap();
    far.write_all(b"again").await.unwrap();
    switched.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"again");
    assert_eq!(site.pool.in_flight(), 1);
    drop(switched);
    assert!(site.idle().is_none() && site.pool.in_flight() == 0);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    assert!(sent.ends_with(b"\r\n\r\nthere"));
}
