//! Tests of the client: what each answer and each failure of the connection becomes.

use super::*;
use crate::cli::scripted::{Scripted, answer};

fn get() -> Request<Full<Bytes>> {
    Request::get("/x").body(Full::default()).unwrap()
}

async fn ask(server: &Scripted) -> Result<Bytes, CommandError> {
    let mut client = Client::new(server.target(), None).unwrap();
    client.ask(get()).await
}

#[tokio::test]
async fn an_answer_that_is_no_success_says_why() {
    let problem = r#"{"title":"t","detail":"d","hint":"h"}"#;
    for (answer, code, report) in [
        (
            answer(401, problem),
            77,
            "not allowed (401 Unauthorized): d (h)",
        ),
        (answer(403, "{}"), 77, "not allowed (403 Forbidden): "),
        (
            answer(422, r#"{"title":"t"}"#),
            1,
            "refused (422 Unprocessable Entity): t",
        ),
        (
            answer(503, "no JSON"),
            1,
            "refused (503 Service Unavailable): the answer does not say why",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n".to_owned(),
            1,
            "refused (302 Found): it is at \"/y\"",
        ),
        (
            "HTTP/1.1 502 X\r\ncontent-type: text/html\r\ncontent-length: 1\r\n\r\nx".to_owned(),
            1,
            "refused (502 Bad Gateway): the answer does not say why",
        ),
    ] {
        let server = Scripted::start(vec![vec![answer]]).await;
        let error = ask(&server).await.unwrap_err();
        assert_eq!((error.exit_code(), error.report().as_str()), (code, report));
    }
}

#[tokio::test]
async fn a_broken_or_endless_answer_is_a_failure() {
    let endless = "x".repeat(LONGEST_ANSWER + 1);
    for answers in [
        vec![],
        vec!["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc".to_owned()],
        vec!["no HTTP at all\r\n\r\n".to_owned()],
        vec![answer(200, &endless)],
    ] {
        let server = Scripted::start(vec![answers]).await;
        assert_eq!(ask(&server).await.unwrap_err().exit_code(), 1);
    }
}

#[tokio::test]
async fn nobody_there_is_not_reachable() {
    let server = Scripted::start(Vec::new()).await;
    assert_eq!(ask(&server).await.unwrap_err().exit_code(), 69);

    let folder = tempfile::tempdir().unwrap();
    let target = Target::Unix(folder.path().join("none"));
    let mut client = Client::new(target, None).unwrap();
    assert_eq!(client.ask(get()).await.unwrap_err().exit_code(), 69);
}

#[tokio::test]
async fn a_connection_is_used_until_it_ends() {
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n2";
    let server = Scripted::start(vec![
        vec![answer(200, "1"), last.to_owned()],
        vec![answer(200, "3")],
    ])
    .await;
    let mut client = Client::new(server.target(), None).unwrap();
    for body in ["1", "2", "3"] {
        assert_eq!(client.ask(get()).await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_unix_socket_is_spoken_to_as_localhost() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            socket.read_line(&mut head).await.unwrap();
        }
        socket
            .write_all(answer(200, "{}").as_bytes())
            .await
            .unwrap();
        assert!(head.contains("host: localhost\r\n"), "{head}");
    });
    let target = Target::parse(&format!("unix:{}", path.display())).unwrap();
    let mut client = Client::new(target, None).unwrap();
    assert_eq!(client.ask(get()).await.unwrap(), "{}");
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_left() {
    let (ours, _theirs) = tokio::io::duplex(1000);
    let target = Target::parse("http://a").unwrap();
    let mut client = Client::new(target, None).unwrap();
    client.conn = Some(client.greet(ours).await.unwrap());
    let error = client.send(get()).await.unwrap_err();
    assert_eq!(error.report(), "http://a:80 did not answer within 30 s");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn a_token_that_no_header_can_carry_is_refused() {
    let target = Target::parse("http://a").unwrap();
    let error = Client::new(target, Some("a\nb")).unwrap_err();
    assert_eq!(error, InvalidTarget::Token);
}
