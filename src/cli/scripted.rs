//! A server for the tests of the commands: it gives the answers it was told to give and tells what it was sent.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::Target;

/// A listening server. Each inner list is one connection's answers; after the last it is closed, and after the last
/// connection the port is.
pub(super) struct Scripted {
    address: SocketAddr,
    requests: mpsc::Receiver<Sent>,
    _tasks: JoinSet<()>,
}

/// A request as it came.
pub(super) struct Sent {
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Sent {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        Some(value)
    }
}

impl Scripted {
    pub(super) async fn start(connections: Vec<Vec<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, requests) = mpsc::channel(100);
        let mut tasks = JoinSet::new();
        if connections.is_empty() {
            drop(listener);
        } else {
            tasks.spawn(serve(listener, connections, tx));
        }
        Self {
            address,
            requests,
            _tasks: tasks,
        }
    }

    pub(super) fn target(&self) -> Target {
        Target::parse(&format!("http://{}", self.address)).unwrap()
    }

    /// The next request, in the order they came.
    pub(super) async fn request(&mut self) -> Sent {
        self.requests.recv().await.expect("a request")
    }
}

async fn serve(listener: TcpListener, connections: Vec<Vec<String>>, tx: mpsc::Sender<Sent>) {
    for answers in connections {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        for answer in answers {
            let Some(sent) = read(&mut socket).await else {
                return;
            };
            tx.send(sent).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

async fn read(socket: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Option<Sent> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.ok()?;
        match line.trim_end() {
            "" if lines.is_empty() => return None,
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let mut sent = Sent {
        line: lines.remove(0),
        headers: lines
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: String::new(),
    };
    let length = sent
        .header("content-length")
        .map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    sent.body = String::from_utf8(body).unwrap();
    Some(sent)
}

/// An answer with a JSON body, a problem if the status is an error.
pub(super) fn answer(status: u16, body: &str) -> String {
    let media = if status < 400 { "json" } else { "problem+json" };
    let length = if status == 204 {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/{media}\r\n{length}\r\n{body}")
}

/// An answer with an event stream that ends with the connection.
pub(super) fn stream(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n{body}")
}
