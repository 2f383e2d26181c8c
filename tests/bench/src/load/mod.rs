//! The load: many connections in one epoll, opened with a bounded number on their way.
//!
//! Each way of loading has a file of its own; what they share is how connections are opened. A stream that is refused or
//! closed while it opens ends the run with the server's own words: a result with a hole in it would be no result.

mod churn;
mod fanout;
mod hold;
mod http2;
mod listener;
mod proxy;
mod publishers;
mod tally;

pub use churn::churn;
pub use fanout::fanout;
pub use hold::hold;
pub use proxy::proxy;

use std::os::fd::OwnedFd;

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
struct Origin {
    target: Target,
    sources: Sources,
    clients: Option<Clients>,
    channels: usize,
}

impl Origin {
    fn new(options: &StreamOptions) -> Result<Self, Error> {
        let target = Target::parse(&options.url)?;
        let clients = target.tls.then(Clients::new).transpose()?;
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
    /// Whether a connection stays once it is open.
    keep: bool,
}

impl Crowd {
    /// Opens all; each is registered under its index. The connections, and how many nanoseconds it took.
    fn open<C: Conn>(
        self,
        poll: &mut Poll,
        buffer: &mut [u8],
        start: impl Fn(usize) -> Result<C, Error>,
    ) -> Result<(Vec<Option<C>>, u64), Error> {
        let mut conns: Vec<Option<C>> = Vec::with_capacity(self.size);
        let (began, mut done) = (clock::now(), 0);
        let mut last = began;
        while done < self.size {
            while conns.len() < self.size && conns.len() - done < self.at_once {
                let conn = start(conns.len())?;
                let interest = if conn.wants_room() { READ_WRITE } else { READ };
                poll.add(conn.fd(), conns.len(), interest)
                    .map_err(system("epoll_ctl"))?;
                conns.push(Some(conn));
            }
            for at in 0..poll.wait(Some(1000))? {
                let (number, _) = poll.ready(at);
                let Some(Some(conn)) = conns.get_mut(number) else {
                    continue;
                };
                match advance(poll, number, conn, buffer)? {
                    Progress::Same => {}
                    Progress::Opened => {
                        (done, last) = (done + 1, clock::now());
                        if !self.keep {
                            conns[number] = None;
                        }
                    }
                    Progress::Closed => {
                        return Err(Error::Closed {
                            what: "a stream",
                            good: done,
                        });
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
        Ok((conns, last - began))
    }
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
