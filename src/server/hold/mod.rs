//! Held streams, past the HTTP library: a socket, a stream and a due time in one table, served by one task.
//!
//! `conn` hands over a connection whose answer is a held stream ([`Desk::adopt`]): the socket, the encoded head, the
//! stream. From then on this is the whole path of an event to a client: a publisher rings, the key of the stream is in the
//! inbox, [`Holder::serve`] asks the stream for its frames and gives them to the socket in one write. An idle stream costs
//! its entry in the table and the kernel's socket; it has no task, no timer, no buffer.
//!
//! In `desk` connections are handed over, `table` has the streams and their due times (`due`), `kernel` is the epoll set,
//! `raw` a socket with or without TLS, `rest` what of a write is left.
//!
//! Invariants:
//! - The kernel tells of a socket that can be written again, and of a client that is gone, by edges; so a socket is in the
//!   set of the kernel before it is first written to, and a write that is cut short is gone on with at the next edge.
//! - Every entry stands once among the due times, at its own or an earlier one: one that is woken too early goes on.
//! - What is not written yet is at most what one [`HeldStream::fill`] gave, shared with the log. While there is some, nothing
//!   more is asked for: a slow client's stream lags in the log and queues nothing.
//! - After so many streams, or so much for one of them, the task lets others run ([`TURN`], [`FILLS`]).
//! - A key may be that of another stream by the time it is heard of: to serve a stream that has nothing new does no harm.
//!
//! Bounds: an entry for each connection, which has its slot; a write that does not go on for `body_idle` ends it.

mod desk;
mod due;
mod kernel;
mod raw;
mod rest;
mod table;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use rustix::event::epoll::EventFlags;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::Server;
use crate::base::handler::{Filled, HeldStream};
use crate::base::metrics::Counted;
use crate::domain::Frame;

pub(super) use desk::{Desk, Handover, Holders, Occupied};
use due::{Alarm, Clock};
use kernel::Epoll;
pub(super) use raw::Raw;
use rest::Wrote;
use table::{Entry, Table};

/// Streams that are served before others may run.
const TURN: usize = 64;
/// How often one stream is asked for more before it has to wait for its next turn.
const FILLS: usize = 4;
/// The key that says: connections have been handed over.
const ARRIVALS: u32 = u32::MAX;
/// How long a stream that has ended waits for its client to close.
const LINGER: Duration = Duration::from_secs(2);

/// Serves the streams of its table, a task.
struct Holder<S: HeldStream> {
    server: Server,
    desk: Desk<S>,
    kernel: AsyncFd<Epoll>,
    table: Table<S>,
    clock: Clock,
    alarm: Alarm,
    /// The round under way: who was rung for and is not served yet, the next at the end.
    round: Vec<u32>,
    memo: S::Memo,
    scratch: Scratch,
    /// `body_idle`, as it was when this turn began.
    patience: Duration,
    held: Gauge,
}

/// Room that is used again and again.
struct Scratch {
    frames: VecDeque<Frame>,
    events: Vec<(u32, EventFlags)>,
    due: Vec<u32>,
}

/// What a turn left behind.
#[derive(PartialEq, Eq)]
enum Turn {
    Done,
    More,
}

