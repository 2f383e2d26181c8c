//! Recordings: a view that streams is read once, and everybody who may hear it is a stream on its events.
//!
//! Called by `proxy` for routes that say `record`. [`Recorder::seek`] lets a viewer join the recording that is there, or
//! says that his own request is to be sent; [`Recorder::begin`] begins one with the answer. A recording is a channel that nobody can name, kept whole;
//! a task of its own reads the view (`reader`), and forgets the channel when nobody needs it any more (`task`). What a POST
//! is answered is a recording of its own, which a GET of its sender may join with the id of one of its events.
//!
//! Invariant: who is on a recording either is the person it is of, whose session lasts, or was just answered by the view
//! with a stream of his own. Bound: as many recordings as there are slots; beyond, answers pass through unrecorded.

mod events;
mod key;
mod open;
mod reader;
mod settings;
mod table;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Response};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::metrics::{CounterBy, Registry};
use crate::domain::{ByteSize, ChannelName, Position};
use crate::hub::{Era, Hub, Session};
use crate::limits::{Present, Slots};
use crate::upstream::{AnswerBody, Head, Upstream};
use crate::wire::last_event_id::LastEventId;

pub use open::{Candidate, would_record};
pub use reader::can_be_recorded;
pub use settings::{Per, Replay, Settings};
use table::Recordings;

/// The most recordings at once.
pub const MOST: usize = 10_000;

/// Makes recordings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    recordings: Recordings,
    slots: Slots,
    /// The longest data of an event of recordings that begin now.
    longest: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    open: Gauge,
    ended: CounterBy,
    joined: Counter,
    unrecorded: Counter,
}

/// A request on a route that records: a GET without a body, or a POST.
#[derive(Debug)]
pub struct Visit<'a> {
    /// Where the route leads.
    pub upstream: &'a Upstream,
    /// The path as the client wrote it: what Django is sent may be the same for two routes.
    pub path: &'a str,
    /// As it would be proxied.
    pub head: Head,
    /// Where the client says it was.
    pub last: Option<LastEventId>,
    /// The name of the session cookie.
    pub session_cookie: Option<&'a str>,
    /// The session that came with the request.
    pub session: Option<Session>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Sought {
    /// A stream on the recording that is there; boxed, because it is large.
    Viewer(Box<Viewer>),
    /// Django is to be asked, by [`Candidate::request`]; boxed, because it is large.
    Candidate(Box<Candidate>),
    /// Others have asked it in vain for as long as it may take to answer.
    Late,
}

/// What becomes of an answer.
#[derive(Debug)]
pub enum Opened {
    /// A stream on a recording; boxed, because it is large.
    Viewer(Box<Viewer>),
    /// Django's own answer, to be passed on; boxed, because it is large.
    Answer(Box<Response<AnswerBody>>),
}

/// A recording, for one viewer.
#[derive(Debug)]
pub struct Viewer {
    /// Its channel.
    pub channel: ChannelName,
    /// The place before its first event.
    pub start: Position,
    /// The id of the view after which it begins.
    pub since: Option<String>,
    /// The place after its end, if the view has come to an end.
    pub end: Option<Position>,
    /// Whether the viewer is the one it began with.
    pub is_first: bool,
    /// When the viewer was let in, counted in kicks.
    pub era: Era,
    /// What of the viewer's own answer belongs to his stream's head.
    pub headers: HeaderMap,
    /// Whether it is what a POST was answered.
    pub is_of_post: bool,
    /// Keeps the recording going.
    pub present: Present,
}

impl Recorder {
    /// `most` is how many recordings there may be at once, `max_event` the longest data of one of their events.
    pub fn new(hub: Hub, most: usize, max_event: ByteSize, registry: &Registry) -> Self {
        let metrics = Metrics {
            open: registry.gauge("recordings_open", "Recordings, also those that linger"),
            ended: registry.counter_by("recordings_ended", "Recordings forgotten, by reason"),
            joined: registry.counter("recordings_joined", "Viewers of recordings begun by others"),
            unrecorded: registry.counter(
                "recordings_refused",
                "Answers passed through because there are too many recordings",
            ),
        };
        Self(Arc::new(Inner {
            hub,
            recordings: Recordings::default(),
            slots: Slots::new(most),
            longest: AtomicUsize::new(max_event.as_len()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            metrics,
        }))
    }

    /// Has recordings that begin from now on take events of at most `max_event`.
    pub fn configure(&self, max_event: ByteSize) {
        let longest = max_event.as_len();
        self.0.longest.store(longest, Ordering::Relaxed);
    }

    /// Drops every recording with its request to Django, and waits, at most for `patience`, until they are gone.
    pub async fn close(&self, patience: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        drop(timeout(patience, self.0.tasks.wait()).await);
    }
}
