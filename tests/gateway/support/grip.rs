//! A gateway in front of a backend that has its answers held.

use serde_json::{Value, json};

use super::{Backend, Gateway, Publisher, Reply, Request, gateway};

/// An answer that is held as a stream on `channel`, which may have parameters.
pub fn stream(channel: &str, lines: &str, body: &str) -> Reply {
    held("stream", channel, lines, body)
}

/// An answer that is held until something comes on `channel`.
pub fn poll(channel: &str, lines: &str, body: &str) -> Reply {
    held("response", channel, lines, body)
}

fn held(mode: &str, channel: &str, lines: &str, body: &str) -> Reply {
    let lines = format!(
        "Content-Type: text/event-stream\r\nGrip-Hold: {mode}\r\nGrip-Channel: {channel}\r\n{lines}"
    );
    Reply::answer("200 OK", &lines, body)
}

/// A gateway with these keys of `grip`.
pub async fn site_with(grip: &str, keys: &str, backend: &Backend) -> (Gateway, Publisher) {
    let keys = format!("grip = {grip}\nretry_for = \"50ms\"\n{keys}");
    let gateway = Gateway::start(&gateway::everything_to(&backend.address, &keys)).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

pub async fn site(
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Gateway, Publisher, Backend) {
    let backend = Backend::start(script).await;
    let (gateway, publisher) = site_with("true", "", &backend).await;
    (gateway, publisher, backend)
}

/// An item for streams.
pub fn item(channel: &str, content: &str) -> Value {
    json!({"channel": channel, "http-stream": {"content": content}})
}

/// An item for streams that has an id and the one before it.
pub fn next(channel: &str, id: u32, content: &str) -> Value {
    let (prev_id, id) = ((id - 1).to_string(), id.to_string());
    json!({"channel": channel, "id": id, "prev-id": prev_id, "http-stream": {"content": content}})
}

impl Publisher {
    /// `POST /publish/` of what must be good.
    pub async fn items(&mut self, items: &[Value]) {
        let body = json!({ "items": items }).to_string();
        let answer = self.request("POST", "/publish/", "", body.as_bytes()).await;
        assert_eq!((answer.status, answer.text()), (200, "Published\n"));
    }
}
