//! A file as an answer: what it is, which part and coding of it, how long it is good, and what is no answer at all.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::client::Piece;
use crate::support::{Answer, Conn, Gateway, get};

const CSS: &str = "body { color: #123456 }\n";
const HASHED: &str = "app.0123456789ab.css";

/// A folder as collectstatic leaves it, and a file beside it that nobody may see.
fn folder() -> TempDir {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("root");
    for folder in ["docs", "empty", "a b"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(outside.path().join("secret.txt"), "secret").unwrap();
    for (file, text) in [
        ("app.css", CSS),
        ("app.css.br", "brotli"),
        ("app.css.gz", "gzip"),
        (HASHED, CSS),
        ("logo.svg", "<svg/>"),
        ("photo.png", "png"),
        ("page.html", "<p>"),
        ("app.js", "1"),
        ("data.json", "{}"),
        ("README", "text"),
        ("empty.txt", ""),
        ("docs/index.html", "<h1>"),
        ("a b/ä.txt", "umlaut"),
        (".env", "hidden"),
    ] {
        fs::write(root.join(file), text).unwrap();
    }
    std::os::unix::fs::symlink("../secret.txt", root.join("out.txt")).unwrap();
    std::os::unix::fs::symlink("app.css", root.join("in.css")).unwrap();
    outside
}

fn route(path: &str, root: &Path, keys: &str, more: &str) -> String {
    let root = root.join("root").display().to_string();
    format!("[[route]]\npath = \"{path}\"\nstatic = {{ root = \"{root}\"{keys} }}\n{more}\n")
}

async fn serving(keys: &str) -> (Gateway, TempDir) {
    let folder = folder();
    let text = route("/static/<path:file>", folder.path(), keys, "");
    (Gateway::start(&text).await, folder)
}

/// Sends a request for `target` with more header lines.
async fn ask(gateway: &Gateway, method: &str, target: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"
    ))
    .await;
    conn.answer_to(method).await
}

#[tokio::test]
async fn a_file_is_answered_with_what_it_is() {
    let (gateway, _folder) = serving("").await;
    let answer = get(&gateway.public, "/static/app.css?v=1").await;
    assert_eq!((answer.status, answer.text()), (200, CSS));
    for (name, value) in [
        ("content-type", "text/css; charset=utf-8"),
        ("content-length", "24"),
        ("cache-control", "no-cache"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    for name in ["vary", "content-disposition", "content-encoding"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert!(answer.header("etag").unwrap().starts_with('"'));
    assert!(answer.header("last-modified").unwrap().ends_with(" GMT"));
    for (file, expected) in [
        ("page.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("data.json", "application/json"),
        ("logo.svg", "image/svg+xml"),
        ("photo.png", "image/png"),
        ("README", "application/octet-stream"),
        ("in.css", "text/css; charset=utf-8"),
        ("empty.txt", "text/plain; charset=utf-8"),
        ("a%20b/%C3%A4.txt", "text/plain; charset=utf-8"),
    ] {
        let answer = get(&gateway.public, &format!("/static/{file}")).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(expected)),
            "{file}"
        );
    }
    let head = ask(&gateway, "HEAD", "/static/app.css", "").await;
    let length = head.header("content-length");
    assert_eq!((head.status, length, head.text()), (200, Some("24"), ""));
    assert_eq!(head.header("etag"), answer.header("etag"));
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let (gateway, _folder) = serving("").await;
    let first = get(&gateway.public, "/static/app.css").await;
    let (etag, modified) = (
        first.header("etag").unwrap(),
        first.header("last-modified").unwrap(),
    );
    for (lines, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"),
            200,
        ),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        (
            "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(),
            412,
        ),
    ] {
        let answer = ask(&gateway, "GET", "/static/app.css", &lines).await;
        assert_eq!(answer.status, status, "{lines}");
        assert_eq!(answer.header("etag"), Some(etag), "{lines}");
        let kept = if status == 412 {
            "no-store"
        } else {
            "no-cache"
        };
        assert_eq!(answer.header("cache-control"), Some(kept), "{lines}");
        if status != 200 {
            assert_eq!((answer.text(), answer.header("content-type")), ("", None));
        }
    }
}

#[tokio::test]
async fn one_part_is_sent_and_several_are_the_whole() {
    let (gateway, _folder) = serving("").await;
    let first = get(&gateway.public, "/static/app.css").await;
    let etag = first.header("etag").unwrap().to_owned();
    for (lines, range, text) in [
        ("Range: bytes=0-3\r\n".to_owned(), "bytes 0-3/24", "body"),
        ("Range: bytes=-2\r\n".to_owned(), "bytes 22-23/24", "}\n"),
        ("Range: bytes=22-99\r\n".to_owned(), "bytes 22-23/24", "}\n"),
        (
            format!("Range: bytes=0-3\r\nIf-Range: {etag}\r\n"),
            "bytes 0-3/24",
            "body",
        ),
    ] {
        let answer = ask(&gateway, "GET", "/static/app.css", &lines).await;
        assert_eq!((answer.status, answer.text()), (206, text), "{lines}");
        assert_eq!(answer.header("content-range"), Some(range), "{lines}");
    }
    for lines in [
        "Range: bytes=0-3\r\nIf-Range: \"x\"\r\n".to_owned(),
        "Range: bytes=0-1,4-5\r\n".to_owned(),
        "Range: lines=0-1\r\n".to_owned(),
        "Range: bytes=3-1\r\n".to_owned(),
    ] {
        let answer = ask(&gateway, "GET", "/static/app.css", &lines).await;
        assert_eq!((answer.status, answer.text()), (200, CSS), "{lines}");
        assert_eq!(answer.header("content-range"), None, "{lines}");
    }
    let beyond = ask(&gateway, "GET", "/static/app.css", "Range: bytes=24-\r\n").await;
    assert_eq!((beyond.status, beyond.text()), (416, ""));
    assert_eq!(beyond.header("content-range"), Some("bytes */24"));
    // A part of a HEAD means nothing.
    let head = ask(&gateway, "HEAD", "/static/app.css", "Range: bytes=0-3\r\n").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("24"))
    );
}

