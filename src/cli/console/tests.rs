//! Tests of `tidegate channels` and `tidegate kick`: what is sent, and what the user is told.

use super::*;
use crate::cli::scripted::{Scripted, answer};

const CHANNELS: &str = "{\"channels\":[{\"name\":\"a\",\"streams\":2,\"events\":3,\"last_id\":\"x\\u009b1m\",\"rate\":0.05},\
                        {\"name\":\"b/c\",\"streams\":0,\"events\":0,\"last_id\":null,\"rate\":0.0}]}";

/// Runs the command against `server`: the result, stdout and stderr.
async fn run_with(
    server: &Scripted,
    question: Question,
    json: bool,
) -> (Result<(), CommandError>, String, String) {
    let (mut data, mut words) = (Vec::new(), Vec::new());
    let outputs = Outputs {
        data: &mut data,
        words: &mut words,
    };
    let client = Client::new(server.target(), Some("t0k")).unwrap();
    let ended = run(client, question, json, outputs).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended, text(data), text(words))
}

#[tokio::test]
async fn channels_are_told_in_columns_or_as_json() {
    let connection = vec![answer(200, CHANNELS)];
    let mut server = Scripted::start(vec![connection.clone(), connection]).await;
    let all = Question::channels(None).unwrap();
    let (ended, data, words) = run_with(&server, all, false).await;
    ended.unwrap();
    assert_eq!(
        (data.as_str(), words.as_str()),
        ("a 2 3 0.05 x\\u{9b}1m\nb/c 0 0 0 -\n", "")
    );
    let request = server.request().await;
    assert_eq!(request.line, "GET /v1/channels HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer t0k"));
    let some = Question::channels(Some("room-*")).unwrap();
    let (ended, data, _) = run_with(&server, some, true).await;
    ended.unwrap();
    assert_eq!(data, format!("{CHANNELS}\n"));
    assert_eq!(
        server.request().await.line,
        "GET /v1/channels?match=room-* HTTP/1.1"
    );
    assert_eq!(Question::channels(Some("a b")).unwrap_err().exit_code(), 2);
}

#[tokio::test]
async fn a_kick_tells_how_many_streams_it_ended() {
    let stream = StreamId::from_random(1);
    for (whom, body) in [
        (
            Whom::User(UserId::parse("4\"2").unwrap()),
            r#"{"user":"4\"2"}"#.to_owned(),
        ),
        (
            Whom::Channel(ChannelName::parse("a").unwrap()),
            r#"{"channel":"a"}"#.to_owned(),
        ),
        (Whom::Stream(stream), format!("{{\"stream\":\"{stream}\"}}")),
    ] {
        let mut server = Scripted::start(vec![vec![answer(200, r#"{"ended":2}"#)]]).await;
        let (ended, data, words) = run_with(&server, Question::Kick(whom), false).await;
        ended.unwrap();
        assert_eq!((data.as_str(), words.as_str()), ("", "Ended streams: 2\n"));
        let request = server.request().await;
        assert_eq!(
            (request.line.as_str(), request.body.as_str()),
            ("POST /v1/kick HTTP/1.1", body.as_str())
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_no_success() {
    for (status, body, code) in [
        (200, "{}", 1),
        (200, "[]", 1),
        (403, "{}", 77),
        (422, "{}", 1),
    ] {
        let server = Scripted::start(vec![vec![answer(status, body)]]).await;
        let all = Question::channels(None).unwrap();
        let (ended, ..) = run_with(&server, all, false).await;
        assert_eq!(ended.unwrap_err().exit_code(), code);
    }
}
