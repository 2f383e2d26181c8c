//! A request that is answered later: with what is published, or after a while with what Django said at first.
//!
//! It waits in the task of its connection, so that its end is the client's leaving. Nothing is queued for it: it reads the
//! log from the place that was noted before Django was asked.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll as Ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderName;
use tokio::time::timeout;

use super::catching_up::{CatchingUp, Caught};
use super::items::response_body;
use super::links::grip_last;
use super::open::{Caller, Heeded, Repeats, Said};
use super::tracking::{Instructed, Judged, Tracking, When};
use crate::domain::{Frame, Position};
use crate::history::{Cursor, Progress};
use crate::hub::{Hub, Membership, Recovery, Seat};
use crate::stream::open::{Candidate, Sitting};
use crate::stream::places::Places;
use crate::wire::grip::{self, Action, Instruct, ResponseFormat, Stored};
use crate::wire::headers;

/// How long a poll waits unless Django says otherwise.
const USUAL: Duration = Duration::from_secs(55);
/// The most items of one read.
const READ: usize = 32;

/// A poll that waits.
pub(super) struct Poll {
    cursor: Cursor,
    tracking: Tracking,
    /// What is read before the cursor.
    catching_up: Option<CatchingUp>,
    /// The end of the log before Django was asked.
    asked: Position,
    said: Said,
    timeout: Duration,
    /// Whether Django should be asked again at once, and whether it can be asked again at all.
    is_doubtful: bool,
    repeats: Repeats,
    /// How often those of its upstream were told that they may have missed something, when it began.
    recovery: Recovery,
    hub: Hub,
    seat: Seat,
    /// Held for their drop.
    _occupied: (Membership, Places),
}

/// How a poll ends.
enum End {
    /// With what was published.
    Published(Box<ResponseFormat>, Bytes),
    /// Django is to be asked again.
    Again,
    /// With what Django said.
    Said,
}

impl Poll {
    pub(super) fn new(
        candidate: Candidate,
        prefix: &str,
        instruct: &Instruct,
        said: Said,
        caller: &Caller,
    ) -> Self {
        let repeats = caller.repeats;
        let Sitting {
            hub,
            seat,
            places,
            era,
            asked,
        } = candidate.sit();
        let log = hub.log();
        let mut tracking = Tracking::new(asked);
        let when = When {
            asked,
            answered: log.position(),
            has_body: true,
            is_again: repeats == Repeats::Again,
        };
        let Instructed {
            is_doubtful,
            catching_up,
        } = tracking.instruct(log, prefix, instruct, when);
        let channels = tracking.channels();
        let membership = seat.join(None, &channels, era);
        Self {
            cursor: log.cursor(channels, tracking.done()),
            catching_up,
            asked,
            tracking,
            said,
            timeout: instruct.timeout.unwrap_or(USUAL),
            // Once asked again, Django knows best.
            is_doubtful: is_doubtful && repeats == Repeats::First,
            repeats,
            recovery: caller.recovery.clone(),
            seat,
            hub,
            _occupied: (membership, places),
        }
    }

    /// Waits for its end.
    pub(super) async fn wait(mut self) -> Heeded {
        let end = if self.is_doubtful {
            End::Again
        } else {
            let ended = timeout(self.timeout, poll_fn(|cx| self.poll(cx))).await;
            ended.unwrap_or(End::Said)
        };
        match end {
            End::Again if self.repeats != Repeats::Never => {
                let (last, from) = (grip_last(self.tracking.last()), self.tracking.done());
                Heeded::Again { last, from }
            }
            End::Again | End::Said => Heeded::Answer(self.said.into()),
            End::Published(format, body) => Heeded::Answer(self.published(&format, body).into()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Ready<End> {
        self.seat.listen(cx.waker());
        loop {
            // Kicked, logged out, or the gateway goes: the client comes back by itself.
            if self.seat.ending().is_some() {
                return Ready::Ready(End::Said);
            }
            if self.recovery.is_news() {
                return Ready::Ready(End::Again);
            }
            let (mut items, stream) = (VecDeque::new(), self.seat.id());
            let caught = match &mut self.catching_up {
                Some(catching_up) => catching_up.read(self.hub.log(), stream, &mut items),
                None => Caught::All,
            };
            let progress = match caught {
                Caught::Some => Progress::More,
                Caught::Gap => Progress::Gap,
                Caught::All => self.cursor.read(stream, READ, &mut items),
            };
            // What was published after a kick must not have been read before it was noticed.
            if self.seat.ending().is_some() {
                return Ready::Ready(End::Said);
            }
            let is_live = caught == Caught::All;
            for item in &items {
                let end = self.take(item);
                if is_live && let Some(item) = Stored::read(item) {
                    self.tracking.pass(Position::after(item.seq));
                }
                if let Some(end) = end {
                    return Ready::Ready(end);
                }
            }
            if is_live {
                self.tracking.pass(self.cursor.position());
            }
            match progress {
                Progress::UpToDate => return Ready::Pending,
                Progress::More => {}
                Progress::Gap | Progress::Doubt | Progress::Closed => {
                    // What is gone is not looked for again.
                    self.tracking.pass(self.hub.log().position());
                    return Ready::Ready(End::Again);
                }
            }
        }
    }

    fn take(&mut self, frame: &Frame) -> Option<End> {
        let item = Stored::read(frame)?;
        let index = match self.tracking.judge(&item, |id| id.into()) {
            Judged::Nothing => return None,
            Judged::Gap => return Some(End::Again),
            Judged::Next(index) => index,
        };
        if !self.tracking.delivers(index, &item) {
            return None;
        }
        let format = item.response()?;
        if format.action != Action::Send {
            // Django was asked since.
            let is_old = Position::after(item.seq) <= self.asked;
            return (!is_old).then_some(End::Again);
        }
        let body = response_body(&self.tracking, index, &format, &self.said.body)?;
        Some(End::Published(Box::new(format), body))
    }

    /// What was published, in Django's own answer where it says nothing else.
    fn published(&self, format: &ResponseFormat, body: Bytes) -> Said {
        let mut said = self.said.clone();
        let status = StatusCode::from_u16(format.code).ok();
        said.status = status.filter(|s| !s.is_informational()).unwrap_or_default();
        said.reason.clone_from(&format.reason);
        let named = |name: &HeaderName| format.headers.iter().any(|(own, _)| own == name);
        let replaced: Vec<_> = said.headers.keys().filter(|n| named(n)).cloned().collect();
        for name in replaced {
            said.headers.remove(name);
        }
        said.headers.extend(format.headers.clone());
        headers::strip_response(&mut said.headers);
        // Whoever may publish may not read every file; and what is published is the body.
        headers::strip_files(&mut said.headers);
        grip::clean(&mut said.headers, &Instruct::default());
        said.body = body;
        self.seat.note(self.tracking.done(), 1);
        said
    }
}