impl<S: HeldStream> Holder<S> {
    fn start(server: &Server) -> io::Result<Desk<S>> {
        let desk = Desk::new();
        let clock = Clock::start();
        let mut holder = Self {
            server: server.clone(),
            desk: desk.clone(),
            kernel: kernel::watched(Epoll::new()?)?,
            table: Table::default(),
            clock,
            alarm: Alarm::new(),
            round: Vec::new(),
            memo: S::Memo::default(),
            scratch: Scratch {
                frames: VecDeque::new(),
                events: Vec::new(),
                due: Vec::new(),
            },
            patience: server.0.settings.load().body_idle,
            held: server.0.metrics.held.clone(),
        };
        let server = server.clone();
        drop(server.0.holding.clone().spawn(async move {
            let abort = server.0.abort.cancelled();
            let closing = server.0.emptied.cancelled();
            let mut closing = std::pin::pin!(closing);
            let mut abort = std::pin::pin!(abort);
            let mut closes = false;
            loop {
                let turn = poll_fn(|cx| {
                    if abort.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    closes = closes || closing.as_mut().poll(cx).is_ready();
                    let turn = catch_unwind(AssertUnwindSafe(|| holder.poll_turn(cx)));
                    let Ok(turn) = turn else {
                        server.0.metrics.panics.inc();
                        tracing::error!("A holder of streams panicked, its streams end");
                        return Poll::Ready(None);
                    };
                    // Nobody comes any more, and everybody has left.
                    if closes && holder.table.is_empty() && holder.desk.is_empty() {
                        return Poll::Ready(None);
                    }
                    turn.map(Some)
                });
                if turn.await.is_none() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }));
        Ok(desk)
    }

    /// Serves who needs it, but no more than a turn; pending when nobody does.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        self.patience = self.server.0.settings.load().body_idle;
        let heard = self.poll_kernel(cx, now);
        let due = self.serve_due(now);
        let rung = self.serve_rung(cx, now);
        if [heard, due, rung].contains(&Turn::More) {
            return Poll::Ready(());
        }
        // Last, for all of them may have moved what is due next.
        let next = self.table.next_due().map(|tick| self.clock.instant(tick));
        self.alarm.poll(cx, next)
    }

    /// Sockets that can be written again, and clients that are gone.
    fn poll_kernel(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        loop {
            let Poll::Ready(Ok(mut ready)) = self.kernel.poll_read_ready(cx) else {
                return Turn::Done;
            };
            let mut events = std::mem::take(&mut self.scratch.events);
            ready.get_inner().take(&mut events);
            let some = !events.is_empty();
            // The set is asked until it is empty, and only then waited for.
            if !some {
                ready.clear_ready();
            }
            drop(ready);
            for (key, flags) in events.drain(..) {
                self.heard(key, flags, now);
            }
            self.scratch.events = events;
            if some {
                return Turn::More;
            }
        }
    }

    fn heard(&mut self, key: u32, flags: EventFlags, now: Instant) {
        let tick = self.clock.tick(now);
        let gone = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(gone) {
            return self.remove(key);
        }
        if flags.contains(EventFlags::IN)
            && let Some(entry) = self.table.get_mut(key)
            && !entry.listen(tick).is_ok_and(|there| there)
        {
            return self.remove(key);
        }
        if self
            .table
            .get_mut(key)
            .is_some_and(|entry| entry.is_blocked())
        {
            self.serve(key, now);
        }
    }

    /// Heartbeats, permissions that run out, writes that do not go on.
    fn serve_due(&mut self, now: Instant) -> Turn {
        let mut due = std::mem::take(&mut self.scratch.due);
        self.table.take_due(self.clock.tick(now), TURN, &mut due);
        let turn = if due.len() == TURN {
            Turn::More
        } else {
            Turn::Done
        };
        for key in due.drain(..) {
            if self.is_over(key, now) {
                self.remove(key);
            } else {
                self.serve(key, now);
            }
        }
        self.scratch.due = due;
        turn
    }

    /// Whether a stream that is due has waited in vain: for its client to close, or to read.
    fn is_over(&mut self, key: u32, now: Instant) -> bool {
        let (tick, patience) = (self.clock.tick(now), self.patience);
        let over = |entry: &mut Entry<S>| {
            let waited = tick.saturating_sub(entry.waits_since());
            match &entry.stream {
                _ if entry.is_blocked() => waited >= Clock::ticks(patience),
                Some(_) => false,
                None => waited >= Clock::ticks(LINGER),
            }
        };
        self.table.get_mut(key).is_some_and(over)
    }

    /// Streams that were rung for, and connections that were handed over.
    fn serve_rung(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        for _ in 0..TURN {
            let Some(key) = self.round.pop() else {
                if self.desk.inbox.poll_take(cx, &mut self.round).is_pending() {
                    return Turn::Done;
                }
                // Taken from the end, so turned round: first rung, first served.
                self.round.reverse();
                continue;
            };
            if key == ARRIVALS {
                self.welcome(now);
                continue;
            }
            let Some(entry) = self.table.get_mut(key) else {
                continue;
            };
            match &entry.stream {
                // What it may not have any more is not kept for a client that reads too slowly to be told of its end.
                Some(stream) if entry.is_blocked() && stream.is_revoked() => self.remove(key),
                // It goes on when the kernel tells.
                _ if entry.is_blocked() => {}
                _ => self.serve(key, now),
            }
        }
        Turn::More
    }

