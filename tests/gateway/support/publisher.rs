//! Who publishes: requests to the internal listener.

use serde_json::{Value, json};
use tidegate::server::Address;

use super::client::{Answer, Conn};
use super::documented;

/// A caller of the internal listener, on one connection.
pub struct Publisher {
    conn: Conn,
}

impl Publisher {
    pub async fn new(address: &Address) -> Self {
        Self::over(Conn::open(address).await)
    }

    /// On a connection that is made already.
    pub fn over(conn: Conn) -> Self {
        Self { conn }
    }

    /// Any request; `lines` are more header lines, each ended by CRLF.
    pub async fn request(
        &mut self,
        method: &str,
        target: &str,
        lines: &str,
        body: &[u8],
    ) -> Answer {
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}{lines}\r\n");
        self.conn.send([head.as_bytes(), body].concat()).await;
        let answer = self.conn.answer_to(method).await;
        documented::check(method, target, &answer);
        answer
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "", b"").await
    }

    /// `POST /v1/events`.
    pub async fn post(&mut self, events: &Value) -> Answer {
        let lines = "Content-Type: application/json\r\n";
        self.request("POST", "/v1/events", lines, events.to_string().as_bytes())
            .await
    }

    /// Publishes what must be good; the answer's JSON.
    pub async fn publish(&mut self, events: Value) -> Value {
        let answer = self.post(&events).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Publishes one text; its id.
    pub async fn text(&mut self, channel: &str, data: &str) -> String {
        let answer = self
            .publish(json!({"channel": channel, "data": data}))
            .await;
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Ends streams; how many.
    pub async fn kick(&mut self, whom: Value) -> u64 {
        let body = whom.to_string();
        let answer = self
            .request("POST", "/v1/kick", super::publishing::JSON, body.as_bytes())
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["ended"].as_u64().unwrap()
    }

    /// The open streams.
    pub async fn streams(&mut self) -> u64 {
        self.get("/v1/stats").await.json()["streams"]
            .as_u64()
            .unwrap()
    }

    /// The value of a metric, by its name with its labels; 0 if it is not there.
    pub async fn metric(&mut self, name: &str) -> u64 {
        let answer = self.get("/metrics").await;
        let line = answer
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}
