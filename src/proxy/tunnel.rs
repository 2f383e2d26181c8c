//! WebSockets: once both sides have agreed to switch, bytes pass in both directions until one of them ends.
//!
//! Nothing is copied before Django has answered 101 (RFC 9931): until then this is an ordinary request. Bound: as many
//! tunnels as there are slots; beyond, 503.

use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::forward::pass_on;
use super::respond::Refusal;
use super::{Exchange, Proxy};
use crate::base::metrics::{Counted, Registry};
use crate::limits::{Slot, Slots};
use crate::stream::Body;
use crate::upstream::{RequestBody, Switched, Upstream};
use crate::wire::headers;

/// The open WebSockets.
#[derive(Debug)]
pub(super) struct Tunnels {
    slots: Slots,
    tasks: TaskTracker,
    abort: CancellationToken,
    open: Gauge,
}

impl Tunnels {
    pub(super) fn new(slots: Slots, registry: &Registry) -> Self {
        let open = registry.gauge("websockets_open", "WebSockets passed through");
        Self {
            slots,
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            open,
        }
    }

    pub(super) async fn close(&self, patience: Duration) {
        self.tasks.close();
        if timeout(patience, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }

    /// Copies between the two sides.
    fn start(&self, client: OnUpgrade, upstream: Switched, slot: Slot) {
        let (abort, open) = (self.abort.clone(), Counted::new(&self.open));
        self.tasks.spawn(async move {
            let copied = abort.run_until_cancelled(pass(client, upstream)).await;
            if let Some(Err(error)) = copied {
                tracing::debug!(error = error.as_ref(), "WebSocket ended");
            }
            drop((slot, open));
        });
    }
}

async fn pass(
    client: OnUpgrade,
    upstream: Switched,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut from_upstream, mut to_upstream) = split(upstream);
    let (mut from_client, mut to_client) = split(TokioIo::new(client.await?));
    // A WebSocket is not used half open (RFC 6455, section 7.1.1), so the end of one side ends the other: a client that
    // never closes must not keep its slot. What Django said last goes first.
    let copied = tokio::select! {
        biased;
        copied = copy(&mut from_upstream, &mut to_client) => copied,
        copied = copy(&mut from_client, &mut to_upstream) => copied,
    };
    let (near, far) = tokio::join!(to_client.shutdown(), to_upstream.shutdown());
    copied.map(drop).and(near).and(far)?;
    Ok(())
}

impl Proxy {
    pub(super) async fn tunnel(
        &self,
        exchange: Exchange<'_>,
        upstream: &Upstream,
    ) -> Result<Response<Body>, Refusal> {
        let Exchange {
            mut parts,
            mut rebuilt,
            ..
        } = exchange;
        let slot = self.tunnels.slots.take().ok_or(Refusal::Full)?;
        rebuilt.head.ask_for_websocket();
        let body = RequestBody::Empty;
        let answer = if self.effects.can_matter(upstream, &rebuilt) {
            self.effects.send(upstream, rebuilt, body).await
        } else {
            upstream.send_rebuilt(&rebuilt, body, None).await
        };
        let answer = answer.map_err(|error| Refusal::upstream(upstream, error))?;
        let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let agreed = switched && headers::websocket_upgrade(answer.headers());
        if switched && !agreed {
            return Err(Refusal::BadUpgrade);
        }
        if !agreed {
            return pass_on(upstream, answer);
        }
        let (mut answer, body) = answer.into_parts();
        headers::strip_response(&mut answer.headers);
        answer
            .headers
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        answer
            .headers
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
        let near = parts
            .extensions
            .remove::<OnUpgrade>()
            .ok_or(Refusal::BadUpgrade)?;
        let far = body.switched().ok_or(Refusal::BadUpgrade)?;
        self.tunnels.start(near, far, slot);
        Ok(Response::from_parts(answer, Body::empty()))
    }
}
