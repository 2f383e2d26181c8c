//! What a held stream is that Django opened by its answer: channels with their ids, a keep-alive, links to follow.
//!
//! The rest of it is a stream as any other: `stream::held` asks this for what to do at each look, and when it is due. While
//! a link is being followed that something is missing without, nothing is delivered: what is published stays in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::time::Instant;

use super::answer::Held;
use super::catching_up::{CatchingUp, Caught};
use super::items;
use super::links::{LinkError, Links, Outcome, Question, Site, grip_last};
use super::open::Caller;
use super::tracking::{Instructed, Tracking, When};
use super::waiting::{Turning, Waiting};
use crate::base::random;
use crate::domain::{ChannelName, Frame, Position, StreamId};
use crate::history::Log;
use crate::hub::{Era, Hub, Recovery};
use crate::wire::grip::{BadLink, Instruct, KeepAlive, KeepAliveMode, Link, Mode, Stored, resolve};

/// How often a link that failed is followed again before the stream ends.
const RETRIES: u8 = 5;
/// Keep-alives come up to so much earlier, and tries up to so much later, so that streams do not move together.
const SLACK: Duration = Duration::from_secs(1);
/// No link is followed more often than this for want of anything missing, whatever Django says.
const SHORTEST: Duration = Duration::from_secs(1);
/// What nobody waits for.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// The part of a held stream that only such a one has.
#[derive(Debug)]
pub(in crate::stream) struct Hold {
    links: Links,
    pub(super) tracking: Tracking,
    /// What is read before the log is read on; seldom anything, so it stands apart.
    catching_up: Option<Box<CatchingUp>>,
    keep_alive: Option<Beat>,
    site: Arc<Site>,
    next: Option<Next>,
    gone: Option<PathAndQuery>,
    turn: Turn,
    /// The end of the log when Django was asked last, and when that was, counted in kicks.
    asked: Position,
    era: Era,
    failures: u8,
    /// Those it knows of.
    recovery: Recovery,
    /// The end of the log before Django was asked for the first time.
    since: Position,
    /// When a link was followed last because something was missing.
    needed: Option<Instant>,
}

#[derive(Debug)]
struct Beat {
    frame: Frame,
    every: Duration,
    /// When the next one is due, whatever else is sent; `None`: when it has been quiet for so long.
    at: Option<Instant>,
    /// How much earlier this stream's come.
    slack: Duration,
}

#[derive(Debug)]
struct Next {
    target: PathAndQuery,
    timeout: Option<Duration>,
}

/// When the next link is followed.
#[derive(Debug)]
enum Turn {
    /// There is none.
    Never,
    /// Then, if nothing is missing before.
    Due(Instant),
    /// Then, and nothing is delivered before its answer is there.
    Needed(Instant),
    /// When others have been served. Things are delivered meanwhile.
    Queued(Turning),
    /// It is; nothing is delivered before its answer is there. `needed`: nor if there is none.
    Following {
        answer: Waiting<Outcome>,
        needed: bool,
    },
}

/// What a look came to.
#[derive(Debug)]
pub(in crate::stream) enum Looked {
    /// Nothing is to be done about links.
    Free,
    /// An answer is waited for; nothing may be delivered.
    Waiting,
    /// Something changed.
    Changed,
    /// There is an answer: this is to be sent, and then other channels may be heard, from another place.
    Answered(Option<Frame>),
    /// The stream ends after this, for this reason.
    Over(Option<Frame>, &'static str),
}

impl Hold {
    /// A stream that Django's first answer opened. A link may be due at once.
    pub(super) fn new(links: &Links, caller: &Caller, instruct: &Instruct, hub: &Hub) -> Self {
        let Caller {
            asked,
            era,
            site,
            target,
            recovery,
            ..
        } = caller;
        let (asked, era) = (*asked, *era);
        let mut hold = Self {
            links: links.clone(),
            tracking: Tracking::new(asked),
            catching_up: None,
            keep_alive: None,
            site: links.site(site),
            next: None,
            gone: None,
            turn: Turn::Never,
            asked,
            era,
            failures: 0,
            recovery: recovery.clone(),
            since: asked,
            needed: None,
        };
        let when = When {
            asked,
            answered: hub.log().position(),
            has_body: true,
            is_again: false,
        };
        if hold.instruct(hub.log(), target, instruct, when) {
            hold.need(Instant::now());
        }
        hold
    }

    /// Puts what Django says in place of what it said before; whether it should be asked once more.
    fn instruct(
        &mut self,
        log: &Log,
        base: &PathAndQuery,
        instruct: &Instruct,
        when: When,
    ) -> bool {
        let now = Instant::now();
        let prefix = &self.links.grip().prefix;
        let Instructed {
            is_doubtful,
            catching_up,
        } = self.tracking.instruct(log, prefix, instruct, when);
        self.catching_up = catching_up.map(Box::new);
        self.keep_alive = instruct
            .keep_alive
            .as_ref()
            .map(|said| Beat::of(said, self.links.beat(&said.data), now));
        self.next = instruct.next.as_ref().and_then(|link| {
            Some(Next {
                target: self.resolve(base, link)?,
                timeout: link.timeout,
            })
        });
        let gone = instruct.gone.as_ref();
        self.gone = gone.and_then(|link| self.resolve(base, link));
        self.turn = match (&self.next, instruct.mode) {
            (None, _) => Turn::Never,
            // Without a hold it is the next page.
            (Some(_), None) => Turn::Needed(now),
            (Some(next), Some(_)) => Turn::Due(now + self.interval(next)),
        };
        is_doubtful
    }

