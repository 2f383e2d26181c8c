//! Held streams: opened, run and ended. Called by `proxy` for routes that say `sse` or `record`.
//!
//! [`Streams::open`] takes the slot first (the cheapest refusal), notes the place in the log, asks Django if the route
//! says so, finds where the client was, and only then answers; so nothing falls between the answer and the stream, and
//! whoever reads the first byte of a granted stream is on its channels already. The rest is [`Held`], which the server
//! writes itself, or [`Body`] carries through the HTTP library. A viewer of a recording takes his [`Places`] before it is
//! begun for him, so that nobody is refused after it was, and enters by [`Streams::view`].
//!
//! Bounds: as many streams as there are slots, beyond, 503; `per_ip` of a client, `per_user` of a user, beyond, 429.

mod begin;
mod body;
#[cfg(test)]
mod checker;
mod compressed;
pub mod grip;
mod held;
mod open;
mod permission;
mod place;
mod places;
mod recorded;
pub mod respond;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_asked;
#[cfg(test)]
mod tests_between;
#[cfg(test)]
mod tests_recorded;
#[cfg(test)]
mod tests_token;

use std::net::IpAddr;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use crate::ask::{Asker, Mistaken, Presented, Refused};
use crate::base::metrics::{CounterBy, Registry};
use crate::domain::{ChannelName, UserId};
use crate::hub::{Hub, Session};
use crate::limits::{Shares, Slots};
use crate::upstream::{Head, RequestBody, UpstreamError};
use crate::wire::last_event_id::LastEventId;

pub use body::{Body, BodyError};
pub use compressed::{Compressed, Counters};
pub use held::{Held, Memo};
pub use places::Places;
pub use recorded::{Begin, Recorded, Viewing};
pub use settings::*;

/// Opens streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    slots: Slots,
    clients: Shares<IpAddr>,
    users: Shares<UserId>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    opened: Counter,
    ended: CounterBy,
    refused: CounterBy,
    delivered: Counter,
    resets: CounterBy,
}

/// Who says which channels a stream hears.
#[derive(Debug)]
pub enum Source {
    /// The route: everybody may hear these, at least one, none twice.
    Public(Vec<ChannelName>),
    /// Django, asked with the client's own request.
    Ask {
        /// Who asks.
        asker: Asker,
        /// The client's request as it would be proxied; boxed, because it is large.
        head: Box<Head>,
        /// Its body.
        body: RequestBody,
    },
    /// A token that the site signed; the stream ends when it does.
    Token {
        /// What the client presented.
        presented: Presented,
        /// The path of the request, for the log.
        path: String,
    },
}

/// A request for a stream.
#[derive(Debug)]
pub struct Opening {
    /// Whether only the head of the answer is wanted (HEAD).
    pub head_only: bool,
    /// The client's address.
    pub client: IpAddr,
    /// The session of Django that came with the request.
    pub session: Option<Session>,
    /// Where the client says it was.
    pub last: Option<LastEventId>,
    /// Whether the client names `text/event-stream` in `Accept`: what it gets else is probably a mistake of the view.
    pub wants_stream: bool,
    /// Who may listen to what.
    pub source: Source,
}

/// Why no stream was opened, where Django gave no answer to pass on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No good token was presented.
    #[error("a good token is needed")]
    Unauthorized(#[source] Refused),
    /// There are as many streams as a limit allows.
    #[error("{0}")]
    Limited(Limit),
    /// The view's answer to the ask cannot be read.
    #[error("the view's answer to the ask cannot be read")]
    Mistaken(#[source] Mistaken),
    /// Django could not be asked, and the route or the method does not allow to wait.
    #[error("Django could not be asked")]
    Down(#[source] UpstreamError),
    /// Django's answer says that it is to be held, and how cannot be read.
    #[error("the answer cannot be held")]
    Unreadable(#[source] grip::Unreadable),
    /// An ask that must not be repeated could not be answered now.
    #[error("Django cannot answer now")]
    Busy,
}

/// What refuses a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// All slots are taken.
    #[error("no slot is free")]
    Slots,
    /// `per_ip`.
    #[error("this client has too many streams")]
    PerIp,
    /// `per_user`.
    #[error("this user has too many streams")]
    PerUser,
    /// A rate, which is not looked at here.
    #[error("this client comes too often")]
    Rate,
}

impl Limit {
    /// The label it is counted under.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::PerIp => "per_ip",
            Self::PerUser => "per_user",
            Self::Rate => "rate",
        }
    }
}

impl Streams {
    /// `slots` is how many streams there may be at once.
    pub fn new(hub: Hub, slots: Slots, registry: &Registry) -> Self {
        let metrics = Metrics {
            opened: registry.counter("streams_opened", "Streams opened"),
            ended: registry.counter_by("streams_ended", "Streams ended, by reason"),
            refused: registry.counter_by("streams_refused", "Streams refused, by reason"),
            delivered: registry.counter("events_delivered", "Events handed to streams"),
            resets: registry.counter_by("stream_resets", "Resets sent, by reason"),
        };
        Self(Arc::new(Inner {
            hub,
            slots,
            clients: Shares::default(),
            users: Shares::default(),
            metrics,
        }))
    }

    /// Counts a stream that is not opened for this reason.
    pub fn count_refused(&self, limit: Limit) {
        let refused = &self.0.metrics.refused;
        refused.get_or_create(&[("reason", limit.as_str())]).inc();
    }
}
