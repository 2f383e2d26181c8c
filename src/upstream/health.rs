//! Asks a server regularly whether it is well: one task for each server of an upstream with `health`.
//!
//! The tasks are the upstream's, and end with it. Each question goes on a connection of its own, for whether one is accepted
//! is part of it; only the head of the answer is read. It waits for no turn and counts as a request in flight. Bound: one
//! question at a time for each server, within `timeout`.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::body::RequestBody;
use super::error::UpstreamError;
use super::exchange::Exchange;
use super::head::Head;
use super::pool::{Pool, is_ours};
use super::settings::Health;
use crate::base::random;
use crate::wire::forwarded::{Forwarded, Proto};

/// Why a check was not passed.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error(transparent)]
    Unanswered(#[from] UpstreamError),
    #[error("the check was answered by {0}")]
    Status(StatusCode),
    #[error("the check was not answered in time")]
    Late,
}

/// Asks for as long as it is polled.
pub(super) async fn watch(pool: Pool, health: Health, open: TaskTracker) {
    let head = question(&health);
    loop {
        let told = timeout(health.timeout, ask(&pool, &health, &head, &open)).await;
        let told = told.unwrap_or(Err(Unwell::Late));
        if !matches!(&told, Err(Unwell::Unanswered(error)) if is_ours(error)) {
            pool.standing().checked(told, &health);
        }
        sleep(random::jittered(health.every)).await;
    }
}

async fn ask(pool: &Pool, health: &Health, head: &Head, open: &TaskTracker) -> Result<(), Unwell> {
    let lease = pool.dial(open).await?;
    let (body, now) = (RequestBody::Empty, Instant::now());
    let mut exchange = Exchange::new(lease, head, None, body, now, health.timeout);
    let status = poll_fn(|cx| exchange.poll(cx)).await?.status;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(Unwell::Status(status))
    }
}

/// The gateway itself asks, and says that it was asked by `https`: a site that is open by https alone would answer anything
/// else by a redirect, which says less.
fn question(health: &Health) -> Head {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let forwarded = Forwarded {
        client,
        chain: client.to_string(),
        proto: Proto::Https,
        host: health.host.clone(),
        port: 443,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (HOST, health.host.as_str()),
        (USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION"))),
        (CONNECTION, "close"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    forwarded.apply(&mut headers);
    Head {
        method: Method::GET,
        target: health.path.clone(),
        headers,
    }
}
