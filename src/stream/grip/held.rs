//! The look of a held stream that Django opened by its answer: first its links, then the log.

use std::collections::VecDeque;
use std::task::Context;

use tokio::time::Instant;

use super::catching_up::Caught;
use super::hold::{Hold, Looked};
use super::items::Taken;
use crate::domain::Frame;
use crate::history::Progress;
use crate::stream::Memo;
use crate::stream::held::{Held, READ, Reading};

impl Held {
    /// Makes it such a stream, which begins with `body`.
    pub(super) fn begin_hold(&mut self, hold: Hold, body: Frame) {
        self.join_held(&hold);
        if !body.is_empty() {
            self.say(body);
        }
        self.hold = Some(Box::new(hold));
    }

    /// Goes on its channels, or from the ones it is on to those that Django names now, at the place it has read up to.
    fn join_held(&mut self, hold: &Hold) {
        let channels = hold.channels();
        match &mut self.reading {
            Reading::Over => {}
            Reading::Channels(cursor, _) if *cursor.channels() == channels => {
                cursor.go_to(hold.done());
            }
            Reading::Channels(cursor, membership) => {
                *membership = self.seat.join(None, &channels, hold.era());
                let mut moved = cursor.moved_to(channels);
                moved.go_to(hold.done());
                *cursor = moved;
            }
            Reading::Nothing(_) => {
                let membership = self.seat.join(None, &channels, hold.era());
                let cursor = self.log().cursor(channels, hold.done());
                self.reading = Reading::Channels(cursor, membership);
            }
        }
        self.seat.note(hold.done(), 0);
    }

    /// Looks for something to say; whether anything changed.
    pub(in crate::stream) fn look_at_hold(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        memo: Option<&mut Memo>,
    ) -> bool {
        // Taken out for as long as both are changed.
        let Some(mut hold) = self.hold.take() else {
            return false;
        };
        let changed = match hold.look(cx, now, self.hub()) {
            Looked::Waiting => false,
            Looked::Free => self.read_items(&mut hold, now, memo),
            Looked::Changed => true,
            Looked::Answered(frame) => {
                self.ready.extend(frame);
                self.join_held(&hold);
                true
            }
            Looked::Over(frame, reason) => {
                self.ready.extend(frame);
                self.end(reason);
                true
            }
        };
        self.hold = Some(hold);
        changed
    }

    /// Takes what is left when the gateway drains, if nothing is missing before it.
    pub(in crate::stream) fn read_last_items(&mut self, now: Instant, most: usize) {
        let Some(mut hold) = self.hold.take() else {
            return;
        };
        while !hold.is_waiting() && self.ready.len() < most && self.read_items(&mut hold, now, None)
        {
        }
        self.hold = Some(hold);
    }

    /// Takes what the log has for this stream; whether anything changed.
    fn read_items(&mut self, hold: &mut Hold, now: Instant, memo: Option<&mut Memo>) -> bool {
        let mut own = Memo::default();
        let Memo {
            log,
            items,
            rendered,
        } = memo.unwrap_or(&mut own);
        items.clear();
        let stream = self.seat.id();
        let caught = hold.catch_up(self.hub().log(), stream, items);
        let Reading::Channels(cursor, _) = &mut self.reading else {
            return false;
        };
        let progress = match caught {
            Caught::Some => Progress::More,
            Caught::Gap => Progress::Gap,
            Caught::All => cursor.read_alike(stream, READ, items, log),
        };
        let (is_live, end) = (caught == Caught::All, cursor.position());
        if self.is_revoked() {
            return false;
        }
        let (taken, stopped) = take_all(hold, is_live, items, rendered, &mut self.ready);
        self.delivered(hold.done(), taken);
        match (stopped, progress) {
            (Some(Taken::Close), _) | (None, Progress::Closed) => self.end("closed"),
            (Some(_), _) if hold.need(now) => self.go_back(hold),
            // What is missing cannot be had: the client comes back and is told.
            (Some(_), _) => self.end("lost"),
            // Nothing of another protocol is in doubt; if it were, it would be missing.
            (None, Progress::Gap | Progress::Doubt) => {
                let newest = self.log().position();
                if hold.recovers(newest, now) {
                    self.go_back(hold);
                } else {
                    self.end("slow");
                }
            }
            (None, Progress::More) if is_live => hold.pass(end),
            (None, Progress::More) => {}
            (None, Progress::UpToDate) => {
                hold.pass(end);
                // Whatever was published since this look began has rung the bell; an answer that is waited for does not.
                if !hold.awaits() {
                    self.settle_down();
                }
                return taken > 0;
            }
        }
        true
    }

    /// What was read and not looked at is read again.
    fn go_back(&mut self, hold: &Hold) {
        if let Reading::Channels(cursor, _) = &mut self.reading {
            cursor.go_to(hold.done());
        }
    }
}

/// Takes items in their order; how many are to be sent, and at what it stopped. `is_live`: the log is read on by these.
fn take_all(
    hold: &mut Hold,
    is_live: bool,
    items: &mut VecDeque<Frame>,
    rendered: &mut super::items::Rendered,
    ready: &mut VecDeque<Frame>,
) -> (usize, Option<Taken>) {
    let mut sent = 0;
    for item in items.drain(..) {
        let taken = hold.take(&item, rendered);
        // What something is missing before is looked at once more.
        if is_live && !matches!(taken, Taken::Missing) {
            hold.pass_item(&item);
        }
        match taken {
            Taken::Nothing => {}
            Taken::Send(frame) => {
                ready.push_back(frame);
                sent += 1;
            }
            stop @ (Taken::Close | Taken::Hint | Taken::Missing) => return (sent, Some(stop)),
        }
    }
    (sent, None)
}
