//! The access log: one line for each request that has ended; nobody forges one, and no request waits for one.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::server::Address;

use crate::support::{Backend, Conn, EventSource, Gateway, Reply, gateway, until};

/// A file for an access log.
struct Log {
    path: PathBuf,
    directory: TempDir,
}

impl Log {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        Self { path, directory }
    }

    /// The lines of the configuration that ask for it.
    fn settings(&self, format: &str) -> String {
        let to = self.path.display();
        format!("[log]\naccess = {{ to = \"{to}\", format = \"{format}\" }}\n")
    }

    /// Waits until there are so many lines.
    async fn lines(&self, count: usize) -> Vec<String> {
        lines(&self.path, count).await
    }

    /// The same, as JSON.
    async fn json(&self, count: usize) -> Vec<Value> {
        let lines = self.lines(count).await;
        let read = |line: &String| serde_json::from_str(line).unwrap();
        lines.iter().map(read).collect()
    }
}

async fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    until("lines of the access log", async || {
        read().lines().count() >= count
    })
    .await;
    let lines: Vec<_> = read().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

fn request(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n")
}

#[tokio::test]
async fn a_proxied_request_is_one_line_without_any_query() {
    let backend = Backend::start(|_| Reply::ok("hello")).await;
    let log = Log::new();
    let text = gateway::everything_to(&backend.address, "") + &log.settings("combined");
    let gateway = Gateway::start(&text).await;
    let mut conn = Conn::open(&gateway.public).await;
    let fields = "Referer: https://x.test/from/?token=secret\r\nUser-Agent: Browser/1 (x; y)\r\n\
        X-Forwarded-For: 6.6.6.6\r\n";
    let answer = conn.ask(request("/a%20b/?token=secret", fields)).await;
    assert_eq!(answer.text(), "hello");
    let line = log.lines(1).await.remove(0);
    let (head, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(
        head, "127.0.0.1 - -",
        "a peer that is not trusted is the client"
    );
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    assert_eq!(
        rest,
        "\"GET /a%20b/ HTTP/1.1\" 200 5 \"https://x.test/from/\" \"Browser/1 (x; y)\""
    );
    // The next on the same connection, whose answer has no body.
    conn.send(request("/", "").replace("GET", "HEAD")).await;
    assert_eq!(conn.answer_to("HEAD").await.status, 200);
    let line = log.lines(2).await.remove(1);
    assert!(
        line.ends_with("\"HEAD / HTTP/1.1\" 200 - \"-\" \"-\""),
        "{line}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&log.path.metadata().unwrap().permissions());
    assert_eq!(
        mode & 0o007,
        0,
        "addresses of clients are not for everybody"
    );
}

#[tokio::test]
async fn a_refused_request_is_there_with_its_client_and_its_id() {
    let log = Log::new();
    let text = format!(
        "[server]\nhosts = [\"site.test\"]\n[trust]\nproxies = [\"127.0.0.1\"]\n{}{}",
        gateway::everything_to("127.0.0.1:1", "").replace("<path:rest>", "page/"),
        log.settings("json")
    );
    let gateway = Gateway::start(&text).await;
    let through = "X-Forwarded-For: 192.0.2.7\r\nX-Request-ID: abc\r\n";
    for (request, status) in [
        (request("/nowhere/?q", through), 404),
        (
            request("/", through).replace("site.test", "other.test"),
            421,
        ),
        (request("/", through).replace("site.test", "a b\""), 400),
    ] {
        // Some of them end their connection.
        let mut conn = Conn::open(&gateway.public).await;
        assert_eq!(conn.ask(request).await.status, status);
    }
    let lines = log.json(3).await;
    for (line, (status, host)) in
        lines
            .iter()
            .zip([(404, "site.test"), (421, "other.test"), (400, "a b\"")])
    {
        assert_eq!(
            (&line["status"], &line["host"], &line["route"]),
            (&json!(status), &json!(host), &Value::Null)
        );
        assert_eq!(
            (&line["client.addr"], &line["request.id"]),
            (&json!("192.0.2.7"), &json!("abc"))
        );
        assert!(line["bytes"].as_u64().unwrap() > 0, "our text is counted");
    }
    assert_eq!(lines[0]["path"], "/nowhere/");
}

#[tokio::test]
async fn a_held_stream_is_written_when_it_ends() {
    let log = Log::new();
    let text = "[[route]]\npath = \"/rooms/<slug:room>/\"\nsse = { channels = [\"{room}\"], public = true }\n";
    let gateway = Gateway::start(&format!("{text}{}", log.settings("json"))).await;
    let mut source = EventSource::open(&gateway.public, "/rooms/one/?lastEventId=x").await;
    gateway.publisher().await.text("one", "hello").await;
    while source.next().await.data != "hello" {}
    assert_eq!(std::fs::read_to_string(&log.path).unwrap(), "");
    let bytes = source.text.len();
    drop(source);
    let line = log.json(1).await.remove(0);
    assert_eq!(
        (&line["status"], &line["bytes"], &line["path"]),
        (&json!(200), &json!(bytes), &json!("/rooms/one/"))
    );
    assert_eq!(line["route"], "/rooms/<slug:room>/");
    // One that the gateway ends is there before the gateway is gone.
    let _source = EventSource::open(&gateway.public, "/rooms/two/").await;
    gateway.stop().await;
    assert_eq!(log.json(2).await[1]["path"], "/rooms/two/");
}

#[tokio::test]
async fn a_client_that_leaves_is_499_and_one_in_the_answer_has_what_it_got() {
    let backend = Backend::start(|request| match request.target() {
        "/never/" => Reply::hang(),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel").then_hang(),
    })
    .await;
    let log = Log::new();
    let text = gateway::everything_to(&backend.address, "") + &log.settings("common");
    let gateway = Gateway::start(&text).await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.send(request("/never/", "")).await;
    backend.request(0).await;
    drop(conn);
    let line = log.lines(1).await.remove(0);
    assert!(line.ends_with("\"GET /never/ HTTP/1.1\" 499 -"), "{line}");
    let mut conn = Conn::open(&gateway.public).await;
    assert_eq!(conn.ask_head(request("/half/", "")).await, 200);
    assert_eq!(conn.bytes(3).await, b"hel");
    drop(conn);
    let line = log.lines(2).await.remove(1);
    assert!(line.ends_with("\"GET /half/ HTTP/1.1\" 200 3"), "{line}");
}

#[tokio::test]
async fn a_websocket_is_written_when_it_opens() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(switch).echo()).await;
    let log = Log::new();
    let text = gateway::everything_to(&backend.address, "") + &log.settings("common");
    let gateway = Gateway::start(&text).await;
    let mut conn = Conn::open(&gateway.public).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(conn.ask_head(request("/ws/", upgrade)).await, 101);
    let line = log.lines(1).await.remove(0);
    assert!(line.ends_with("\"GET /ws/ HTTP/1.1\" 101 -"), "{line}");
}