    fn interval(&self, next: &Next) -> Duration {
        match next.timeout {
            Some(timeout) => {
                let timeout = timeout.max(SHORTEST);
                timeout + timeout.mul_f64(fastrand::f64() / 10.0)
            }
            None => random::jittered(self.links.grip().link_every),
        }
    }

    fn resolve(&self, base: &PathAndQuery, link: &Link) -> Option<PathAndQuery> {
        let elsewhere = Err(BadLink::Elsewhere);
        let resolved = self.site.hosts().fold(elsewhere, |found, host| {
            found.or_else(|_| resolve(base, host, &link.uri))
        });
        resolved
            .map(|target| self.site.sent(base, target))
            .inspect_err(|error| {
                tracing::warn!(
                    upstream = self.links.upstream_name(),
                    path = base.path(),
                    error = error as &dyn std::error::Error,
                    hint = "a link leads to the site it came from, as a path or with its own host",
                    "Link cannot be followed"
                );
            })
            .ok()
    }

    /// Whether the body is all there is: neither a hold nor a next page, or a hold of which nobody could say what is
    /// missing.
    pub(super) fn is_over(&self, mode: Option<Mode>) -> bool {
        self.next.is_none() && (mode.is_none() || self.tracking.is_any_reliable())
    }

    /// The body of one that is over from the start: nobody is gone.
    pub(super) fn never_was(mut self, held: &Held) -> Frame {
        self.gone = None;
        self.body(held)
    }

    /// Whether the item with this number was published before the client came.
    pub(super) fn is_from_before(&self, seq: u64) -> bool {
        Position::after(seq) <= self.since
    }

    /// Whether Django was asked after the item with this number was published.
    pub(super) fn was_asked_since(&self, seq: u64) -> bool {
        Position::after(seq) <= self.asked
    }

    /// Follows the link as soon as may be; whether there is one.
    pub(in crate::stream) fn need(&mut self, now: Instant) -> bool {
        if self.next.is_none() {
            return false;
        }
        // What is being followed, or waits for another try, comes first.
        if !self.is_waiting() {
            // However often something is published that has it followed again.
            let pause = SHORTEST + SLACK.mul_f64(fastrand::f64());
            let at = self.needed.map_or(now, |last| now.max(last + pause));
            self.turn = Turn::Needed(at);
        }
        true
    }

    /// Whether what is missing can be had from Django; then that is what comes next, and all of the log up to `position`
    /// counts as looked at.
    pub(in crate::stream) fn recovers(&mut self, position: Position, now: Instant) -> bool {
        let recovers = self.tracking.is_reliable() && self.need(now);
        if recovers {
            self.tracking.pass(position);
        }
        recovers
    }

    /// Puts the next items into `out` that come before the log is read on.
    pub(super) fn catch_up(
        &mut self,
        log: &Log,
        stream: StreamId,
        out: &mut VecDeque<Frame>,
    ) -> Caught {
        let Some(catching_up) = &mut self.catching_up else {
            return Caught::All;
        };
        let caught = catching_up.read(log, stream, out);
        if caught == Caught::All {
            self.catching_up = None;
        }
        caught
    }

    /// An item was looked at.
    pub(super) fn pass_item(&mut self, item: &Frame) {
        if let Some(item) = Stored::read(item) {
            self.tracking.pass(Position::after(item.seq));
        }
    }

    /// Everything up to here was read.
    pub(in crate::stream) const fn pass(&mut self, position: Position) {
        self.tracking.pass(position);
    }

    /// Where the log is read on.
    pub(in crate::stream) const fn done(&self) -> Position {
        self.tracking.done()
    }

    /// The channels it is on now.
    pub(in crate::stream) fn channels(&self) -> Arc<[ChannelName]> {
        self.tracking.channels()
    }

    /// When Django was asked last, counted in kicks.
    pub(super) const fn era(&self) -> Era {
        self.era
    }

    /// Whether there is a link to follow.
    pub(super) const fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// Whether nothing may be delivered now.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.turn, Turn::Needed(_) | Turn::Following { .. })
    }

    /// Whether the waker it was looked at with will be woken by an answer.
    pub(in crate::stream) const fn awaits(&self) -> bool {
        matches!(self.turn, Turn::Queued(_) | Turn::Following { .. })
    }

    /// When it must be looked at again, if it was `last_write` when anything was sent last.
    pub(in crate::stream) fn due(&self, last_write: Instant) -> Instant {
        let beat = self.beat_at(last_write);
        match self.turn {
            Turn::Due(at) | Turn::Needed(at) => at.min(beat),
            Turn::Never | Turn::Queued(_) | Turn::Following { .. } => beat,
        }
    }

