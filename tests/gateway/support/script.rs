//! What a scripted backend is sent and what it answers: requests, replies, the gates between their steps.

use std::sync::Arc;

use tokio::sync::watch;

/// A request as the backend saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its place among all requests, from 0.
    pub number: usize,
    /// The connection it came on, from 0.
    pub conn: usize,
    /// The head, as it was on the wire.
    pub head: String,
    /// The body, as far as it was read before the script was asked.
    pub body: Vec<u8>,
}

impl Request {
    /// The request line without its version.
    pub fn line(&self) -> &str {
        self.head.split(" HTTP/1.1\r\n").next().unwrap()
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} is there twice: {}", self.head);
        all.first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1);
        let fields = lines.filter_map(|line| line.split_once(": "));
        fields
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub fn length(&self) -> usize {
        assert!(
            self.header("transfer-encoding").is_none(),
            "Django would read this as empty: {}",
            self.head
        );
        self.header("content-length")
            .map_or(0, |length| length.parse().unwrap())
    }
}

/// Opened once, waited for by any number of replies.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn wait(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

#[derive(Debug, Clone)]
pub enum Step {
    Bytes(Vec<u8>),
    Wait(Gate),
    Close,
    Reset,
    Shutdown,
    Hang,
    Echo,
}

/// What the backend does with one request.
#[derive(Debug, Clone, Default)]
pub struct Reply(pub Vec<Step>);

impl Reply {
    /// These bytes and nothing else.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().then(bytes)
    }

    /// 200 with a body.
    pub fn ok(body: &str) -> Self {
        Self::answer("200 OK", "", body)
    }

    /// An answer with header lines (each ended by CRLF) and a body.
    pub fn answer(status: &str, lines: &str, body: &str) -> Self {
        let length = body.len();
        Self::raw(format!(
            "HTTP/1.1 {status}\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// A good answer to an ask.
    pub fn channel(name: &str) -> Self {
        Self::answer("200 OK", &format!("SSE-Channel: {name}\r\n"), "")
    }

    /// Nothing, for ever.
    pub fn hang() -> Self {
        Self(vec![Step::Hang])
    }

    pub fn then(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.push(Step::Bytes(bytes.as_ref().to_vec()));
        self
    }

    pub fn then_hang(mut self) -> Self {
        self.0.push(Step::Hang);
        self
    }

    /// Goes on when the gate is open.
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.0.push(Step::Wait(gate.clone()));
        self
    }

    /// The same after the gate is open.
    pub fn after(mut self, gate: &Gate) -> Self {
        self.0.insert(0, Step::Wait(gate.clone()));
        self
    }

    pub fn close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    pub fn reset(mut self) -> Self {
        self.0.push(Step::Reset);
        self
    }

    /// Says that no more is to come, and goes on reading.
    pub fn shutdown(mut self) -> Self {
        self.0.push(Step::Shutdown);
        self
    }

    /// From here on every byte goes back as it came.
    pub fn echo(mut self) -> Self {
        self.0.push(Step::Echo);
        self
    }
}

pub type Script = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;
