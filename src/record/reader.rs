//! From Django to the log: reads the view's answer, and asks the view again when it breaks off, if it was asked by GET.
//!
//! Called by the task of a recording. Bound: Django is asked again for at most [`PATIENCE`], with growing pauses, until an
//! answer has lasted for [`LASTING`]. An event is no sign that all is well: a view that raises after its first would be asked
//! without end.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};

use super::events::Reading;
use crate::domain::Event;
use crate::hub::Hub;
use crate::upstream::{AnswerBody, Backoff, Head, RequestBody, Upstream};
use crate::wire::last_event_id::{IN_QUERY, LAST_EVENT_ID};
use crate::wire::{headers, sse};

/// How long Django is asked again for a recording that broke off.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long an answer lasts that counts as a good one, however it ends.
const LASTING: Duration = Duration::from_secs(10);
/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// How the view came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It said all it had to say.
    Ended,
    /// It wrote what cannot be recorded, or broke off and is not asked again.
    Broken,
    /// It broke off, and another answer was given when it was asked again.
    Refused,
    /// It broke off, and Django could not be asked again.
    Unreachable,
}

impl Outcome {
    /// As a label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Reads one view.
#[derive(Debug)]
pub(super) struct Reader {
    hub: Hub,
    upstream: Upstream,
    /// The request that began the recording.
    head: Head,
    reading: Reading,
    /// When the view broke off, if no answer has lasted since, and the pauses since then.
    lost: Option<(Instant, Backoff)>,
    /// The place of the newest event as an id, for a view that gives none.
    newest: Option<String>,
}

impl Reader {
    pub(super) const fn new(hub: Hub, upstream: Upstream, head: Head, reading: Reading) -> Self {
        Self {
            hub,
            upstream,
            head,
            reading,
            lost: None,
            newest: None,
        }
    }

    /// Records the view from `body` on until it comes to an end.
    pub(super) async fn run(&mut self, mut body: AnswerBody) -> Outcome {
        loop {
            if let Some(outcome) = self.read(body).await {
                return outcome;
            }
            // What a POST does is not done twice.
            if self.head.method != Method::GET {
                return Outcome::Broken;
            }
            body = match self.ask_again().await {
                Ok(body) => body,
                Err(outcome) => return outcome,
            };
        }
    }

    /// Reads one answer to its end; `None` if it broke off.
    async fn read(&mut self, mut body: AnswerBody) -> Option<Outcome> {
        let began = Instant::now();
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.warn(&error);
                    if began.elapsed() >= LASTING {
                        self.lost = None;
                    }
                    return None;
                }
            };
            let bytes = frame.into_data().unwrap_or_default();
            let (events, unreadable) = self.reading.feed(&bytes);
            if !events.is_empty() && !self.publish(&events) {
                return Some(Outcome::Broken);
            }
            if let Some(unreadable) = unreadable {
                self.warn(&unreadable);
                return Some(Outcome::Broken);
            }
        }
        Some(Outcome::Ended)
    }

    fn publish(&mut self, events: &[Event]) -> bool {
        match self.hub.publish(events, sse::event) {
            Ok(receipt) => {
                self.newest = receipt.ids.last().map(ToString::to_string);
                true
            }
            Err(error) => {
                self.warn(&error);
                false
            }
        }
    }

    /// Tells viewers that the view has not said all it had to say.
    pub(super) fn tell_broken(&mut self) {
        self.publish(&[self.reading.reset("broken")]);
    }

    /// Publishes the end; the place after it.
    pub(super) fn close(&self) -> Option<crate::domain::Position> {
        let close = [self.reading.close()];
        let receipt = self.hub.publish(&close, sse::event).ok()?;
        receipt.ids.last().map(|id| id.position)
    }

    /// Asks for the rest until there is an answer. Viewers stay meanwhile.
    pub(super) async fn ask_again(&mut self) -> Result<AnswerBody, Outcome> {
        let now = Instant::now();
        let (mut since, mut backoff) = self
            .lost
            .take()
            .unwrap_or_else(|| (now, Backoff::new(PAUSES.0, PAUSES.1)));
        let head = self.rest();
        while since.elapsed() < PATIENCE {
            sleep(backoff.pause()).await;
            // However long that takes, it does not count.
            let waited = Instant::now();
            self.upstream.maintenance().over().await;
            since += waited.elapsed();
            let answer = self
                .upstream
                .send(&head, RequestBody::Empty, Duration::ZERO);
            // Not to be reached: the next try may find it.
            let Ok(answer) = answer.await else { continue };
            match answer.status() {
                StatusCode::TOO_MANY_REQUESTS => {}
                status if status.is_server_error() => {}
                StatusCode::NO_CONTENT => return Err(Outcome::Ended),
                _ if can_be_recorded(&answer) => {
                    self.lost = Some((since, backoff));
                    if let Some(reset) = self.reading.begin_anew() {
                        self.publish(&[reset]);
                    }
                    return Ok(answer.into_body());
                }
                _ => return Err(Outcome::Refused),
            }
        }
        Err(Outcome::Unreachable)
    }

    /// The request for what comes after the newest event.
    fn rest(&self) -> Head {
        let mut head = self.head.clone();
        let log = self.hub.log();
        head.tell_cursor(log.id(log.position()));
        let last = self.reading.last().or(self.newest.as_deref());
        if let Some(last) = last.and_then(|last| HeaderValue::from_bytes(last.as_bytes()).ok()) {
            head.headers.insert(LAST_EVENT_ID, last);
            // A view may look here first.
            head.drop_parameters(&IN_QUERY);
        }
        head
    }

    fn warn(&self, error: &(dyn std::error::Error + 'static)) {
        let upstream = self.upstream.settings().name.as_str();
        let path = self.head.target.path();
        let hint = "did the view raise, or its server end it (gunicorn --timeout)?";
        tracing::warn!(upstream, path, error, hint, "Recording interrupted");
    }
}

/// Whether an answer is an event stream that can be read.
pub fn can_be_recorded(answer: &Response<AnswerBody>) -> bool {
    answer.status() == StatusCode::OK
        && headers::is_event_stream(answer.headers())
        && !answer.headers().contains_key(CONTENT_ENCODING)
}