#[tokio::test]
async fn a_hostile_client_forges_nothing() {
    let backend = Backend::start(|_| Reply::ok("")).await;
    for format in ["combined", "json"] {
        let log = Log::new();
        let text = gateway::everything_to(&backend.address, "") + &log.settings(format);
        let gateway = Gateway::start(&text).await;
        let mut conn = Conn::open(&gateway.public).await;
        let agent = b"a\" 200 9 \"-\" \"b\\\t\xc2\x85\xff\",\"status\":200";
        let long = "x".repeat(5000);
        conn.send(format!(
            "GET /\" HTTP/1.1\r\nHost: site.test\r\nReferer: {long}\r\n"
        ))
        .await;
        conn.send([b"User-Agent: ", &agent[..], b"\r\n\r\n"].concat())
            .await;
        let status = conn.answer().await.status;
        let line = log.lines(1).await.remove(0);
        assert!(line.bytes().all(|b| matches!(b, b' '..=b'~')), "{line}");
        assert!(line.len() < 1500, "a long text is cut: {line}");
        if format == "json" {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["status"], status);
            assert_eq!(line["user_agent"], String::from_utf8_lossy(agent).as_ref());
        } else {
            assert_eq!(line.matches('"').count(), 6, "{line}");
            let end =
                r#" "a\x22 200 9 \x22-\x22 \x22b\x5C\x09\xC2\x85\xFF\x22,\x22status\x22:200""#;
            assert!(line.ends_with(end), "{line}");
        }
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request_and_what_is_lost_is_counted() {
    let log = Log::new();
    assert!(
        Command::new("mkfifo")
            .arg(&log.path)
            .status()
            .unwrap()
            .success()
    );
    // Both ends, so that opening it waits for nobody.
    let mut options = std::fs::OpenOptions::new();
    let pipe = options.read(true).write(true).open(&log.path).unwrap();
    let text = gateway::everything_to("127.0.0.1:1", "").replace("<path:rest>", "page/");
    let gateway = Gateway::start(&(text + &log.settings("common"))).await;
    let mut publisher = gateway.publisher().await;
    let mut conn = Conn::open(&gateway.public).await;
    let mut sent = 0;
    let request = request(&format!("/{}", "x".repeat(900)), "");
    let dropped = "tidegate_access_log_dropped_total";
    while publisher.metric(dropped).await == 0 {
        conn.send(request.repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(conn.answer().await.status, 404);
        }
        sent += 100;
        assert!(sent < 20_000, "the queue has a bound");
    }
    // What was not lost comes as soon as somebody reads; nothing is torn.
    let lost = publisher.metric(dropped).await;
    let kept = usize::try_from(sent - lost).unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(pipe).lines().map(Result::unwrap);
        let whole = |line: &String| line.len() > 900 && line.starts_with("127.0.0.1 - - [");
        lines.take(kept).filter(whole).count()
    });
    let read = crate::support::within("the rest of the log", reading).await;
    assert_eq!(read.unwrap(), kept);
}

