//! What `run` tells systemd while it serves: `WATCHDOG=1` twice in its patience, but only if every accept loop has just
//! had its turn. A gateway that accepts nobody any more is killed and started again.

use std::convert::Infallible;
use std::future::pending;

use tokio::time::{sleep_until, timeout_at};

use crate::base::systemd;
use crate::server::Server;

/// Says that the gateway serves, and notes sockets that nobody listens on.
pub(super) fn begin() {
    let left = systemd::left();
    if !left.is_empty() {
        let hint = "name them in listen.*.address, or take them out of the .socket unit";
        tracing::warn!(
            sockets = left.join(", "),
            hint,
            "Sockets of systemd are not used"
        );
    }
    systemd::ready();
}

/// Tells the watchdog, if there is one.
pub(super) async fn watch(servers: &[Server]) -> Infallible {
    let Some(patience) = systemd::patience() else {
        return pending().await;
    };
    let mut stuck = false;
    loop {
        let next = tokio::time::Instant::now() + patience / 2;
        let alive = async {
            for server in servers {
                server.alive().await;
            }
        };
        let was = stuck;
        stuck = timeout_at(next, alive).await.is_err();
        if !stuck {
            systemd::alive();
        } else if !was {
            tracing::error!("An accept loop is stuck");
        }
        sleep_until(next).await;
    }
}
