//! One page over keep-alive connections, each with one request in flight, for some seconds.
//!
//! Without a rate this is a closed loop, as with wrk: a slow answer also delays the next request. It measures what a proxy
//! can do, and its times are those at full load. With one the times of asking are fixed beforehand, and an answer is timed
//! from when its request was due.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;
use serde_json::json;

use super::{BUFFER, Schedule, per_second};
use crate::arguments::ProxyOptions;
use crate::clock::{self, SECOND};
use crate::error::{Error, system};
use crate::histogram::Histogram;
use crate::http::{Answers, unexpected};
use crate::net::{Poll, READ, READ_WRITE, Sources};
use crate::output::say;
use crate::target::Target;

const WHAT: &str = "a page";
const PATIENCE: u64 = 30;

#[derive(Debug)]
struct Client {
    fd: OwnedFd,
    answers: Answers,
    connected: bool,
    /// When the request in flight was due; `None` if there is none.
    asked: Option<u64>,
}

impl Client {
    /// Reads once; whether the answer is complete.
    fn receive(&mut self, buffer: &mut [u8], wanted: u64, good: usize) -> Result<bool, Error> {
        let length = match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(0) => return Err(Error::Closed { what: WHAT, good }),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            read => read.map_err(system("read"))?,
        };
        let input = &buffer[..length];
        let Some(answer) = self.answers.feed(input, WHAT)? else {
            return Ok(false);
        };
        if (answer.status, answer.length) != (200, wanted) || answer.closes {
            return Err(unexpected(WHAT, input));
        }
        Ok(true)
    }
}

/// The connections, and which of them wait for their turn.
#[derive(Debug)]
struct Clients {
    all: Vec<Client>,
    idle: VecDeque<usize>,
    request: Vec<u8>,
}

impl Clients {
    fn connect(options: &ProxyOptions, poll: &Poll) -> Result<Self, Error> {
        let target = Target::parse(&options.url)?;
        let sources = Sources::new();
        let mut request = Vec::new();
        target.page(&mut request);
        let mut all = Vec::new();
        for number in 0..options.connections {
            let fd = sources.connect(number, target.address)?;
            poll.add(&fd, number, READ_WRITE)
                .map_err(system("epoll_ctl"))?;
            all.push(Client {
                fd,
                answers: Answers::new(),
                connected: false,
                asked: None,
            });
        }
        Ok(Self {
            all,
            idle: VecDeque::new(),
            request,
        })
    }

    /// Asks all that is due, as far as somebody is idle.
    fn ask(&mut self, schedule: &mut Schedule) -> Result<(), Error> {
        while let Some(&number) = self.idle.front()
            && let Some(due) = schedule.next(clock::now())
        {
            let client = &mut self.all[number];
            let sent = rustix::net::send(&client.fd, &self.request, SendFlags::NOSIGNAL);
            if sent.map_err(system("send"))? != self.request.len() {
                return Err(Error::TooLarge);
            }
            client.asked = Some(due);
            self.idle.pop_front();
        }
        Ok(())
    }
}

/// Asks until the time is over, then waits for the answers in flight.
pub fn proxy(options: &ProxyOptions) -> Result<(), Error> {
    let (mut poll, mut buffer) = (Poll::new()?, vec![0; BUFFER]);
    let mut clients = Clients::connect(options, &poll)?;
    let (mut times, mut requests) = (Histogram::new(), 0_u64);
    let (mut schedule, watch) = (
        Schedule::new(options.rate, options.seconds),
        clock::Watch::start(),
    );
    let began = schedule.began();
    let mut last = began;
    while clients.idle.len() < options.connections || !schedule.is_over(clock::now()) {
        clients.ask(&mut schedule)?;
        let pause = if clients.idle.is_empty() {
            1000
        } else {
            schedule.pause()
        };
        for at in 0..poll.wait(Some(pause))? {
            let (number, room) = poll.ready(at);
            let client = &mut clients.all[number];
            if !client.connected {
                if room {
                    poll.change(&client.fd, number, READ)?;
                    client.connected = true;
                    clients.idle.push_back(number);
                    clients.ask(&mut schedule)?;
                }
            } else if client.receive(&mut buffer, options.length, options.connections)? {
                last = clock::now();
                if let Some(due) = client.asked.take() {
                    times.record(last.saturating_sub(due));
                    requests += 1;
                    clients.idle.push_back(number);
                    clients.ask(&mut schedule)?;
                }
            }
        }
        if clock::now() - last > PATIENCE * SECOND {
            return Err(Error::Stalled {
                what: WHAT,
                seconds: PATIENCE,
                done: usize::try_from(requests).unwrap_or(0),
                all: options.connections,
            });
        }
    }
    say(&json!({
        "state": "done",
        "connections": options.connections,
        "requests": requests,
        "seconds": clock::seconds(last - began),
        "requests_per_s": per_second(requests, last - began),
        "answer": times.json(),
        "busy": watch.busy(),
    }));
    Ok(())
}
