//! What the behaviours share: a gateway, a scripted backend, clients, and one way to wait.

pub mod asking;
pub mod authority;
pub mod backend;
pub mod client;
pub mod documented;
pub mod event_source;
pub mod frames;
pub mod gateway;
pub mod grip;
pub mod http2;
pub mod publisher;
pub mod publishing;
pub mod recording;
pub mod script;
pub mod slow;
pub mod streaming;
pub mod tls;

use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use backend::Backend;
pub use client::{Answer, Conn, Ending, get};
pub use event_source::EventSource;
pub use gateway::Gateway;
pub use publisher::Publisher;
pub use script::{Gate, Reply, Request};

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `work`, which must not take forever.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(done) = timeout(PATIENCE, work).await else {
        panic!("not in time: {what}")
    };
    done
}

/// Looks again and again whether `condition` holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !condition().await {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Lets time pass that is itself the matter of a test: how long a connection was idle.
pub async fn pass(time: Duration) {
    sleep(time).await;
}
