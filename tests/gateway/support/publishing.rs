//! A gateway with one channel that anybody may hear, and who publishes to it.

use tidegate::server::Address;

use super::documented;
use super::{Answer, Conn, Gateway, Publisher};

pub const ROUTES: &str =
    "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";

pub const JSON: &str = "Content-Type: application/json\r\n";

pub async fn site(text: &str) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!("{text}\n{ROUTES}")).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

/// A publisher of lines: one request whose body is sent piece by piece.
pub struct Lines {
    pub conn: Conn,
}

impl Lines {
    /// Begins the request; `query` begins with `?` or is empty, `lines` are more header lines.
    pub async fn open(address: &Address, query: &str, lines: &str) -> Self {
        let mut conn = Conn::open(address).await;
        let head = format!(
            "POST /v1/events{query} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
             Content-Type: application/x-ndjson\r\n{lines}\r\n"
        );
        conn.send(head).await;
        Self { conn }
    }

    /// Sends one piece of the body, whatever it holds.
    pub async fn piece(&mut self, piece: &str) {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        self.conn.send(chunk).await;
    }

    /// Ends the body; the answer.
    pub async fn end(mut self) -> Answer {
        self.conn.send("0\r\n\r\n").await;
        self.answer().await
    }

    /// The answer that comes before the body has ended.
    pub async fn answer(mut self) -> Answer {
        let answer = self.conn.answer_to("POST").await;
        documented::check("POST", "/v1/events", &answer);
        answer
    }
}
