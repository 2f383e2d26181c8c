//! A listener that reads a stream as it comes and sees what a browser's `EventSource` hides: comments, ids, the end.

use std::collections::VecDeque;

use tidegate::server::Address;
use tidegate::wire::sse::{Parsed, Parser};

use super::client::{Answer, Conn, Framing, Piece};

pub struct EventSource {
    conn: Conn,
    framing: Framing,
    parser: Parser,
    events: VecDeque<Parsed>,
    /// The head of the answer.
    pub head: Answer,
    /// All text so far.
    pub text: String,
    ended: Option<bool>,
}

impl EventSource {
    /// Opens a stream that is granted.
    pub async fn open(address: &Address, target: &str) -> Self {
        Self::open_with(address, target, "").await
    }

    /// Opens a stream with more header lines, each ended by CRLF.
    pub async fn open_with(address: &Address, target: &str, lines: &str) -> Self {
        match Self::try_open(address, target, lines).await {
            Ok(source) => source,
            Err(answer) => panic!("no stream: {}{}", answer.head, answer.text()),
        }
    }

    /// Reconnects as a browser does.
    pub async fn resume(address: &Address, target: &str, last: &str) -> Self {
        Self::open_with(address, target, &format!("Last-Event-ID: {last}\r\n")).await
    }

    /// A stream, or the answer that is none.
    pub async fn try_open(address: &Address, target: &str, lines: &str) -> Result<Self, Answer> {
        Self::try_over(Conn::open(address).await, target, lines).await
    }

    /// The same on a connection that is made already.
    pub async fn try_over(conn: Conn, target: &str, lines: &str) -> Result<Self, Answer> {
        Self::try_request(conn, format!(
            "GET {target} HTTP/1.1\r\nHost: site.test\r\nAccept: text/event-stream\r\n{lines}\r\n"
        ))
        .await
    }

    /// What a POST is answered, as a stream or not.
    pub async fn try_post(
        address: &Address,
        target: &str,
        lines: &str,
        body: &str,
    ) -> Result<Self, Answer> {
        let length = body.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: site.test\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
        );
        Self::try_request(Conn::open(address).await, request).await
    }

    async fn try_request(mut conn: Conn, request: String) -> Result<Self, Answer> {
        conn.send(request).await;
        let mut head = conn.head().await;
        let mut framing = Conn::framing(&head, "GET");
        if head.status != 200 || head.header("content-type") != Some("text/event-stream") {
            while let Piece::Data(data) = conn.piece(&mut framing).await {
                head.body.extend(data);
            }
            return Err(head);
        }
        Ok(Self {
            conn,
            framing,
            parser: Parser::new(64 << 20),
            events: VecDeque::new(),
            head,
            text: String::new(),
            ended: None,
        })
    }

    /// The id the gateway gave this stream.
    pub fn stream(&self) -> &str {
        self.head.header("sse-stream").unwrap()
    }

    /// What a reconnect would send.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// Reads on; `false` at the end.
    async fn read(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.conn.piece(&mut self.framing).await {
            Piece::Data(data) => {
                self.events.extend(self.parser.feed(&data).unwrap());
                self.text.push_str(std::str::from_utf8(&data).unwrap());
                return true;
            }
            Piece::End => self.ended = Some(true),
            Piece::Broken => self.ended = Some(false),
        }
        false
    }

    /// The next event; `None` at the end.
    pub async fn try_next(&mut self) -> Option<Parsed> {
        while self.events.is_empty() {
            if !self.read().await {
                return None;
            }
        }
        self.events.pop_front()
    }

    /// The next event.
    pub async fn next(&mut self) -> Parsed {
        match self.try_next().await {
            Some(event) => event,
            None => panic!("the stream ended after {:?}", self.text),
        }
    }

    /// The data of the next `count` events.
    pub async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            data.push(self.next().await.data);
        }
        data
    }

    /// Reads until the text so far contains `mark`.
    pub async fn read_past(&mut self, mark: &str) {
        while !self.text.contains(mark) {
            assert!(
                self.read().await,
                "{mark:?} comes; the stream ended after {:?}",
                self.text
            );
        }
    }

    /// Reads until there were `count` heartbeats.
    pub async fn heartbeats(&mut self, count: usize) {
        while self.text.matches(":\n\n").count() < count {
            assert!(
                self.read().await,
                "heartbeats come; the stream ended after {:?}",
                self.text
            );
        }
    }

    /// Waits for the end; the events that came before it, and whether the answer was finished as it should.
    pub async fn rest(mut self) -> (Vec<Parsed>, String, bool) {
        while self.read().await {}
        (self.events.into(), self.text, self.ended == Some(true))
    }

    /// Waits for the end; nothing but what was read so far may come before it.
    pub async fn ends(self) {
        let (events, text, whole) = self.rest().await;
        assert!(events.is_empty(), "no further event: {events:?}");
        assert!(whole, "the stream ends as it should: {text:?}");
    }
}
