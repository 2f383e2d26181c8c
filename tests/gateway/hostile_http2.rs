//! HTTP/2 frames, written by hand, whose request no HTTP/1 head could hold: none of them reaches Django in another shape.

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, fields, frame,
};
use crate::support::{Backend, Conn, Gateway, Reply, within};

const GOOD: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "site.test"),
    (":path", "/good"),
];

fn with<'f>(change: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let mut all: Vec<_> = GOOD
        .into_iter()
        .filter(|(name, _)| !change.iter().any(|(other, _)| name == other))
        .collect();
    // Pseudo-headers come before the others.
    let at = all.len();
    all.extend_from_slice(change);
    all[at..].sort_by_key(|(name, _)| !name.starts_with(':'));
    all
}

fn cases() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let smuggled = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a";
    vec![
        ("a line end in a value", with(&[("x", smuggled)])),
        ("a bare CR in a value", with(&[("x", "a\rb")])),
        ("a bare LF in a value", with(&[("x", "a\nb")])),
        ("a NUL in a value", with(&[("x", "a\0b")])),
        ("a blank before a value", with(&[("x", " a")])),
        ("a tab behind a value", with(&[("x", "a\t")])),
        ("a value of a blank", with(&[("x", " ")])),
        ("a line end in a name", with(&[("x\r\ny", "a")])),
        (
            "a colon in a name",
            with(&[("content-length: 5\r\nx", "a")]),
        ),
        ("a space in a name", with(&[("content-length ", "5")])),
        ("an empty name", with(&[("", "a")])),
        ("an upper case name", with(&[("X-Upper", "a")])),
        (
            "a line end in the path",
            with(&[(":path", "/ HTTP/1.1\r\nHost: a\r\nX: ")]),
        ),
        ("a space in the path", with(&[(":path", "/a b")])),
        ("a path of nothing", with(&[(":path", "")])),
        ("a path without a slash", with(&[(":path", "good")])),
        ("a query as the path", with(&[(":path", "?/good")])),
        ("an empty scheme", with(&[(":scheme", "")])),
        ("dots in the path", with(&[(":path", "/a/../admin")])),
        ("an encoded NUL in the path", with(&[(":path", "/a%00")])),
        (
            "a line end in the method",
            with(&[(":method", "GET / HTTP/1.1\r\nX: ")]),
        ),
        ("a space in the method", with(&[(":method", "GET /admin")])),
        (
            "a line end in the authority",
            with(&[(":authority", "a\r\nX: b")]),
        ),
        ("a path in the authority", with(&[(":authority", "a/b")])),
        ("a user in the authority", with(&[(":authority", "u@a")])),
        (
            "an authority and another host",
            with(&[("host", "evil.test")]),
        ),
        (
            "two hosts",
            with(&[("host", "site.test"), ("host", "evil.test")]),
        ),
        (
            "no authority",
            vec![(":method", "GET"), (":scheme", "http"), (":path", "/")],
        ),
        ("two paths", with(&[(":path", "/a"), (":path", "/b")])),
        ("a pseudo-header nobody knows", with(&[(":x", "a")])),
        (
            "transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
        ),
        ("connection", with(&[("connection", "x-secret")])),
        ("an upgrade", with(&[("upgrade", "h2c")])),
        ("a length without a body", with(&[("content-length", "5")])),
        (
            "two lengths",
            with(&[("content-length", "0"), ("content-length", "5")]),
        ),
        ("a length that is none", with(&[("content-length", "+5")])),
        (
            "connect",
            vec![(":method", "CONNECT"), (":authority", "a:80")],
        ),
        (
            "an extended connect",
            with(&[(":method", "CONNECT"), (":protocol", "websocket")]),
        ),
        ("trace", with(&[(":method", "TRACE")])),
    ]
}

/// Sends the frames after the preface, then a good request on a later stream; reads until that is answered or the
/// connection ends.
async fn sent(gateway: &Gateway, frames: &[u8]) {
    let mut conn = Conn::open(&gateway.public).await;
    let good = frame(HEADERS, END_STREAM | END_HEADERS, 5, &fields(&GOOD));
    conn.send([PREFACE, &frame(SETTINGS, 0, 0, b""), frames, &good].concat())
        .await;
    within("the good answer, or the end", async {
        loop {
            let Some(head) = conn.try_bytes(9).await else {
                return;
            };
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let whole = conn.try_bytes(length as usize).await.is_some();
            if !whole || stream == 5 && head[3] == HEADERS {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_http_1_could_not_say_is_refused() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for (name, case) in cases() {
        sent(
            &gateway,
            &frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields(&case)),
        )
        .await;
        backend.seen(|log| {
            for request in &log.requests {
                assert_eq!(request.line(), "GET /good", "{name}");
                assert_eq!(request.header("host"), Some("site.test"), "{name}");
                for header in [
                    "x",
                    "content-length",
                    "upgrade",
                    "x-secret",
                    "transfer-encoding",
                ] {
                    assert_eq!(request.header(header), None, "{name}");
                }
            }
            let heads: usize = log.requests.iter().map(|request| request.head.len()).sum();
            let bytes: usize = log.connections.iter().map(|conn| conn.bytes.len()).sum();
            assert_eq!(heads, bytes, "{name}");
        });
    }
    assert!(
        backend.count() >= 5,
        "most are errors of one stream: the good one behind is answered"
    );
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_never_reaches_django_as_whole() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    for (length, body) in [
        ("5", "abc"),
        ("3", "abcde"),
        ("0", "GET /smuggled HTTP/1.1\r\n\r\n"),
    ] {
        let case = with(&[
            (":method", "POST"),
            (":path", "/post"),
            ("content-length", length),
        ]);
        let frames = [
            frame(HEADERS, END_HEADERS, 1, &fields(&case)),
            frame(DATA, END_STREAM, 1, body.as_bytes()),
        ];
        sent(&gateway, &frames.concat()).await;
        backend.seen(|log| {
            for request in &log.requests {
                let is_good = request.line() == "GET /good";
                assert!(
                    is_good && request.body.is_empty(),
                    "{length} {body}: {}",
                    request.head
                );
            }
        });
    }
}