    /// When the next keep-alive is due.
    pub(in crate::stream) fn beat_at(&self, last_write: Instant) -> Instant {
        match &self.keep_alive {
            None => last_write + FAR,
            Some(Beat { at: Some(at), .. }) => *at,
            Some(beat) => last_write + beat.every.saturating_sub(beat.slack),
        }
    }

    /// The keep-alive that is due now.
    pub(in crate::stream) fn beat(&mut self, now: Instant) -> Frame {
        let Some(beat) = &mut self.keep_alive else {
            return Frame::new(b"");
        };
        if beat.at.is_some() {
            beat.at = Some(now + beat.every);
        }
        beat.frame.clone()
    }

    /// Does what is to be done about links, before anything is read.
    pub(in crate::stream) fn look(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        hub: &Hub,
    ) -> Looked {
        if self.recovery.is_news() && !self.awaits() && !self.need(now) {
            self.recovery.note();
        }
        let turn = match &mut self.turn {
            Turn::Never => return Looked::Free,
            Turn::Due(at) if *at > now => return Looked::Free,
            Turn::Needed(at) if *at > now => return Looked::Waiting,
            Turn::Due(_) => {
                self.turn = Turn::Queued(self.links.turn());
                return Looked::Changed;
            }
            Turn::Needed(_) => None,
            Turn::Queued(turn) => match turn.poll(cx) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => return Looked::Free,
            },
            Turn::Following { answer, needed } => {
                let (Poll::Ready(outcome), needed) = (answer.poll(cx), *needed) else {
                    return Looked::Waiting;
                };
                return match &*outcome {
                    Ok(held) => self.answered(held, hub.log()),
                    Err(error) => self.failed(error, needed, now),
                };
            }
        };
        let Some(question) = self.next.as_ref().map(|next| self.question(&next.target)) else {
            return Looked::Free;
        };
        (self.asked, self.era) = (hub.log().position(), hub.era());
        self.recovery.note();
        let needed = turn.is_none();
        if needed {
            self.needed = Some(now);
        }
        let answer = self.links.follow(question, turn);
        self.turn = Turn::Following { answer, needed };
        Looked::Changed
    }

    fn question(&self, target: &PathAndQuery) -> Question {
        Question {
            site: Arc::clone(&self.site),
            target: target.clone(),
            last: grip_last(self.tracking.last()),
        }
    }

    fn answered(&mut self, held: &Held, log: &Log) -> Looked {
        let Some(base) = self.next.take().map(|next| next.target) else {
            return Looked::Free;
        };
        self.failures = 0;
        let mode = held.instruct.mode;
        let when = When {
            asked: self.asked,
            answered: log.position(),
            has_body: !held.body.is_empty(),
            is_again: true,
        };
        self.instruct(log, &base, &held.instruct, when);
        let body = self.body(held);
        let frame = Some(body).filter(|body| !body.is_empty());
        // A page without anything on it may be followed by another.
        if frame.is_none() && mode.is_none() && self.next.is_some() {
            self.turn = Turn::Needed(Instant::now() + SHORTEST);
        }
        if mode == Some(Mode::Response) {
            tracing::warn!(
                upstream = self.links.upstream_name(),
                path = base.path(),
                "Link of a stream is answered with a held response"
            );
            return Looked::Over(frame, "refused");
        }
        if self.is_over(mode) {
            return Looked::Over(frame, "closed");
        }
        Looked::Answered(frame)
    }

    fn failed(&mut self, error: &LinkError, needed: bool, now: Instant) -> Looked {
        let is_clear = match error {
            // Nothing is missing: it waits for its turn again, until there is none.
            LinkError::Maintenance => {
                self.turn = Turn::Due(now);
                return Looked::Changed;
            }
            // Django restarts, say: a client that was sent away now would find nobody.
            LinkError::Down(_) => false,
            LinkError::Refused(_) | LinkError::Unreadable(_) => true,
        };
        let path = self.next.as_ref().map(|next| next.target.path());
        self.links.tell(error, path.unwrap_or_default());
        if is_clear && self.failures >= RETRIES {
            return Looked::Over(None, "refused");
        }
        let pause = Duration::from_secs(1 << self.failures) + SLACK.mul_f64(fastrand::f64());
        self.failures = (self.failures + 1).min(if is_clear { RETRIES } else { RETRIES - 1 });
        self.turn = if needed {
            Turn::Needed(now + pause)
        } else {
            Turn::Due(now + pause)
        };
        Looked::Changed
    }

    /// The body of an answer as its channels' filters have it.
    pub(super) fn body(&self, held: &Held) -> Frame {
        items::body(&self.tracking, held)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            self.links.say_gone(self.question(&gone));
        }
    }
}

impl Beat {
    fn of(said: &KeepAlive, frame: Frame, now: Instant) -> Self {
        let every = said.timeout;
        Self {
            frame,
            every,
            at: (said.mode == KeepAliveMode::Interval).then(|| now + every),
            slack: SLACK.min(every / 4).mul_f64(fastrand::f64()),
        }
    }
}
