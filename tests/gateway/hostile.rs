//! Messages that could be read in two ways never reach Django: 400, and the connection ends.

use crate::support::gateway::everything_to;
use crate::support::{Backend, Conn, Gateway, Reply, within};
use tidegate::server::Address;

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: site.test\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// Requests of ambiguous framing or with a malformed head. What follows one on its connection is never looked at.
const AMBIGUOUS: [(&str, &str); 50] = [
    (
        "two equal lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ),
    (
        "two different lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    ),
    (
        "a length with a plus",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
    ),
    (
        "a hexadecimal length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
    ),
    (
        "a length with an underscore",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n0123456789",
    ),
    (
        "an empty length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    ),
    (
        "a length beyond all numbers",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ),
    (
        "a length, then chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, then a length",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked with a length of nought",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "gzip, chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, identity",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "identity",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
    ),
    (
        "xchunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in quotes",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked with a parameter",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked with a vertical tab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an empty transfer coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
    ),
    (
        "chunked in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a bare LF after the request line",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
    ),
    (
        "a bare LF after a field",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    ),
    (
        "a bare LF as the end of the head",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
    ),
    (
        "a bare CR in a field",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    ),
    (
        "a bare CR in a name",
        "GET / HTTP/1.1\r\nHost: a\r\nX\rY: b\r\n\r\n",
    ),
    (
        "a folded line",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    ),
    (
        "a folded line with a tab",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
    ),
    (
        "a first line that is folded",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    ),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    ),
    (
        "a tab before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a name of nothing",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    ),
    (
        "a line without a colon",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    ),
    (
        "a NUL in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    ),
    (
        "a NUL in a name",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
    ),
    (
        "an escape in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x1b[0m\r\n\r\n",
    ),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    (
        "the same host twice",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    (
        "a method that is no token",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "two spaces in the request line",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "a tab in the request line",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/0.9", "GET /\r\n\r\n"),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    (
        "HTTP/2.0 in plain words",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
    ("http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    (
        "two empty lines before",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
];

/// Chunks that could be read in two ways, after a head that is good.
const CHUNKS: [(&str, &str); 13] = [
    ("a bare LF after a size", "3\nabc\r\n0\r\n\r\n"),
    ("a bare LF after data", "3\r\nabc\n0\r\n\r\n"),
    ("a size that is too small", "2\r\nabc\r\n0\r\n\r\n"),
    ("a size with a plus", "+3\r\nabc\r\n0\r\n\r\n"),
    ("a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("a size with a space before", " 3\r\nabc\r\n0\r\n\r\n"),
    (
        "a size beyond 64 bits",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    ("a size of 2^63", "8000000000000000\r\nabc\r\n0\r\n\r\n"),
    ("no size", "\r\nabc\r\n0\r\n\r\n"),
    ("a bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("a bare LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    (
        "a trailer that names the length",
        "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    ),
    ("a bare LF in a trailer", "3\r\nabc\r\n0\r\nX: y\n\r\n"),
];

/// Well framed, but refused: the target or the host is not clear.
const UNCLEAR: [(&str, &str, u16); 24] = [
    ("no host", "GET / HTTP/1.1\r\n", 400),
    ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n", 400),
    (
        "a host with a space",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        400,
    ),
    ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n", 400),
    ("a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n", 400),
    (
        "a host with a comma",
        "GET / HTTP/1.1\r\nHost: a, b\r\n",
        400,
    ),
    (
        "a port that is none",
        "GET / HTTP/1.1\r\nHost: a:b\r\n",
        400,
    ),
    ("no host in HTTP/1.0", "GET / HTTP/1.0\r\n", 400),
    (
        "an absolute target that disagrees",
        "GET http://evil.test/ HTTP/1.1\r\nHost: site.test\r\n",
        400,
    ),
    (
        "an absolute target without a host",
        "GET http://site.test/ HTTP/1.1\r\n",
        400,
    ),
    (
        "a target without a slash",
        "GET a/b HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    ("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n", 400),
    ("dots", "GET /a/../admin HTTP/1.1\r\nHost: a\r\n", 400),
    (
        "encoded dots",
        "GET /a/%2e%2e/admin HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    (
        "half encoded dots",
        "GET /a/.%2E/admin HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    (
        "dots behind an encoded slash",
        "GET /a%2f..%2fadmin HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    (
        "dots behind a backslash",
        "GET /a\\..\\admin HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    ("an encoded NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n", 400),
    (
        "an encoded line end",
        "GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    ("a bad escape", "GET /a%zz HTTP/1.1\r\nHost: a\r\n", 400),
    ("an escape cut off", "GET /a%2 HTTP/1.1\r\nHost: a\r\n", 400),
    (
        "an overlong encoding",
        "GET /a%c0%af HTTP/1.1\r\nHost: a\r\n",
        400,
    ),
    ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n", 405),
    ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n", 405),
];

struct Site {
    gateway: Gateway,
    backend: Backend,
}

impl Site {
    async fn start() -> Self {
        let backend = Backend::start(|_| Reply::ok("fine")).await;
        let gateway = Gateway::before(&backend.address, "").await;
        Self { gateway, backend }
    }

    /// Sends `bytes` on a connection of their own: everything that comes until its end.
    async fn answers(&self, address: &Address, bytes: &str) -> String {
        let mut conn = Conn::open(address).await;
        conn.send(bytes).await;
        let rest = within("the end of the connection", conn.rest()).await;
        String::from_utf8(rest).unwrap()
    }

    /// Django must have seen good requests only, and those to the last byte.
    fn saw_nothing_odd(&self, name: &str) {
        self.backend.seen(|log| {
            for request in &log.requests {
                assert_eq!(request.line(), "GET /good", "{name}");
                assert!(request.body.is_empty(), "{name}");
            }
            let heads: usize = log.requests.iter().map(|request| request.head.len()).sum();
            let bytes: usize = log.connections.iter().map(|conn| conn.bytes.len()).sum();
            assert_eq!(heads, bytes, "{name}: nothing but good requests");
        });
    }
}

fn is_refusal(name: &str, answers: &str) {
    assert!(
        answers.is_empty()
            || answers.starts_with("HTTP/1.1 400 ")
            || answers.starts_with("HTTP/1.0 400 "),
        "{name}: {answers:?}"
    );
    assert!(
        answers.matches("HTTP/1.").count() <= 1,
        "{name}: one answer at most: {answers:?}"
    );
}

#[tokio::test]
async fn an_ambiguous_message_is_refused_and_ends_its_connection() {
    let site = Site::start().await;
    for (name, request) in AMBIGUOUS {
        let bytes = format!("{request}{SMUGGLED}");
        let answers = site.answers(&site.gateway.public, &bytes).await;
        is_refusal(name, &answers);
        assert!(!answers.is_empty(), "{name}: a bad head is answered");
        site.saw_nothing_odd(name);
    }
}

#[tokio::test]
async fn an_ambiguous_message_is_refused_on_a_unix_socket_too() {
    let site = Site::start().await;
    for (name, request) in AMBIGUOUS {
        let bytes = format!("{request}{SMUGGLED}");
        is_refusal(name, &site.answers(&site.gateway.public_unix, &bytes).await);
        site.saw_nothing_odd(name);
    }
}

#[tokio::test]
async fn an_ambiguous_message_behind_a_good_one_is_refused_all_the_same() {
    let site = Site::start().await;
    for (name, request) in AMBIGUOUS {
        let bytes = format!("{GOOD}{request}{SMUGGLED}");
        let answers = site.answers(&site.gateway.public, &bytes).await;
        let (first, second) = answers
            .split_once("fine")
            .unwrap_or_else(|| panic!("{name}: {answers:?}"));
        assert!(first.starts_with("HTTP/1.1 200 "), "{name}: {answers:?}");
        is_refusal(name, second);
        site.saw_nothing_odd(name);
    }
}

#[tokio::test]
async fn an_ambiguous_chunk_never_reaches_django() {
    let site = Site::start().await;
    for (name, chunks) in CHUNKS {
        let bytes = format!(
            "POST /bad HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{SMUGGLED}"
        );
        for address in [&site.gateway.public, &site.gateway.public_unix] {
            is_refusal(name, &site.answers(address, &bytes).await);
            is_refusal(name, &site.answers_after_good(address, &bytes).await);
        }
        site.saw_nothing_odd(name);
    }
}

impl Site {
    async fn answers_after_good(&self, address: &Address, bytes: &str) -> String {
        let answers = self.answers(address, &format!("{GOOD}{bytes}")).await;
        answers
            .split_once("fine")
            .expect("the good one is answered")
            .1
            .to_owned()
    }
}

#[tokio::test]
async fn a_message_cut_anywhere_is_refused_all_the_same() {
    let site = Site::start().await;
    let mut random = fastrand::Rng::with_seed(7);
    for (name, request) in AMBIGUOUS {
        let bytes = format!("{request}{SMUGGLED}").into_bytes();
        let mut conn = Conn::open(&site.gateway.public).await;
        let mut left = &bytes[..];
        while !left.is_empty() {
            let (now, later) = left.split_at(random.usize(1..=left.len().min(16)));
            conn.send(now).await;
            tokio::task::yield_now().await;
            left = later;
        }
        let answers = String::from_utf8(conn.rest().await).unwrap();
        is_refusal(name, &answers);
        site.saw_nothing_odd(name);
    }
}

#[tokio::test]
async fn an_unclear_target_or_host_is_refused() {
    let site = Site::start().await;
    for (name, request, status) in UNCLEAR {
        for address in [&site.gateway.public, &site.gateway.public_unix] {
            let answers = site
                .answers(address, &format!("{request}Connection: close\r\n\r\n"))
                .await;
            assert!(
                answers.split(' ').nth(1) == Some(&status.to_string()),
                "{name}: {answers:?}"
            );
            assert!(!answers.contains("fine"), "{name}");
        }
        site.saw_nothing_odd(name);
    }
    assert_eq!(site.backend.count(), 0);
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_never_its_next_request() {
    let site = Site::start().await;
    let length = SMUGGLED.len();
    let bytes = format!(
        "POST /a/../b HTTP/1.1\r\nHost: site.test\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}\
         GET /good HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n"
    );
    let answers = site.answers(&site.gateway.public, &bytes).await;
    assert!(answers.starts_with("HTTP/1.1 400 "), "{answers}");
    site.saw_nothing_odd("the body");
}

#[tokio::test]
async fn behind_a_connect_and_a_foreign_host_nothing_is_read() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let hosts = "[server]\nhosts = [\"site.test\"]\n";
    let file = format!("{hosts}{}", everything_to(&backend.address, ""));
    let gateway = Gateway::start(&file).await;
    for (head, status) in [
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421),
    ] {
        let mut conn = Conn::open(&gateway.public).await;
        let answer = conn.ask(format!("{head}{SMUGGLED}")).await;
        assert_eq!(answer.status, status);
        assert!(within("the end", conn.rest()).await.is_empty());
    }
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn an_absolute_target_that_agrees_is_served() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = Conn::open(&gateway.public).await;
    let answer = conn
        .ask("GET http://site.test/a?b HTTP/1.1\r\nHost: site.test\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    let request = backend.request(0).await;
    assert_eq!(
        (request.line(), request.header("host")),
        ("GET /a?b", Some("site.test"))
    );
}
