//! `[compress]`: what is sent in a coding, what never is, and what the headers say in either case.

use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder};
use serde_json::json;

use crate::support::client::Piece;
use crate::support::{
    Answer, Backend, Conn, EventSource, Gate, Gateway, Reply, gateway, until, within,
};

const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n";

fn page() -> String {
    (0..400).fold(String::new(), |page, n| {
        format!("{page}<li>{}</li>\n", n * n % 97)
    })
}

/// A backend that answers with a long page and the header lines that a test has for its path.
async fn site_with(
    table: &str,
    answers: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (Gateway, Backend) {
    let backend = Backend::start(move |request| answers(request.target())).await;
    let text = format!(
        "{table}\n{}\
         [[route]]\npath = \"/live/\"\nsse = {{ channels = [\"news\"], public = true }}\n\
         [[route]]\npath = \"/plain/\"\nproxy = \"django\"\ncompress = false\n{}",
        gateway::upstream(&backend.address, ""),
        gateway::PROXY
    );
    (Gateway::start(&text).await, backend)
}

async fn site(table: &str, lines: &'static str) -> (Gateway, Backend) {
    site_with(table, move |_| Reply::answer("200 OK", lines, &page())).await
}

async fn ask(gateway: &Gateway, line: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    conn.send(head).await;
    conn.answer_to(line.split(' ').next().unwrap()).await
}

async fn gzip(gateway: &Gateway, target: &str) -> Answer {
    ask(
        gateway,
        &format!("GET {target}"),
        "Accept-Encoding: gzip\r\n",
    )
    .await
}

/// What is read of the bytes, and whether the end was among them.
fn decoded(coding: &str, bytes: &[u8]) -> (String, bool) {
    let mut decoder: Box<dyn DecodeV2> = match coding {
        "br" => Box::new(BrotliDecoder::new()),
        "zstd" => Box::new(ZstdDecoder::new()),
        "gzip" => Box::new(GzipDecoder::new()),
        _ => panic!("{coding}"),
    };
    let (mut input, mut text, mut room) = (PartialBuffer::new(bytes), vec![], vec![0; 1 << 16]);
    loop {
        let before = input.written_len();
        let mut room = WriteBuffer::new_initialized(&mut room);
        // Gzip takes it for a mistake that there is nothing more for now.
        let nothing = input.unwritten().is_empty();
        let ended = decoder.decode(&mut input, &mut room);
        let ended = ended.unwrap_or_else(|error| {
            assert!(nothing, "{error}");
            false
        });
        text.extend_from_slice(room.written());
        if ended || (room.written_len() == 0 && input.written_len() == before) {
            return (String::from_utf8(text).unwrap(), ended);
        }
    }
}

/// That it was compressed, and what it says.
fn read(answer: &Answer) -> String {
    let coding = answer.header("content-encoding").unwrap_or_default();
    let (text, ended) = decoded(coding, &answer.body);
    assert!(ended && answer.whole);
    text
}

#[track_caller]
fn is_plain(answer: &Answer, vary: Option<&str>, why: &str) {
    assert_eq!(answer.header("content-encoding"), None, "{why}");
    assert_eq!(answer.header("vary"), vary, "{why}");
}

#[tokio::test]
async fn the_coding_a_client_likes_best_is_sent() {
    let (gateway, _backend) = site("[compress]", HTML).await;
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0.5, gzip", "gzip"),
        ("*", "zstd"),
    ] {
        let lines = format!("Accept-Encoding: {accepted}\r\n");
        let answer = ask(&gateway, "GET /", &lines).await;
        assert_eq!(answer.header("content-encoding"), Some(coding));
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(&*length));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert_eq!(read(&answer), page());
    }
    for lines in [
        "",
        "Accept-Encoding: identity\r\n",
        "Accept-Encoding: gzip;q=0\r\n",
        "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\n",
    ] {
        let answer = ask(&gateway, "GET /", lines).await;
        is_plain(&answer, Some("Accept-Encoding"), lines);
        assert_eq!(answer.text(), page());
    }
    let mut publisher = gateway.publisher().await;
    let zstd = "tidegate_compressed_total{coding=\"zstd\"}";
    assert_eq!(publisher.metric(zstd).await, 2);
    let read = "tidegate_compress_read_bytes_total";
    assert_eq!(publisher.metric(read).await, 5 * page().len() as u64);
    assert!(
        publisher
            .metric("tidegate_compress_written_bytes_total")
            .await
            > 0
    );
}

#[tokio::test]
async fn without_the_table_nothing_is_touched() {
    let (gateway, _backend) = site("", HTML).await;
    let answer = gzip(&gateway, "/").await;
    is_plain(&answer, None, "no table");
    assert_eq!(answer.text(), page());
}