#[tokio::test]
async fn a_coding_that_is_beside_the_file_is_chosen_by_what_the_client_takes() {
    let (gateway, _folder) = serving(", precompressed = true").await;
    let plain = get(&gateway.public, "/static/app.css").await;
    assert_eq!(
        (plain.text(), plain.header("vary")),
        (CSS, Some("Accept-Encoding"))
    );
    for (accepted, coding, text) in [
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzip"),
        ("br;q=0.1, gzip", Some("gzip"), "gzip"),
        ("zstd", None, CSS),
        ("identity, br;q=0.5", None, CSS),
    ] {
        let lines = format!("Accept-Encoding: {accepted}\r\n");
        let answer = ask(&gateway, "GET", "/static/app.css", &lines).await;
        assert_eq!(answer.text(), text, "{accepted}");
        assert_eq!(answer.header("content-encoding"), coding, "{accepted}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert_eq!(
            answer.header("content-type"),
            Some("text/css; charset=utf-8")
        );
        assert_eq!(
            answer.header("etag") == plain.header("etag"),
            coding.is_none(),
            "{accepted}"
        );
        let lines = format!(
            "{lines}If-None-Match: {}\r\n",
            answer.header("etag").unwrap()
        );
        let again = ask(&gateway, "GET", "/static/app.css", &lines).await;
        assert_eq!(
            (again.status, again.header("vary")),
            (304, Some("Accept-Encoding"))
        );
    }
    // Nobody asked for it by this name alone, but it is a file.
    let itself = get(&gateway.public, "/static/app.css.br").await;
    assert_eq!(
        (itself.text(), itself.header("content-encoding")),
        ("brotli", None)
    );
}

#[tokio::test]
async fn a_hashed_name_is_never_asked_for_again() {
    let (gateway, _folder) = serving(", hashed = \"1y\", max_age = \"1m\"").await;
    for (file, expected) in [
        (HASHED, "public, max-age=31536000, immutable"),
        ("app.css", "max-age=60"),
    ] {
        let answer = get(&gateway.public, &format!("/static/{file}")).await;
        assert_eq!(answer.header("cache-control"), Some(expected), "{file}");
    }
}

#[tokio::test]
async fn what_a_browser_may_not_show_is_a_download() {
    let keys = ", inline = [\"image/*\", \"text/plain\"]";
    let (gateway, _folder) = serving(keys).await;
    for (file, shown) in [
        ("photo.png", true),
        ("empty.txt", true),
        ("logo.svg", false),
        ("page.html", false),
        ("app.css", false),
        ("README", false),
    ] {
        let answer = get(&gateway.public, &format!("/static/{file}")).await;
        let disposition = (!shown).then_some("attachment");
        assert_eq!(answer.header("content-disposition"), disposition, "{file}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let (gateway, _folder) = serving(", inline = [\"image/svg+xml\"]").await;
    let named = get(&gateway.public, "/static/logo.svg").await;
    assert_eq!(named.header("content-disposition"), None);
}

#[tokio::test]
async fn a_directory_is_its_index_or_nothing() {
    let (gateway, _folder) = serving(", index = \"index.html\"").await;
    let index = get(&gateway.public, "/static/docs/").await;
    assert_eq!((index.status, index.text()), (200, "<h1>"));
    assert_eq!(
        index.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let moved = get(&gateway.public, "/static/docs?a=1").await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("/static/docs/?a=1"))
    );
    for target in ["/static/empty/", "/static/", "/static/app.css/"] {
        assert_eq!(get(&gateway.public, target).await.status, 404, "{target}");
    }
    let (gateway, _folder) = serving("").await;
    for target in ["/static/docs/", "/static/docs", "/static/"] {
        assert_eq!(get(&gateway.public, target).await.status, 404, "{target}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_leaves_the_root() {
    let (gateway, folder) = serving("").await;
    let absolute = folder.path().join("secret.txt").display().to_string();
    for target in [
        "../secret.txt",
        "docs/../../secret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%2fsecret.txt",
        "docs%2f..%2f..%2fsecret.txt",
        "docs/%2e%2e/%2e%2e/secret.txt",
        ".%2e/secret.txt",
        "%252e%252e/secret.txt",
        "..%5csecret.txt",
        "..\\secret.txt",
        "..;/secret.txt",
        "%c0%ae%c0%ae/secret.txt",
        "%ef%bc%8e%ef%bc%8e/secret.txt",
        "//../secret.txt",
        "/etc/hostname",
        "out.txt",
        "app.css%00.png",
        "app.css%00",
        "app.css.",
        "app.css%20",
        "app.css::$DATA",
        "C:/Windows/win.ini",
        "file:///etc/passwd",
        "file:%2f%2f%2fetc%2fpasswd",
        "docs%2findex.html",
        "docs\\index.html",
        ".env",
        "%2eenv",
        "docs/./index.html",
        "docs//index.html",
        &absolute,
    ] {
        let answer = get(&gateway.public, &format!("/static/{target}")).await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{target}: {}",
            answer.head
        );
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            !text.contains("secret") && !text.contains("hidden"),
            "{target}"
        );
    }
    let (gateway, _folder) = serving(", dotfiles = true").await;
    assert_eq!(get(&gateway.public, "/static/.env").await.text(), "hidden");
    assert_eq!(
        get(&gateway.public, "/static/%2e%2e/secret.txt")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn files_are_only_read() {
    let (gateway, folder) = serving("").await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let lines = "Content-Length: 0\r\n";
        let answer = ask(&gateway, method, "/static/app.css", lines).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD, OPTIONS")),
            "{method}"
        );
    }
    let options = ask(&gateway, "OPTIONS", "/static/app.css", "").await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, HEAD, OPTIONS"))
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("root/app.css")).unwrap(),
        CSS
    );
}

