//! What of a request is written when, and what becomes of it if the server answers early or not at all.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::exchange::Exchange;
use super::tests::{PATIENCE, Site, all, ask, get, head};
use super::{RequestBody, UpstreamError};

#[tokio::test(start_paused = true)]
async fn a_body_has_the_length_its_head_says() {
    for body in ["", "hello", &"x".repeat(100_000)] {
        let site = Site::new();
        let (lease, mut far) = site.connect(1000);
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let expected = format!(
            "POST /a?b HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = async {
            let mut read = vec![0; expected.len()];
            far.read_exact(&mut read).await.unwrap();
            assert!(read == expected.as_bytes());
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
        };
        let (answer, ()) =
            tokio::join!(ask(lease, Method::POST, RequestBody::Memory(bytes)), server);
        assert_eq!(answer.unwrap().status(), 200);
        assert!(site.idle().is_some(), "{} bytes", body.len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_before_the_body_was_taken() {
    let upload = || RequestBody::Memory(vec![b'x'; 100_000].into());
    let site = Site::new();
    let (lease, mut far) = site.connect(1000);
    far.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        .await
        .unwrap();
    let answer = ask(lease, Method::POST, upload()).await.unwrap();
    assert_eq!(all(answer).await, (413, Some("no".into())));
    assert!(
        site.idle().is_none(),
        "the rest of the body would be the next request"
    );

    // A server that goes on reading while it answers gets all of it.
    let (lease, mut far) = site.connect(1000);
    far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12")
        .await
        .unwrap();
    let answer = ask(lease, Method::POST, upload()).await.unwrap();
    let server = async {
        let mut read = vec![0; 100_000];
        far.read_exact(&mut read).await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"xx\r") && read.len() < 100 {
            match timeout(Duration::from_secs(1), far.read_u8()).await {
                Ok(byte) => read.push(byte.unwrap()),
                Err(_) => break,
            }
        }
        far.write_all(b"34").await.unwrap();
        read.len()
    };
    let (answer, rest) = tokio::join!(all(answer), server);
    assert_eq!(answer, (200, Some("1234".into())));
    assert_eq!(
        rest,
        "POST /a?b HTTP/1.1\r\ncontent-length: 100000\r\n\r\n".len()
    );
    assert!(site.idle().is_some());

    // One that stops reading may have answered all the same.
    let (lease, mut far) = site.connect(1000);
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let server = async {
        far.read_u8().await.unwrap();
        far.write_all(answer.as_bytes()).await.unwrap();
        drop(far);
    };
    let (answer, ()) = tokio::join!(ask(lease, Method::POST, upload()), server);
    assert_eq!(all(answer.unwrap()).await, (403, Some("no".into())));
    assert!(site.idle().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_can_be_sent_again() {
    let site = Site::new();
    let bodies = [RequestBody::Empty, RequestBody::Memory("hello".into())];
    for body in bodies {
        let (lease, mut far) = site.connect(1000);
        // An answer to nobody, from a server that gives up an idle connection.
        far.write_all(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        drop(far);
        let length = body.length();
        let now = Instant::now();
        let mut exchange = Exchange::new(lease, &head(Method::POST), None, body, now, PATIENCE);
        let answer = poll_fn(|cx| exchange.poll(cx)).await;
        assert!(matches!(answer, Err(UpstreamError::Reset(_))), "{answer:?}");
        assert_eq!(exchange.unsent().unwrap().length(), length);
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_an_answer_begins_when_the_body_last_moved() {
    let site = Site::new();
    let (lease, _far) = site.connect(1000);
    let began = Instant::now();
    let answer = get(lease).await;
    assert!(matches!(answer, Err(UpstreamError::ResponseTimeout)));
    assert_eq!(began.elapsed(), PATIENCE);

    let (lease, mut far) = site.connect(1000);
    let server = async {
        tokio::time::sleep(PATIENCE / 2).await;
        far.read_exact(&mut [0; 500]).await.unwrap();
        std::future::pending::<()>().await;
    };
    let body = RequestBody::Memory(vec![b'x'; 2000].into());
    let began = Instant::now();
    let answer = tokio::select! {
        answer = ask(lease, Method::POST, body) => answer,
        () = server => unreachable!(),
    };
    assert!(matches!(answer, Err(UpstreamError::ResponseTimeout)));
    assert_eq!(began.elapsed(), PATIENCE / 2 + PATIENCE);
}