#[tokio::test]
async fn the_keys_say_what_is_compressed() {
    let table =
        "[compress]\ntypes = [\"application/x-own\"]\nalgorithms = [\"br\"]\nmin_size = \"4B\"\n";
    let (gateway, _backend) = site_with(table, |target| match target {
        "/own/" => Reply::answer(
            "200 OK",
            "content-type: Application/X-Own;a=b\r\n",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        "/short/" => Reply::answer("200 OK", "Content-Type: application/x-own\r\n", "aaa"),
        _ => Reply::answer("200 OK", HTML, &page()),
    })
    .await;
    is_plain(
        &gzip(&gateway, "/own/").await,
        Some("Accept-Encoding"),
        "gzip is not offered",
    );
    let answer = ask(&gateway, "GET /own/", "Accept-Encoding: gzip, br\r\n").await;
    assert_eq!(read(&answer).len(), 31);
    let answer = ask(&gateway, "GET /short/", "Accept-Encoding: br\r\n").await;
    is_plain(&answer, None, "too short");
    let answer = ask(&gateway, "GET /page/", "Accept-Encoding: br\r\n").await;
    is_plain(&answer, None, "no such type");
}

#[tokio::test]
async fn some_answers_are_never_compressed() {
    let (gateway, _backend) = site_with("[compress]", |target| {
        let more = match target {
            "/coded/" => "Content-Encoding: gzip\r\n",
            "/identity/" => "Content-Encoding: identity\r\n",
            "/cookie/" => "Set-Cookie: a=b\r\n",
            "/as-it-is/" => "Cache-Control: public\r\nCache-Control: max-age=1, No-Transform\r\n",
            "/event-stream/" => {
                return Reply::answer(
                    "200 OK",
                    "Content-Type: Text/Event-Stream ;charset=utf-8\r\n",
                    &page(),
                );
            }
            "/image/" => return Reply::answer("200 OK", "Content-Type: image/png\r\n", &page()),
            "/untyped/" => return Reply::answer("200 OK", "", &page()),
            "/short/" => return Reply::answer("200 OK", HTML, &page()[..1023]),
            "/empty/" => return Reply::raw(format!("HTTP/1.1 204 No Content\r\n{HTML}\r\n")),
            "/part/" => {
                let lines = "Content-Type: text/html\r\nContent-Range: bytes 0-9/10\r\n";
                return Reply::answer("206 Partial Content", lines, &page());
            }
            _ => "",
        };
        Reply::answer("200 OK", &format!("{HTML}{more}"), &page())
    })
    .await;
    for target in [
        "/identity/",
        "/cookie/",
        "/as-it-is/",
        "/event-stream/",
        "/image/",
        "/untyped/",
        "/short/",
        "/empty/",
        "/plain/",
    ] {
        let answer = gzip(&gateway, target).await;
        let coding = answer.header("content-encoding").unwrap_or("identity");
        assert_eq!(
            (coding, answer.header("vary")),
            ("identity", None),
            "{target}"
        );
        assert!(answer.whole);
    }
    // The whole would be, so a cache must tell its parts apart as well.
    let part = gzip(&gateway, "/part/").await;
    is_plain(&part, Some("Accept-Encoding"), "a part");
    assert_eq!(part.status, 206);
    // Django has done it already.
    let answer = gzip(&gateway, "/coded/").await;
    assert_eq!((answer.text(), answer.header("vary")), (&*page(), None));
}

#[tokio::test]
async fn answers_that_set_cookies_are_compressed_if_that_is_wanted() {
    let lines = "Content-Type: text/html\r\nSet-Cookie: a=b\r\n";
    let (gateway, _backend) = site("[compress]\ncookies = true\n", lines).await;
    assert_eq!(read(&gzip(&gateway, "/").await), page());
}

#[tokio::test]
async fn headers_about_the_bytes_are_true_or_gone() {
    let lines = "Content-Type: text/css\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\nVary: Cookie, Origin\r\n\
                 Content-Digest: sha-256=:x:\r\nRepr-Digest: sha-256=:x:\r\nContent-MD5: x\r\nLast-Modified: today\r\n";
    let (gateway, _backend) = site("[compress]", lines).await;
    let answer = gzip(&gateway, "/").await;
    assert_eq!(read(&answer), page());
    assert_eq!(answer.header("etag"), Some("W/\"v1\""));
    assert_eq!(answer.header("last-modified"), Some("today"));
    let vary: Vec<_> = answer.all("vary").collect();
    assert_eq!(vary, ["Cookie, Origin", "Accept-Encoding"]);
    for name in [
        "accept-ranges",
        "content-digest",
        "repr-digest",
        "content-md5",
    ] {
        assert_eq!(answer.header(name), None);
    }
    let plain = ask(&gateway, "GET /", "").await;
    assert_eq!(plain.header("etag"), Some("\"v1\""));
    assert_eq!(plain.header("accept-ranges"), Some("bytes"));
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let (gateway, _backend) = site_with("[compress]", |target| {
        let length = if target == "/short/" { 1000 } else { 9000 };
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\n{HTML}ETag: \"a\"\r\nContent-Length: {length}\r\n\r\n"
        ))
    })
    .await;
    let head = ask(&gateway, "HEAD /", "Accept-Encoding: br\r\n").await;
    assert_eq!(head.header("content-encoding"), Some("br"));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(head.header("etag"), Some("W/\"a\""));
    let plain = ask(&gateway, "HEAD /", "").await;
    is_plain(&plain, Some("Accept-Encoding"), "HEAD");
    assert_eq!(plain.header("content-length"), Some("9000"));
    let short = ask(&gateway, "HEAD /short/", "Accept-Encoding: br\r\n").await;
    is_plain(&short, None, "short");
    assert_eq!(short.header("content-length"), Some("1000"));
}

