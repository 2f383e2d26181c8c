//! Tests of `tidegate tail`: the lines it writes, and what ends it.

use super::*;
use crate::cli::scripted::{Scripted, answer, stream};

const TAPPED: &str = "data: {\"channels\":[\"a\",\"b\"],\"event\":\"tick\",\ndata: \"id\":\"e-1\",\"data\":\"x\\ny\\u001b[2J\"}\n\n\
                      data: {\"channels\":[\"a\"],\"event\":null,\"id\":\"e-2\",\"data\":null}\n\n";

/// Runs the command with `server` as the internal listener: the result, stdout and stderr.
async fn run_with(
    server: &Scripted,
    arguments: &[&str],
    all: bool,
    json: bool,
) -> (Result<(), CommandError>, String, String) {
    let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
    let (mut data, mut words) = (Vec::new(), Vec::new());
    let mut outputs = Outputs {
        data: &mut data,
        words: &mut words,
    };
    let source = Source::of(&arguments, all).unwrap();
    let ended = run(server.target(), Some("t0k"), source, json, &mut outputs).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended, text(data), text(words))
}

#[tokio::test]
async fn the_tap_is_shown_line_by_line() {
    let mut server = Scripted::start(vec![vec![stream(TAPPED)], vec![stream(TAPPED)]]).await;
    let (ended, data, _) = run_with(&server, &["a", "b/c"], false, false).await;
    assert_eq!(ended.unwrap_err().exit_code(), 1);
    assert_eq!(data, "a,b tick e-1 x\\ny\\u{1b}[2J\na message e-2 \n");
    let request = server.request().await;
    assert_eq!(request.line, "GET /v1/tap?channel=a&channel=b/c HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer t0k"));

    let (_, data, _) = run_with(&server, &[], true, true).await;
    assert_eq!(
        data,
        "{\"channels\":[\"a\",\"b\"],\"event\":\"tick\", \"id\":\"e-1\",\"data\":\"x\\ny\\u001b[2J\"}\n\
         {\"channels\":[\"a\"],\"event\":null,\"id\":\"e-2\",\"data\":null}\n"
    );
    assert_eq!(server.request().await.line, "GET /v1/tap HTTP/1.1");
}

#[tokio::test]
async fn a_url_is_followed_as_a_browser_would() {
    let mut server = Scripted::start(vec![
        vec![stream(
            "retry: 0\nid: 1\n\nevent: tick\ndata: x\n\nid: 2\ndata: {\ndata: }\n\n",
        )],
        vec![], // A connection that breaks is one more try.
        vec![stream("data: z\n\ndata: cut off")],
        vec![answer(204, "")],
    ])
    .await;
    let url = format!("{}/events/?x=1", server.target());
    let (ended, data, words) = run_with(&server, &[&url], false, false).await;
    ended.unwrap();
    assert_eq!(data, "- tick 1 x\n- message 2 {\\n}\n- message - z\n");
    assert_eq!(words.lines().count(), 3, "{words}");
    for last_id in [None, Some("2"), Some("2")] {
        let request = server.request().await;
        assert_eq!(request.line, "GET /events/?x=1 HTTP/1.1");
        assert_eq!(request.header("accept"), Some("text/event-stream"));
        assert_eq!(request.header("last-event-id"), last_id);
        assert_eq!(request.header("authorization"), None);
    }
}

#[tokio::test]
async fn json_of_a_url_is_the_event() {
    let server = Scripted::start(vec![
        vec![stream("retry: 0\nid: 1\ndata: x\ndata: y\n\n")],
        vec![answer(204, "")],
    ])
    .await;
    let url = format!("{}/", server.target());
    let (ended, data, _) = run_with(&server, &[&url], false, true).await;
    ended.unwrap();
    assert_eq!(
        data,
        "{\"event\":\"message\",\"id\":\"1\",\"data\":\"x\\ny\"}\n"
    );
}

#[tokio::test]
async fn what_is_no_stream_ends_it() {
    for (answers, code) in [
        (vec![vec![answer(200, "{}")]], 1),
        (vec![vec![answer(500, "{}")]], 1),
        (vec![vec![answer(403, "{}")]], 77),
        (
            vec![vec![stream("retry: 0\n\n")], vec![answer(404, "{}")]],
            1,
        ),
        (vec![vec![]], 1),
        (vec![], 69),
    ] {
        let server = Scripted::start(answers).await;
        let url = format!("{}/", server.target());
        let (ended, ..) = run_with(&server, &[&url], false, false).await;
        assert_eq!(ended.unwrap_err().exit_code(), code);
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = Scripted::start(vec![vec![stream(TAPPED)]]).await;
    let mut outputs = Outputs {
        data: &mut Closed,
        words: &mut io::sink(),
    };
    let ended = run(server.target(), None, Source::All, false, &mut outputs).await;
    ended.unwrap();
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    for (arguments, all) in [
        (&[][..], false),
        (&["a"], true),
        (&["a b"], false),
        (&["a", "http://h/"], false),
        (&["https://h/"], false),
    ] {
        let arguments: Vec<String> = arguments.iter().map(|&a: &&str| a.to_owned()).collect();
        assert_eq!(Source::of(&arguments, all).unwrap_err().exit_code(), 2);
    }
}