    fn welcome(&mut self, now: Instant) {
        for handover in self.desk.take(TURN) {
            let Handover {
                socket,
                head,
                stream,
                occupied,
            } = handover;
            let held = Counted::new(&self.held);
            let key = self
                .table
                .insert(Entry::new(socket, head, stream, (occupied, held)));
            let Some(entry) = self.table.get_mut(key) else {
                continue;
            };
            if let Some(stream) = &entry.stream {
                stream.attach(&self.desk.inbox, key);
            }
            let (socket, reads) = (entry.socket().as_fd(), entry.socket().is_tls());
            if let Err(error) = self.kernel.get_ref().add(socket, key, reads) {
                tracing::debug!(%error, "Held stream dropped");
                self.remove(key);
            } else {
                self.serve(key, now);
            }
        }
    }

    /// Writes what there is to write, as far as the socket takes it.
    fn serve(&mut self, key: u32, now: Instant) {
        let tick = self.clock.tick(now);
        for number in 0_usize.. {
            let Some(entry) = self.table.get_mut(key) else {
                return;
            };
            match entry.resume(tick) {
                Ok(Wrote::All) => {}
                Ok(Wrote::Blocked) => break,
                Err(error) => {
                    tracing::debug!(%error, "Held stream broken off");
                    return self.remove(key);
                }
            }
            let Some(stream) = &mut entry.stream else {
                break;
            };
            let frames = &mut self.scratch.frames;
            frames.clear();
            let filled = catch_unwind(AssertUnwindSafe(|| {
                let waker = || self.desk.inbox.waker(key);
                fill(stream, waker, now, frames, &mut self.memo)
            }));
            let Ok(filled) = filled else {
                self.server.0.metrics.panics.inc();
                tracing::error!("Held stream panicked");
                return self.remove(key);
            };
            let last = filled == Filled::Over;
            match entry.write(frames, last, tick) {
                Ok(Wrote::All) if filled == Filled::More && number + 1 < FILLS => {}
                Ok(Wrote::All) if filled == Filled::More => {
                    self.desk.inbox.put(key);
                    break;
                }
                Ok(Wrote::All | Wrote::Blocked) => break,
                Err(error) => {
                    tracing::debug!(%error, "Held stream broken off");
                    return self.remove(key);
                }
            }
        }
        self.plan(key, now);
    }

    /// Puts the stream among the due times, where it is due earlier than it stands there.
    fn plan(&mut self, key: u32, now: Instant) {
        let patience = self.patience;
        let Some(entry) = self.table.get_mut(key) else {
            return;
        };
        let due = match (&entry.stream, entry.is_blocked()) {
            (_, true) => now + patience,
            (Some(stream), false) => stream.due(),
            (None, false) => now + LINGER,
        };
        // Rounded up: one that is looked at too early would be looked at again and again.
        let tick = self.clock.tick_after(due);
        self.table.plan(key, tick);
    }

    fn remove(&mut self, key: u32) {
        if let Some(entry) = self.table.remove(key) {
            entry.close();
        }
    }
}

impl<S: HeldStream> Drop for Holder<S> {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// Asks a stream for its frames.
fn fill<S: HeldStream>(
    stream: &mut S,
    waker: impl FnOnce() -> Waker,
    now: Instant,
    frames: &mut VecDeque<Frame>,
    memo: &mut S::Memo,
) -> Filled {
    // Only who waits for somebody else's answer needs a waker beside its bell, and that is seldom.
    if !stream.awaits() {
        let mut nobody = Context::from_waker(Waker::noop());
        let filled = stream.fill(&mut nobody, now, frames, memo);
        if filled != Filled::Idle || !stream.awaits() {
            return filled;
        }
        // Since a moment ago it waits; what it has said by now is at the front of what it says next.
        let mut said = std::mem::take(frames);
        let filled = stream.fill(&mut Context::from_waker(&waker()), now, frames, memo);
        said.append(frames);
        *frames = said;
        return filled;
    }
    stream.fill(&mut Context::from_waker(&waker()), now, frames, memo)
}