#[tokio::test]
async fn a_304_confirms_the_tag_that_the_client_has() {
    let (gateway, backend) = site_with("[compress]", |_| {
        Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n")
    })
    .await;
    for (known, tag, vary) in [
        ("\"v0\", W/\"v1\"", "W/\"v1\"", Some("Accept-Encoding")),
        ("\"v1\"", "\"v1\"", None),
    ] {
        let lines = format!("Accept-Encoding: gzip\r\nIf-None-Match: {known}\r\n");
        let answer = ask(&gateway, "GET /", &lines).await;
        assert_eq!((answer.status, answer.header("etag")), (304, Some(tag)));
        is_plain(&answer, vary, known);
    }
    // Django compares as it likes, with what the client sent.
    let sent = backend.request(0).await;
    assert_eq!(sent.header("if-none-match"), Some("\"v0\", W/\"v1\""));
    assert_eq!(sent.header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn what_django_streams_arrives_when_it_is_written() {
    for coding in ["gzip", "br", "zstd"] {
        let gates = [Gate::new(), Gate::new()];
        let waited = gates.clone();
        let (gateway, _backend) = site_with("[compress]", move |_| {
            Reply::raw(format!(
                "HTTP/1.1 200 OK\r\n{HTML}Transfer-Encoding: chunked\r\n\r\n"
            ))
            .then("5\r\nfirst\r\n")
            .wait(&waited[0])
            .then("6\r\nsecond\r\n")
            .wait(&waited[1])
            .then("0\r\n\r\n")
        })
        .await;
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"
        ))
        .await;
        let head = conn.head().await;
        assert_eq!(head.header("content-encoding"), Some(coding));
        let mut framing = Conn::framing(&head, "GET");
        let (mut bytes, mut gates) = (Vec::new(), gates.iter());
        for text in ["first", "firstsecond"] {
            within("what was written", async {
                while decoded(coding, &bytes) != (text.to_owned(), false) {
                    match conn.piece(&mut framing).await {
                        Piece::Data(data) => bytes.extend(data),
                        other => panic!("{other:?}"),
                    }
                }
            })
            .await;
            gates.next().unwrap().open();
        }
        while let Piece::Data(data) = conn.piece(&mut framing).await {
            bytes.extend(data);
        }
        assert_eq!(decoded(coding, &bytes), ("firstsecond".to_owned(), true));
    }
}

#[tokio::test]
async fn a_long_answer_is_compressed_as_it_comes() {
    let long = (0..60_000).fold(String::new(), |long, n| long + &n.to_string() + "\n");
    let sent = long.clone();
    let (gateway, _backend) =
        site_with("[compress]", move |_| Reply::answer("200 OK", HTML, &sent)).await;
    for coding in ["gzip", "br", "zstd"] {
        let lines = format!("Accept-Encoding: {coding}\r\n");
        let answer = ask(&gateway, "GET /", &lines).await;
        assert_eq!(answer.header("content-length"), None);
        assert!(read(&answer) == long);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to() {
    let (gateway, _backend) = site_with("[compress]", |_| {
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\n{HTML}Content-Length: 900000\r\n\r\n"
        ))
        .then(page())
        .close()
    })
    .await;
    let answer = gzip(&gateway, "/").await;
    assert!(!answer.whole);
    let (text, ended) = decoded("gzip", &answer.body);
    assert!(!ended && page().starts_with(&text));
}

