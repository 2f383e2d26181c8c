//! How long a stream may listen, and how it is asked again without closing.
//!
//! A stream delivers nothing while its permission is being asked for: an expired permission never turns into
//! anonymous. The asking itself goes on, with growing pauses, until Django says something clear.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::place;
use crate::ask::{Asker, Facts, Refused, Verdict};
use crate::history::Reach;
use crate::hub::Hub;
use crate::upstream::{Backoff, Head, RequestBody};
use crate::wire::grip::is_instruct;
use crate::wire::headers;

/// The first and the longest pause between two asks that Django could not answer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Whether a stream may deliver now.
#[derive(Debug)]
pub(super) enum Permission {
    /// For as long as the stream lasts.
    Lasting,
    /// Until this moment.
    Until(Instant, Box<Asking>),
    /// Not now.
    Asked(Answering),
    /// Until this moment; then the stream ends, for nobody can be asked again.
    Ends(Instant),
}

impl Permission {
    /// Whether events may be delivered at this moment.
    pub(super) fn allows(&self, now: Instant) -> bool {
        match self {
            Self::Lasting => true,
            Self::Until(until, _) | Self::Ends(until) => *until > now,
            Self::Asked(_) => false,
        }
    }

    /// When it runs out; `None` if nothing but an answer changes it.
    pub(super) const fn ends(&self) -> Option<Instant> {
        match self {
            Self::Until(at, _) | Self::Ends(at) => Some(*at),
            Self::Lasting | Self::Asked(_) => None,
        }
    }
}

/// What happens when a permission runs out.
#[derive(Debug)]
pub(super) enum Renewal {
    /// It does not: nobody was asked.
    Never,
    /// Django is asked again.
    Ask(Box<Asking>),
    /// The stream ends: an ask other than a bare GET or HEAD is never repeated, a token is over when it is over.
    Impossible,
}

impl From<Option<Box<Asking>>> for Renewal {
    fn from(again: Option<Box<Asking>>) -> Self {
        again.map_or(Self::Impossible, Self::Ask)
    }
}

/// All that is needed to ask again.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) asker: Asker,
    pub(super) head: Head,
}

/// The answer to come.
pub(super) struct Answering(Pin<Box<dyn Future<Output = (Verdict, Box<Asking>)> + Send>>);

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

impl Answering {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Verdict, Box<Asking>)> {
        self.0.as_mut().poll(cx)
    }
}

impl Asking {
    /// Asks until the verdict is neither [`Verdict::Busy`] nor [`Verdict::Down`]; after a pause, if it was asked just
    /// now and in vain.
    pub(super) fn until_clear(
        self: Box<Self>,
        hub: Hub,
        reach: Reach,
        mut facts: Facts,
        in_vain: bool,
    ) -> Answering {
        Answering(Box::pin(async move {
            let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
            if in_vain {
                tokio::time::sleep(backoff.pause()).await;
            }
            loop {
                let turn = self.asker.turn().await;
                self.asker.upstream().maintenance().over().await;
                // Much may have happened since the last try.
                let log = hub.log();
                facts.whole = place::is_whole_since(log, facts.last.as_ref(), &reach);
                facts.era = hub.era().0;
                let mut head = self.head.clone();
                head.tell_cursor(log.id(log.position()));
                match self.asker.ask(turn, head, RequestBody::Empty, &facts).await {
                    Verdict::Busy(_) | Verdict::Down(_) => {
                        tokio::time::sleep(backoff.pause()).await;
                    }
                    clear => return (clear, self),
                }
            }
        }))
    }
}

/// Tells the operator of an answer that a view probably did not mean, and of Django not answering. `path` is the request's,
/// without its query.
pub(super) fn log_verdict(asker: &Asker, path: &str, verdict: &Verdict, wants_stream: bool) {
    let upstream = asker.upstream().settings().name.as_str();
    match verdict {
        Verdict::Answered(answer)
            if is_page(answer.status()) && (wants_stream || is_stream(answer.headers())) =>
        {
            let hint = if is_instruct(answer.headers()) {
                "an answer that is to be held by Grip-* headers is for a `proxy` route"
            } else {
                "a view that answers an ask names the channel in the header SSE-Channel"
            };
            tracing::warn!(
                upstream,
                path,
                status = answer.status().as_u16(),
                hint,
                "Ask answered without a channel"
            );
        }
        Verdict::Login(answer) if is_for_good(answer.status()) => {
            let hint = "a redirect for good is rarely a login: does the route's path lack Django's last slash?";
            tracing::warn!(
                upstream,
                path,
                status = answer.status().as_u16(),
                hint,
                "Ask redirected"
            );
        }
        Verdict::Mistaken(mistaken) => {
            let error = mistaken as &dyn std::error::Error;
            tracing::warn!(
                upstream,
                path,
                error,
                hint = mistaken.hint(),
                "Answer to an ask cannot be read"
            );
        }
        Verdict::Busy(answer) => {
            tracing::warn!(
                upstream,
                path,
                status = answer.status().as_u16(),
                "Ask not answered"
            );
        }
        Verdict::Down(error) => {
            tracing::warn!(
                upstream,
                path,
                error = error as &dyn std::error::Error,
                "Ask failed"
            );
        }
        Verdict::Granted(_) | Verdict::Answered(_) | Verdict::Login(_) => {}
    }
}

/// Tells the operator of a token that the site signed and that is of no use. What strangers present is no news.
pub(super) fn log_refused(path: &str, refused: &Refused) {
    if let Some(hint) = refused.hint() {
        let error = refused as &dyn std::error::Error;
        tracing::warn!(path, error, hint, "Token cannot be read");
    }
}

/// Whether the view meant a stream, whatever the client said that it wants.
fn is_stream(answer: &HeaderMap) -> bool {
    is_instruct(answer) || headers::is_event_stream(answer)
}

fn is_page(status: StatusCode) -> bool {
    status.is_success() && status != StatusCode::NO_CONTENT
}

const fn is_for_good(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT
    )
}
