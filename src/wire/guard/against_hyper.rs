//! What the guard promises of hyper: a poisoned head is answered 400 at once, however much hyper had read before.
//!
//! hyper's leniency and its way of waiting for the end of a head may change with a release; then this fails.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Guard, Limits, POISON, Verdict};

async fn good(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// What hyper answers to `bytes` behind a guard, in pieces of `size`, while the client keeps its side open.
async fn answer(bytes: &[u8], size: usize) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let mut conn =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(good)));
    let mut guard = Guard::new(Limits::default());
    for piece in bytes.chunks(size) {
        let verdict = guard.feed(piece);
        if let Verdict::Poisoned { at, .. } = verdict {
            assert!(!guard.in_body());
            client.write_all(&piece[..at]).await.unwrap();
            client.write_all(POISON).await.unwrap();
            break;
        }
        client.write_all(piece).await.unwrap();
        // Lets hyper read, and so parse, what there is.
        assert!(poll_once(conn.as_mut()).await.is_none(), "not yet poisoned");
    }
    let _served = conn.await;
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn hyper_answers_400_to_a_poisoned_head() {
    for head in [
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\n\r\n",
        "GET / HTTP/1.1\r\rX",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET /\0 HTTP/1.1\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "\rGET / HTTP/1.1\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n\n",
        "GET / HTTP/1.1\r\nX: a\r\n\rX",
        "GET / HTTP/1.1\r\nX: a\0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunke\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        for size in [1, 5, usize::MAX] {
            let text = answer(head.as_bytes(), size).await;
            assert!(
                text.starts_with("HTTP/1.1 400"),
                "{head:?} by {size}: {text:?}"
            );
            let second = format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{head}");
            let text = answer(second.as_bytes(), size).await;
            let answers: Vec<&str> = text.matches("HTTP/1.1 ").collect();
            assert_eq!(answers.len(), 2, "{head:?} by {size}: {text:?}");
            assert!(
                text.starts_with("HTTP/1.1 200") && text.contains("HTTP/1.1 400"),
                "{text:?}"
            );
        }
    }
}