#[tokio::test]
async fn a_route_without_a_variable_is_one_file_and_rates_count() {
    let folder = folder();
    let limits = "limits = { rate = \"2/h\" }";
    let text = format!(
        "{}{}",
        route("/app.css", folder.path(), "", ""),
        route("/files/<path:file>", folder.path(), "", limits),
    );
    let gateway = Gateway::start(&text).await;
    assert_eq!(get(&gateway.public, "/app.css").await.text(), CSS);
    assert_eq!(get(&gateway.public, "/app.js").await.status, 404);
    for status in [200, 200, 429] {
        assert_eq!(get(&gateway.public, "/files/app.css").await.status, status);
    }
}

#[tokio::test]
async fn who_is_asked_for_a_password_sees_no_file_without_it() {
    let folder = folder();
    let hash = "$$2b$$04$$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e";
    let users = format!("basic_auth = {{ users = [\"ann:{hash}\"] }}");
    let gateway = Gateway::start(&route("/<path:file>", folder.path(), "", &users)).await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let answer = ask(&gateway, method, "/app.css", "").await;
        assert_eq!(answer.status, 401, "{method}");
        assert!(!answer.head.contains("etag"), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_root_that_is_missing_is_our_fault_until_it_is_there() {
    let folder = folder();
    let root = folder.path().join("root");
    let later = folder.path().join("later");
    fs::rename(&root, &later).unwrap();
    let gateway = Gateway::start(&route("/<path:file>", folder.path(), "", "")).await;
    assert_eq!(get(&gateway.public, "/app.css").await.status, 500);
    fs::rename(&later, &root).unwrap();
    assert_eq!(get(&gateway.public, "/app.css").await.text(), CSS);
}

#[tokio::test]
async fn a_long_file_comes_whole_and_a_shortened_one_breaks_off() {
    let (gateway, folder) = serving("").await;
    let path = folder.path().join("root/long.bin");
    let long: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(&path, &long).unwrap();
    let mut conn = Conn::open(&gateway.public).await;
    let request = "GET /static/long.bin HTTP/1.1\r\nHost: a\r\n";
    let whole = conn.ask(format!("{request}\r\n")).await;
    assert!(whole.whole && whole.body == long);
    let part = conn
        .ask(format!("{request}Range: bytes=1000000-2999998\r\n\r\n"))
        .await;
    assert!(part.status == 206 && part.body == long[1_000_000..2_999_999]);

    // More than sockets hold, so that most of it is read after it became shorter.
    let huge = fs::File::create(&path).unwrap();
    huge.set_len(256 << 20).unwrap();
    conn.send(format!("{request}\r\n")).await;
    let head = conn.head().await;
    assert_eq!(head.header("content-length"), Some("268435456"));
    huge.set_len(1000).unwrap();
    let mut framing = Conn::framing(&head, "GET");
    loop {
        match conn.piece(&mut framing).await {
            Piece::Data(_) => {}
            Piece::Broken => break,
            Piece::End => panic!("the rest is not there"),
        }
    }
    assert_eq!(get(&gateway.public, "/static/app.css").await.text(), CSS);
}

#[tokio::test]
async fn a_pipe_in_the_folder_holds_nobody_up() {
    let (gateway, folder) = serving("").await;
    let pipe = folder.path().join("root/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(get(&gateway.public, "/static/pipe").await.status, 404);
}