#[tokio::test]
async fn streams_are_left_alone() {
    let (gateway, _backend) = site("[compress]\nmin_size = \"0B\"\n", HTML).await;
    let lines = "Accept-Encoding: gzip, br, zstd\r\n";
    let mut stream = EventSource::open_with(&gateway.public, "/live/", lines).await;
    assert_eq!(stream.head.header("content-encoding"), None);
    assert_eq!(stream.head.header("vary"), None);
    gateway.publisher().await.text("news", "hello").await;
    assert_eq!(stream.data(1).await, ["hello"]);
}

#[tokio::test]
async fn http_1_0_gets_it_as_it_is() {
    let (gateway, _backend) = site("[compress]", HTML).await;
    let mut conn = Conn::open(&gateway.public).await;
    let head = "GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    let answer = conn.ask(head).await;
    is_plain(&answer, Some("Accept-Encoding"), "HTTP/1.0");
    assert_eq!(answer.text(), page());
}

#[tokio::test]
async fn files_and_pages_of_ours_are_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let css = (0..30_000).fold(String::new(), |css, n| {
        css + "a" + &(n % 1000).to_string() + " {}\n"
    });
    std::fs::write(folder.path().join("app.css"), &css).unwrap();
    std::fs::write(folder.path().join("both.css"), &css).unwrap();
    std::fs::write(folder.path().join("both.css.gz"), "by hand").unwrap();
    std::fs::write(folder.path().join("404.html"), page()).unwrap();
    let root = folder.path().display();
    let text = format!(
        "[compress]\n[errors]\npages = {{ 404 = \"{root}/404.html\" }}\n\
         [[route]]\npath = \"/static/<path:file>\"\nstatic = {{ root = \"{root}\", precompressed = true }}\n"
    );
    let gateway = Gateway::start(&text).await;
    let answer = gzip(&gateway, "/static/app.css").await;
    assert!(read(&answer) == css);
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.header("accept-ranges"), None);
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with("W/"));
    let lines = format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n");
    let again = ask(&gateway, "GET /static/app.css", &lines).await;
    assert_eq!((again.status, again.header("etag")), (304, Some(tag)));
    let lines = "Accept-Encoding: gzip\r\nRange: bytes=0-4\r\n";
    let part = ask(&gateway, "GET /static/app.css", lines).await;
    assert_eq!((part.status, part.text()), (206, &css[..5]));
    is_plain(&part, Some("Accept-Encoding"), "a part");
    let answer = gzip(&gateway, "/static/both.css").await;
    assert_eq!(answer.text(), "by hand");
    assert!(answer.header("etag").unwrap().starts_with('"'));
    let lines = "Accept: text/html\r\nAccept-Encoding: gzip\r\n";
    let answer = ask(&gateway, "GET /nowhere", lines).await;
    assert_eq!((answer.status, read(&answer)), (404, page()));
}

#[tokio::test]
async fn headers_of_the_configuration_count() {
    let table = "[compress]\n[headers]\nset = { Vary = \"Origin\" }\n";
    let (gateway, _backend) = site(table, HTML).await;
    let answer = gzip(&gateway, "/").await;
    let vary: Vec<_> = answer.all("vary").collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
    let table = "[compress]\n[headers]\nset = { Cache-Control = \"no-transform\" }\n";
    let (gateway, _backend) = site(table, HTML).await;
    is_plain(&gzip(&gateway, "/").await, None, "no-transform");
}

#[tokio::test]
async fn a_reload_switches_it_on() {
    let (gateway, backend) = site("", HTML).await;
    is_plain(&gzip(&gateway, "/").await, None, "no table");
    let text = gateway::everything_to(&backend.address, "");
    let reloaded = gateway.reload(&format!("[compress]\n{text}")).await;
    assert!(reloaded.unwrap().changed.contains(&"compress".to_owned()));
    assert_eq!(read(&gzip(&gateway, "/").await), page());
}

#[tokio::test]
async fn what_was_held_is_sent_as_it_is() {
    let lines = "Content-Type: text/html\r\nGrip-Hold: response\r\nGrip-Channel: c\r\n";
    let backend = Backend::start(move |_| Reply::answer("200 OK", lines, "nothing")).await;
    let text = gateway::everything_to(&backend.address, "grip = true");
    let gateway = Gateway::start(&format!("[compress]\n{text}")).await;
    let mut publisher = gateway.publisher().await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        .await;
    until("it waits", async || publisher.streams().await == 1).await;
    let response = json!({"headers": {"Content-Type": "text/html"}, "body": page()});
    publisher
        .items(&[json!({"channel": "c", "http-response": response})])
        .await;
    let answer = conn.answer().await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.text(), page());
}
