//! A gateway that asks Django who may listen, and a Django that allows it.

use super::{Backend, Gateway, Publisher, Reply, Request, gateway};

/// A route that asks, with more keys of `sse`, before a route that proxies.
pub async fn site_with(sse: &str, keys: &str, backend: &Backend) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!(
        "[sse]\nper_ip = 0\nretry = \"3s\"\n{}[[route]]\npath = \"/events/<path:rest>\"\nsse = {{ {sse} }}\n{}",
        gateway::upstream(&backend.address, keys),
        gateway::PROXY,
    ))
    .await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

pub async fn site(backend: &Backend) -> (Gateway, Publisher) {
    site_with("ask = \"django\", heartbeat = \"50ms\"", "", backend).await
}

pub async fn answering(
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Gateway, Publisher, Backend) {
    let backend = Backend::start(script).await;
    let (gateway, publisher) = site(&backend).await;
    (gateway, publisher, backend)
}

/// An answer that names the channel, with more header lines.
pub fn granted(lines: &str) -> Reply {
    Reply::answer("200 OK", &format!("SSE-Channel: news\r\n{lines}"), "")
}
