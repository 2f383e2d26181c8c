//! One page again and again, each time over a new connection: what connections and handshakes cost, and whether one fails.
//!
//! With a rate the times are fixed beforehand and an answer is timed from when its connection was due, so that a server
//! that stalls cannot hide it. A failure does not end the run: failures are what is counted here.

use std::collections::HashMap;

use rustls::HandshakeKind;
use serde_json::json;

use super::visitor::{Page, Visitor};
use super::{BUFFER, Progress, Schedule, advance, per_second, reason, register};
use crate::arguments::HandshakesOptions;
use crate::clock::{self, SECOND};
use crate::error::Error;
use crate::histogram::Histogram;
use crate::net::Poll;
use crate::output::say;

/// How long a connection may take; then it has failed.
const PATIENCE: u64 = 10 * SECOND;

/// What came of the connections.
#[derive(Debug)]
struct Books {
    times: Histogram,
    good: u64,
    full: u64,
    resumed: u64,
    failed: u64,
    /// The words of the first that failed.
    first: Option<String>,
    last: u64,
}

impl Books {
    fn answered(&mut self, visitor: &Visitor<'_>, due: u64) {
        self.last = clock::now();
        self.times.record(self.last.saturating_sub(due));
        self.good += 1;
        match visitor.handshake() {
            Some(HandshakeKind::Resumed) => self.resumed += 1,
            Some(_) => self.full += 1,
            None => {}
        }
    }

    fn failed(&mut self, error: &Error) {
        self.failed += 1;
        self.first.get_or_insert_with(|| error.to_string());
    }
}

/// Those on their way, by the number of each, and when each was due.
#[derive(Debug)]
struct Visitors<'a> {
    page: &'a Page,
    at_once: usize,
    under_way: HashMap<usize, (Visitor<'a>, u64)>,
    number: usize,
}

impl<'a> Visitors<'a> {
    fn has_room(&self) -> bool {
        self.under_way.len() < self.at_once
    }

    /// Starts all that is due, as far as there is room.
    fn start(
        &mut self,
        schedule: &mut Schedule,
        poll: &Poll,
        books: &mut Books,
    ) -> Result<(), Error> {
        while self.has_room()
            && let Some(due) = schedule.next(clock::now())
        {
            match Visitor::start(self.page, self.number) {
                Ok(visitor) => {
                    register(poll, self.number, &visitor)?;
                    self.under_way.insert(self.number, (visitor, due));
                }
                Err(error) => books.failed(&error),
            }
            self.number += 1;
        }
        Ok(())
    }

    /// Those that have waited for too long have failed.
    fn give_up(&mut self, books: &mut Books) {
        let now = clock::now();
        self.under_way.retain(|_, (_, due)| {
            let stays = now.saturating_sub(*due) < PATIENCE;
            if !stays {
                books.failed(&Error::Stalled {
                    what: "a connection",
                    seconds: PATIENCE / SECOND,
                    done: 0,
                    all: 1,
                });
            }
            stays
        });
    }
}

/// Comes and goes until the time is over, then waits for those on their way.
pub fn handshakes(options: &HandshakesOptions) -> Result<(), Error> {
    let page = Page::new(&options.url, options.length, options.resumed)?;
    let (mut poll, mut buffer) = (Poll::new()?, vec![0; BUFFER]);
    let mut visitors = Visitors {
        page: &page,
        at_once: options.at_once,
        under_way: HashMap::new(),
        number: 0,
    };
    let mut schedule = Schedule::new(options.rate, options.seconds);
    let watch = clock::Watch::start();
    let mut books = Books {
        times: Histogram::new(),
        good: 0,
        full: 0,
        resumed: 0,
        failed: 0,
        first: None,
        last: schedule.began(),
    };
    loop {
        visitors.start(&mut schedule, &poll, &mut books)?;
        if visitors.under_way.is_empty() && schedule.is_over(clock::now()) {
            break;
        }
        let pause = if visitors.has_room() {
            schedule.pause()
        } else {
            50
        };
        let ready = poll.wait(Some(pause))?;
        for at in 0..ready {
            let (number, _) = poll.ready(at);
            let Some((visitor, due)) = visitors.under_way.get_mut(&number) else {
                continue;
            };
            match advance(&poll, number, visitor, &mut buffer) {
                Ok(Progress::Same) => continue,
                Ok(Progress::Opened) => books.answered(visitor, *due),
                failure => books.failed(&reason(failure, 0)),
            }
            if let Some((visitor, _)) = visitors.under_way.remove(&number) {
                visitor.leave();
            }
            visitors.start(&mut schedule, &poll, &mut books)?;
        }
        if ready == 0 {
            visitors.give_up(&mut books);
        }
    }
    say(&json!({
        "state": "done",
        "connections": visitors.number,
        "good": books.good,
        "full": books.full,
        "resumed": books.resumed,
        "failed": books.failed,
        "failure": books.first,
        "connects_per_s": per_second(books.good, books.last - schedule.began()),
        "answer": books.times.json(),
        "busy": watch.busy(),
    }));
    Ok(())
}