#[tokio::test]
async fn a_renamed_file_is_written_until_it_is_opened_again() {
    let log = Log::new();
    let text = gateway::everything_to("127.0.0.1:1", "").replace("<path:rest>", "page/");
    let gateway = Gateway::start(&(text + &log.settings("common"))).await;
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(request("/1", "")).await;
    log.lines(1).await;
    let old = log.directory.path().join("access.log.1");
    std::fs::rename(&log.path, &old).unwrap();
    conn.ask(request("/2", "")).await;
    lines(&old, 2).await;
    gateway.reopen_access_log();
    conn.ask(request("/3", "")).await;
    assert!(log.lines(1).await[0].contains("GET /3 "));
    // Nothing to be opened: it goes on where it was.
    std::fs::remove_file(&old).unwrap();
    std::fs::rename(&log.path, &old).unwrap();
    std::fs::create_dir(&log.path).unwrap();
    gateway.reopen_access_log();
    conn.ask(request("/4", "")).await;
    assert!(lines(&old, 2).await[1].contains("GET /4 "));
}

/// The program itself, with a public listener on the unix socket `http.sock` beside the log.
fn program(log: &Log) -> Command {
    let directory = log.directory.path();
    let text = format!(
        "version = 1\n[listen.http]\naddress = \"unix:{}\"\n{}{}",
        directory.join("http.sock").display(),
        gateway::everything_to("127.0.0.1:1", "").replace("<path:rest>", "page/"),
        log.settings("common")
    );
    let config = directory.join("gateway.toml");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .arg("run")
        .arg("-c")
        .arg(config)
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_at_the_start() {
    let mut log = Log::new();
    log.path = log.directory.path().join("missing/access.log");
    let output = program(&log).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let path = log.path.display();
    assert!(
        said.contains(&format!(
            "the access log {path} could not be opened: No such file"
        )),
        "{said}"
    );
}

#[tokio::test]
async fn sigusr1_has_the_file_opened_again_and_ends_nothing() {
    let log = Log::new();
    let mut child = program(&log).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let address = Address::Unix(log.directory.path().join("http.sock"));
    until("the program", async || {
        log.path.exists()
            && std::os::unix::net::UnixStream::connect(log.directory.path().join("http.sock"))
                .is_ok()
    })
    .await;
    let mut conn = Conn::open(&address).await;
    conn.ask(request("/1", "")).await;
    log.lines(1).await;
    let old = log.directory.path().join("access.log.1");
    std::fs::rename(&log.path, &old).unwrap();
    kill_process(pid, Signal::USR1).unwrap();
    until("a new file", async || log.path.exists()).await;
    conn.ask(request("/2", "")).await;
    assert!(log.lines(1).await[0].contains("GET /2 "));
    drop(conn);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let ended = crate::support::within("the end of the program", ended).await;
    assert!(ended.unwrap().unwrap().success());
    assert_eq!(lines(&old, 1).await.len(), 1);
}

#[tokio::test]
async fn a_request_that_came_too_often_has_its_line() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let log = Log::new();
    let text = format!(
        "[limits]\nrate = \"1/h\"\nburst = 1\n{}{}",
        log.settings("json"),
        gateway::everything_to(&backend.address, "")
    );
    let gateway = Gateway::start(&text).await;
    for status in [200, 429] {
        let answer = Conn::open(&gateway.public)
            .await
            .ask(request("/", ""))
            .await;
        assert_eq!(answer.status, status);
    }
    let statuses: Vec<_> = log
        .json(2)
        .await
        .iter()
        .map(|line| line["status"].clone())
        .collect();
    assert_eq!(statuses, [json!(200), json!(429)]);
}
