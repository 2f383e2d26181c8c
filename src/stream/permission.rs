//! How long a stream may listen, and how it is asked again without closing.
//!
//! A stream delivers nothing while its permission is being asked for: an expired permission never turns into
//! anonymous. The asking itself goes on, with growing pauses, until Django says something clear.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::place;
use crate::ask::{Asker, Facts, Mistaken, Verdict};
use crate::history::Log;
use crate::upstream::{Backoff, Head, RequestBody};

/// The first and the longest pause between two asks that Django could not answer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Whether a stream may deliver now.
#[derive(Debug)]
pub(super) enum Permission {
    /// For as long as the stream lasts.
    Lasting,
    /// Until the timer fires.
    Until(Pin<Box<Sleep>>, Box<Asking>),
    /// Not now.
    Asked(Answering),
    /// Until the timer fires; then the stream ends, for its ask cannot be repeated.
    Ends(Pin<Box<Sleep>>),
}

impl Permission {
    /// Whether events may be delivered at this moment, also if no timer was polled yet.
    pub(super) fn allows(&self) -> bool {
        match self {
            Self::Lasting => true,
            Self::Until(timer, _) | Self::Ends(timer) => timer.deadline() > Instant::now(),
            Self::Asked(_) => false,
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
    /// The stream ends: an ask other than a bare GET or HEAD is never repeated.
    Impossible,
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
        log: Log,
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
                // The log may have moved on since the last try.
                facts.whole = place::is_whole_since(&log, facts.last.as_ref());
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

/// Tells the operator what is wrong with the view.
pub(super) fn log_mistake(asker: &Asker, mistaken: &Mistaken) {
    tracing::warn!(
        upstream = asker.upstream().settings().name,
        error = mistaken as &dyn std::error::Error,
        hint = mistaken.hint(),
        "Answer to an ask cannot be read"
    );
}
