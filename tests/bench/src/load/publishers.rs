//! Publishers: keep-alive connections, each with one publish in flight.
//!
//! A server that closes the connection behind an answer is connected to again, which its publishes per second then show.
//! With as many channels as publishers or more, each publisher has channels of its own and goes through them in turn; with
//! fewer, several share one and are told apart by their slot.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;
use serde_json::{Value, json};

use super::tally::Tally;
use crate::arguments::FanoutOptions;
use crate::clock;
use crate::error::{Error, system};
use crate::histogram::Histogram;
use crate::http::{Answers, unexpected};
use crate::net::{Poll, READ, READ_WRITE, Sources};
use crate::stamp::{self, Stamp};
use crate::target::{Target, Template};

const WHAT: &str = "a publish";

#[derive(Debug)]
struct Publisher {
    fd: OwnedFd,
    answers: Answers,
    /// The publish that waits for the connection.
    unsent: Vec<u8>,
    /// Whether a publish is in flight.
    busy: bool,
    /// From when the publish in flight counts.
    at: u64,
    /// Publishes so far.
    sent: usize,
}

#[derive(Debug)]
pub struct Publishers {
    all: Vec<Publisher>,
    sources: Sources,
    /// The number of the first among what is waited for.
    first: usize,
    idle: VecDeque<usize>,
    target: Target,
    content_type: String,
    body: Template,
    channels: usize,
    /// Publishers to a channel.
    pub slots: usize,
    /// For each channel and slot, the number of the next publish.
    numbers: Vec<u32>,
    payload: Vec<u8>,
    filled: Vec<u8>,
    request: Vec<u8>,
    answer: Histogram,
    pub answered: u64,
    /// When the last answer came.
    pub latest: u64,
}

impl Publishers {
    /// Connects; each is registered under its index behind `first`.
    pub fn connect(
        options: &FanoutOptions,
        channels: usize,
        poll: &Poll,
        first: usize,
    ) -> Result<Self, Error> {
        let target = Target::parse(&options.publish)?;
        let sources = Sources::new();
        let mut all = Vec::new();
        for number in 0..options.publishers.max(1) {
            let fd = sources.connect(number, target.address)?;
            poll.add(&fd, first + number, READ)
                .map_err(system("epoll_ctl"))?;
            all.push(Publisher {
                fd,
                answers: Answers::new(),
                unsent: Vec::new(),
                busy: false,
                at: 0,
                sent: 0,
            });
        }
        let slots = all.len().div_ceil(channels);
        Ok(Self {
            idle: (0..all.len()).collect(),
            all,
            sources,
            first,
            target,
            content_type: options.content_type.clone(),
            body: Template::parse(&options.body),
            channels,
            slots,
            numbers: vec![0; channels * slots],
            payload: stamp::blank(options.size)?,
            filled: Vec::new(),
            request: Vec::new(),
            answer: Histogram::new(),
            answered: 0,
            latest: 0,
        })
    }

    /// Whether somebody could publish.
    pub fn any_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Whether no publish is in flight.
    pub fn all_idle(&self) -> bool {
        self.idle.len() == self.all.len()
    }

    /// Where this publisher goes next: the channel and its slot there.
    fn place(&self, publisher: usize) -> (usize, usize) {
        let publishers = self.all.len();
        if publishers > self.channels {
            return (publisher % self.channels, publisher / self.channels);
        }
        let own = (self.channels - publisher).div_ceil(publishers);
        (publisher + publishers * (self.all[publisher].sent % own), 0)
    }

    /// One idle publisher publishes; the time counts from `at`.
    pub fn publish(&mut self, at: u64, poll: &Poll, tally: &mut Tally) -> Result<(), Error> {
        let Some(index) = self.idle.pop_front() else {
            return Ok(());
        };
        let (channel, slot) = self.place(index);
        let number = &mut self.numbers[channel * self.slots + slot];
        let stamp = Stamp {
            publish: tally.published(channel),
            slot: u32::try_from(slot).unwrap_or(0),
            number: *number,
            at,
        };
        *number += 1;
        stamp.write(&mut self.payload);
        self.filled.clear();
        self.body.write(channel, &self.payload, &mut self.filled);
        self.request.clear();
        self.target
            .post(channel, &self.content_type, &self.filled, &mut self.request);
        let publisher = &mut self.all[index];
        publisher.at = at;
        publisher.sent += 1;
        publisher.busy = true;
        match rustix::net::send(&publisher.fd, &self.request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.request.len() => Ok(()),
            Ok(_) => Err(Error::TooLarge),
            // The connection is on its way.
            Err(Errno::AGAIN) => {
                publisher.unsent.clone_from(&self.request);
                poll.change(&publisher.fd, self.first + index, READ_WRITE)
            }
            Err(source) => Err(system("send")(source)),
        }
    }

    /// Sends what waited for the connection.
    fn flush(&mut self, index: usize, poll: &Poll) -> Result<(), Error> {
        let publisher = &mut self.all[index];
        let unsent = std::mem::take(&mut publisher.unsent);
        match rustix::net::send(&publisher.fd, &unsent, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == unsent.len() => {
                poll.change(&publisher.fd, self.first + index, READ)
            }
            sent => sent.map_err(system("send")).and(Err(Error::TooLarge)),
        }
    }

    fn connect_again(&mut self, index: usize, poll: &Poll) -> Result<(), Error> {
        let fd = self.sources.connect(index, self.target.address)?;
        poll.add(&fd, self.first + index, READ)
            .map_err(system("epoll_ctl"))?;
        self.all[index].fd = fd;
        Ok(())
    }

    /// Goes on with a publisher whose connection is ready.
    pub fn ready(&mut self, index: usize, poll: &Poll, buffer: &mut [u8]) -> Result<(), Error> {
        if !self.all[index].unsent.is_empty() {
            return self.flush(index, poll);
        }
        let good = usize::try_from(self.answered).unwrap_or(0);
        let publisher = &mut self.all[index];
        let length = match rustix::io::read(&publisher.fd, &mut *buffer) {
            Ok(0) if !publisher.busy => return self.connect_again(index, poll),
            Ok(0) => return Err(Error::Closed { what: WHAT, good }),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            read => read.map_err(system("read"))?,
        };
        let input = &buffer[..length];
        if let Some(answer) = publisher.answers.feed(input, WHAT)? {
            if !(200..300).contains(&answer.status) {
                return Err(unexpected(WHAT, input));
            }
            self.latest = clock::now();
            self.answer.record(self.latest.saturating_sub(publisher.at));
            self.answered += 1;
            publisher.busy = false;
            if answer.closes {
                self.connect_again(index, poll)?;
            }
            self.idle.push_back(index);
        }
        Ok(())
    }

    pub fn json(&self) -> Value {
        json!(self.answer.json())
    }
}
