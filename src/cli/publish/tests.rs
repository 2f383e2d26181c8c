//! Tests of `tidegate publish`: what is sent for which arguments, and what the user is told.

use super::*;
use crate::cli::scripted::{Scripted, answer};

const TAKEN: &str = r#"{"id":"e-1","streams":3}"#;

fn args(channel: &str) -> PublishArgs {
    PublishArgs {
        channel: channel.to_owned(),
        ..PublishArgs::default()
    }
}

/// Runs the command against `server`: the result, stdout and stderr.
async fn run_with(
    server: &Scripted,
    args: PublishArgs,
    input: &str,
) -> (Result<(), CommandError>, String, String) {
    let (mut data, mut words) = (Vec::new(), Vec::new());
    let outputs = Outputs {
        data: &mut data,
        words: &mut words,
    };
    let client = Client::new(server.target(), Some("t0k")).unwrap();
    let ended = run(client, args, input.as_bytes(), outputs).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended, text(data), text(words))
}

#[tokio::test]
async fn an_event_is_published_as_the_arguments_say() {
    let mut server = Scripted::start(vec![vec![answer(200, TAKEN)]]).await;
    let args = PublishArgs {
        data: Some("hi\n\"".into()),
        event: Some("tick".into()),
        id: Some("7".into()),
        close: true,
        ..args("room-1")
    };
    let (ended, data, words) = run_with(&server, args, "").await;
    ended.unwrap();
    let request = server.request().await;
    assert_eq!(request.line, "POST /v1/events HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer t0k"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(
        request.body,
        r#"{"channel":"room-1","event":"tick","id":"7","data":"hi\n\"","close":true}"#
    );
    assert_eq!(data, "");
    assert_eq!(words, "Published e-1, open streams: 3\n");
}

#[tokio::test]
async fn standard_input_loses_only_its_last_line_end() {
    let mut server = Scripted::start(vec![vec![answer(200, TAKEN)]]).await;
    let args = PublishArgs {
        data: Some("-".into()),
        json: true,
        ..args("a")
    };
    let (ended, data, words) = run_with(&server, args, "x\n\ny\n\r\n").await;
    ended.unwrap();
    let body = server.request().await.body;
    assert_eq!(body, r#"{"channel":"a","data":"x\n\ny\n","close":false}"#);
    assert_eq!((data, words), (format!("{TAKEN}\n"), String::new()));
}

#[tokio::test]
async fn every_line_is_an_event_of_its_own() {
    let taken = answer(200, TAKEN);
    let mut server = Scripted::start(vec![vec![taken.clone(), taken.clone(), taken]]).await;
    let lines = PublishArgs {
        ndjson: true,
        ..args("a")
    };
    let input = "{\"data\": 1.0}\n\n {}\r\n{\"data\":2,\"channel\":\"b\"}";
    let (ended, _, words) = run_with(&server, lines, input).await;
    ended.unwrap();
    assert_eq!(words.lines().count(), 3);
    for body in [
        r#"{"channel":"a","data": 1.0}"#,
        r#"{"channel":"a"}"#,
        r#"{"data":2,"channel":"b"}"#,
    ] {
        assert_eq!(server.request().await.body, body);
    }
}

#[tokio::test]
async fn the_first_bad_line_ends_it() {
    let refused = answer(422, r#"{"detail":"no","hint":"yes?"}"#);
    for (second, answers, report) in [
        (
            "{\"data\":2}",
            vec![answer(200, TAKEN), refused],
            "refused (422 Unprocessable Entity): no (yes?)",
        ),
        (
            "[]",
            vec![answer(200, TAKEN)],
            "standard input must hold one JSON object per line",
        ),
    ] {
        let server = Scripted::start(vec![answers]).await;
        let lines = PublishArgs {
            ndjson: true,
            ..args("a")
        };
        let (ended, ..) = run_with(&server, lines, &format!("{{\"data\":1}}\n{second}\n")).await;
        let error = ended.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let start = "line 2 was not published, 1 events before it were: ";
        assert_eq!(error.report(), format!("{start}{report}"));
    }
}

#[tokio::test]
async fn bad_arguments_send_nothing() {
    let server = Scripted::start(Vec::new()).await;
    let data = || Some("x".to_owned());
    for wrong in [
        args("a"),
        PublishArgs {
            data: data(),
            ..args("a b")
        },
        PublishArgs {
            data: data(),
            ndjson: true,
            ..args("a")
        },
        PublishArgs {
            data: data(),
            event: Some("a\nb".into()),
            ..args("a")
        },
        PublishArgs {
            data: data(),
            id: Some(String::new()),
            ..args("a")
        },
    ] {
        let (ended, ..) = run_with(&server, wrong, "").await;
        assert_eq!(ended.unwrap_err().exit_code(), 2);
    }
}
