//! How a held stream behaves: `[sse]`, which a route may override.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{EventName, Frame};
use crate::history::Reach;
use crate::wire::{cors, sse};

/// What a stream does whose place the log has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowClient {
    /// It ends; the client comes back and gets what history holds, or a reset.
    Close,
    /// It says `reset` and goes on with the newest.
    Skip,
}

/// What a new stream does when Django cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendDown {
    /// 200 and heartbeats, while it asks again.
    Hold,
    /// 200, `retry:` and the end.
    Retry,
    /// The status of the failure.
    Fail,
}

/// What fills a silence: a comment, or an event without an id, so that no client's last event id moves. Encoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    event: Option<(EventName, String)>,
    frame: Frame,
}

impl Beat {
    /// A comment, which no script sees.
    pub fn comment() -> Self {
        Self {
            event: None,
            frame: Frame::new(sse::HEARTBEAT),
        }
    }

    /// An event with this data.
    pub fn event(name: EventName, data: String) -> Self {
        Self {
            frame: sse::named(&name, &data),
            event: Some((name, data)),
        }
    }

    /// The name of the event; `None` for a comment.
    pub fn name(&self) -> Option<&EventName> {
        self.event.as_ref().map(|(name, _)| name)
    }

    /// The data of the event; empty for a comment.
    pub fn data(&self) -> &str {
        self.event.as_ref().map_or("", |(_, data)| data)
    }

    /// As it is on the wire.
    pub(super) fn frame(&self) -> Frame {
        self.frame.clone()
    }
}

/// `[sse]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The route's name, as logs and the console call it.
    pub route: Arc<str>,
    /// The cookie of Django's session: an answer that deletes or changes it ends the streams opened with the old one.
    /// Default `sessionid`; unset: none.
    pub session_cookie: Option<Box<str>>,
    /// The longest silence before a heartbeat is sent. Default 15 s.
    pub heartbeat: Duration,
    /// The heartbeat. Default a comment.
    pub beat: Beat,
    /// The `retry:` of a stream is drawn from this range, so that clients do not come back together. Default 2 s to 6 s.
    pub retry: RangeInclusive<Duration>,
    /// The name of a first event whose data names the stream's id. Default none.
    pub open_event: Option<EventName>,
    /// Default `close`.
    pub slow_client: SlowClient,
    /// Default `hold`.
    pub backend_down: BackendDown,
    /// Open streams of one client (its address; IPv6 by /64). Default 100; unset: no limit.
    pub per_ip: Option<NonZeroUsize>,
    /// Open streams of one user, as named by `SSE-User`. Default 20; unset: no limit.
    pub per_user: Option<NonZeroUsize>,
    /// What of the log its streams are given: `history`, `client_buffer` and `closed_for`.
    pub reach: Reach,
    /// How often Django is asked again for an open stream whose answer had no `SSE-Expires`. Unset: never.
    pub recheck: Option<Duration>,
    /// Which pages of other origins may read the route's answers. Unset: as Django says in its answer to the ask.
    pub cors: Option<cors::Rules>,
    /// The longest initial state (a body of type `text/event-stream` in the answer to an ask), in bytes: 1 MiB.
    pub longest_initial_state: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            route: "".into(),
            session_cookie: Some("sessionid".into()),
            heartbeat: Duration::from_secs(15),
            beat: Beat::comment(),
            retry: Duration::from_secs(2)..=Duration::from_secs(6),
            open_event: None,
            slow_client: SlowClient::Close,
            backend_down: BackendDown::Hold,
            per_ip: NonZeroUsize::new(100),
            per_user: NonZeroUsize::new(20),
            reach: Reach::default(),
            recheck: None,
            cors: None,
            longest_initial_state: 1 << 20,
        }
    }
}
