//! The load: many connections in one epoll, opened with a bounded number on their way.
//!
//! Each way of loading has a file of its own; what they share is how connections are opened. A stream that is refused or
//! closed while it opens ends the run with the server's own words: a result with a hole in it would be no result. A rival
//! that cannot do without may be tolerated a number of them, which the result then names.

mod churn;
mod fanout;
mod handshakes;
mod hold;
mod http2;
mod listener;
mod proxy;
mod publishers;
mod schedule;
mod tally;
mod visitor;

pub use churn::churn;
pub use fanout::fanout;
pub use handshakes::handshakes;
pub use hold::hold;
pub use proxy::proxy;

use std::os::fd::OwnedFd;

use self::schedule::Schedule;
use crate::arguments::StreamOptions;
use crate::clock::{self, SECOND};
use crate::error::{Error, system};
use crate::net::{Poll, READ, READ_WRITE, Sources};
use crate::target::Target;
use crate::tls::Clients;

/// Bytes that one read takes at most. A level-triggered epoll comes back for the rest.
const BUFFER: usize = 128 * 1024;

/// How long an opening crowd may show no progress.
const PATIENCE: u64 = 30;

/// What a connection has to say after it was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing new.
    Same,
    /// It is open: the head and the first bytes of every stream are here.
    Opened,
    /// The server has closed it.
    Closed,
}

/// A connection that opens.
trait Conn {
    fn fd(&self) -> &OwnedFd;

    /// Whether it waits for room to write.
    fn wants_room(&self) -> bool;

    /// Goes on, after the socket was ready.
    fn ready(&mut self, buffer: &mut [u8]) -> Result<Progress, Error>;
}

/// What all connections of a run have in common.
#[derive(Debug)]
struct Streams {
    target: Target,
    sources: Sources,
    clients: Option<Clients>,
    channels: usize,
}

impl Streams {
    fn new(options: &StreamOptions) -> Result<Self, Error> {
        let target = Target::parse(&options.url)?;
        let clients = target.tls.then(|| Clients::new(false)).transpose()?;
        Ok(Self {
            target,
            sources: Sources::new(),
            clients,
            channels: match options.channels {
                0 => options.streams.max(1),
                channels => channels,
            },
        })
    }

    /// The channel of this stream.
    fn channel(&self, stream: usize) -> usize {
        stream % self.channels
    }
}

/// How many connections to open, and how.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    size: usize,
    at_once: usize,
    /// How many may fail and are opened again.
    tolerate: usize,
    /// Whether a connection stays once it is open.
    keep: bool,
}

/// What came of it.
#[derive(Debug)]
struct Opened<C> {
    /// Those that stay, by their index.
    conns: Vec<Option<C>>,
    nanoseconds: u64,
    /// How many were opened again.
    failed: usize,
}

impl Crowd {
    /// Opens all; each is registered under its index.
    fn open<C: Conn>(
        self,
        poll: &mut Poll,
        buffer: &mut [u8],
        start: impl Fn(usize) -> Result<C, Error>,
    ) -> Result<Opened<C>, Error> {
        let mut conns: Vec<Option<C>> = Vec::with_capacity(self.size);
        let (began, mut done, mut failed) = (clock::now(), 0, 0);
        let (mut last, mut open) = (began, Vec::with_capacity(self.size));
        while done < self.size {
            while conns.len() < self.size && conns.len() - done < self.at_once {
                let conn = start(conns.len())?;
                register(poll, conns.len(), &conn)?;
                conns.push(Some(conn));
                open.push(false);
            }
            for at in 0..poll.wait(Some(1000))? {
                let (number, _) = poll.ready(at);
                let Some(Some(conn)) = conns.get_mut(number) else {
                    continue;
                };
                match advance(poll, number, conn, buffer) {
                    Ok(Progress::Same) => {}
                    Ok(Progress::Opened) => {
                        (done, last) = (done + 1, clock::now());
                        open[number] = true;
                        if !self.keep {
                            conns[number] = None;
                        }
                    }
                    failure if failed == self.tolerate => return Err(reason(failure, done)),
                    _ => {
                        failed += 1;
                        done -= usize::from(std::mem::take(&mut open[number]));
                        *conn = start(number)?;
                        register(poll, number, conn)?;
                    }
                }
            }
            if clock::now() - last > PATIENCE * SECOND {
                let (what, seconds, all) = ("opening", PATIENCE, self.size);
                return Err(Error::Stalled {
                    what,
                    seconds,
                    done,
                    all,
                });
            }
        }
        Ok(Opened {
            conns,
            nanoseconds: last - began,
            failed,
        })
    }
}

/// Why a connection did not open.
fn reason(failure: Result<Progress, Error>, good: usize) -> Error {
    let what = "a stream";
    failure.err().unwrap_or(Error::Closed { what, good })
}

fn register(poll: &Poll, number: usize, conn: &impl Conn) -> Result<(), Error> {
    let interest = if conn.wants_room() { READ_WRITE } else { READ };
    poll.add(conn.fd(), number, interest)
        .map_err(system("epoll_ctl"))
}

/// Lets a connection go on, and waits for room no longer than it has to.
fn advance(
    poll: &Poll,
    number: usize,
    conn: &mut impl Conn,
    buffer: &mut [u8],
) -> Result<Progress, Error> {
    let waited = conn.wants_room();
    let progress = conn.ready(buffer)?;
    if waited && !conn.wants_room() {
        poll.change(conn.fd(), number, READ)?;
    }
    Ok(progress)
}

/// So many things in so many nanoseconds, as a rate per second.
fn per_second(count: u64, nanoseconds: u64) -> f64 {
    count as f64 / clock::seconds(nanoseconds.max(1))
}
