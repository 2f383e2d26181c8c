//! A gateway that records, and views that stream.

use super::{Backend, EventSource, Gate, Gateway, Publisher, Reply, Request, gateway};

/// The head of a stream of a view, chunked; more header lines end by CRLF.
pub fn head(lines: &str) -> Reply {
    Reply::raw(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{lines}Transfer-Encoding: chunked\r\n\r\n"
    ))
}

/// A view's stream that begins with `text`.
pub fn says(text: &str) -> Reply {
    more(head(""), text)
}

/// One chunk more.
pub fn more(reply: Reply, text: &str) -> Reply {
    reply.then(format!("{:x}\r\n{text}\r\n", text.len()))
}

/// The end of the view.
pub fn over(reply: Reply) -> Reply {
    reply.then("0\r\n\r\n")
}

/// `data: from` to `data: to`, with ids if wanted.
pub fn events(numbers: std::ops::RangeInclusive<u32>, ids: bool) -> String {
    let event = |number| {
        let id = if ids {
            format!("id: v{number}\n")
        } else {
            String::new()
        };
        format!("{id}data: {number}\n\n")
    };
    numbers.map(event).collect::<Vec<_>>().concat()
}

/// A view that says 1 to 3, waits for the gate, says 4 to 6 and ends.
pub fn halves(gate: &Gate, ids: bool) -> Reply {
    let first = says(&events(1..=3, ids)).wait(gate);
    over(more(first, &events(4..=6, ids)))
}

/// A gateway whose every path is recorded in this way, with more of the file.
pub async fn recording_with(record: &str, text: &str, backend: &Backend) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!(
        "{}{text}\n[[route]]\npath = \"/<path:rest>\"\nproxy = {{ to = \"django\", record = {{ {record} }} }}\n",
        gateway::upstream(&backend.address, "retry_for = \"50ms\""),
    ))
    .await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

pub async fn recording(
    record: &str,
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Gateway, Publisher, Backend) {
    let backend = Backend::start(script).await;
    let (gateway, publisher) = recording_with(record, "[sse]\nretry = \"3s\"", &backend).await;
    (gateway, publisher, backend)
}

pub async fn open(gateway: &Gateway, lines: &str) -> EventSource {
    EventSource::open_with(&gateway.public, "/answer/", lines).await
}

pub const ALICE: &str = "Cookie: sessionid=alice; theme=dark\r\n";
pub const BOB: &str = "Cookie: sessionid=bob; theme=dark\r\n";
