//! Publishers: keep-alive connections, each with one publish in flight.
//!
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
use crate::net::{Poll, READ, Sources};
use crate::stamp::{self, Stamp};
use crate::target::{Target, Template};

const WHAT: &str = "a publish";

#[derive(Debug)]
struct Publisher {
    fd: OwnedFd,
    answers: Answers,
    /// From when the publish in flight counts.
    at: u64,
    /// Publishes so far.
    sent: usize,
}

#[derive(Debug)]
pub struct Publishers {
    all: Vec<Publisher>,
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
            let answers = Answers::new();
            all.push(Publisher {
                fd,
                answers,
                at: 0,
                sent: 0,
            });
        }
        let slots = all.len().div_ceil(channels);
        Ok(Self {
            idle: (0..all.len()).collect(),
            all,
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
    pub fn publish(&mut self, at: u64, tally: &mut Tally) -> Result<(), Error> {
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
        match rustix::net::send(&publisher.fd, &self.request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.request.len() => Ok(()),
            Ok(_) | Err(Errno::AGAIN) => Err(Error::TooLarge),
            Err(source) => Err(system("send")(source)),
        }
    }

    /// Reads what came for a publisher.
    pub fn receive(&mut self, index: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let good = usize::try_from(self.answered).unwrap_or(0);
        let publisher = &mut self.all[index];
        let length = match rustix::io::read(&publisher.fd, &mut *buffer) {
            Ok(0) => return Err(Error::Closed { what: WHAT, good }),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            read => read.map_err(system("read"))?,
        };
        let input = &buffer[..length];
        if let Some((status, _)) = publisher.answers.feed(input, WHAT)? {
            if !(200..300).contains(&status) {
                return Err(unexpected(WHAT, input));
            }
            self.latest = clock::now();
            self.answer.record(self.latest.saturating_sub(publisher.at));
            self.answered += 1;
            self.idle.push_back(index);
        }
        Ok(())
    }

    pub fn json(&self) -> Value {
        json!(self.answer.json())
    }
}
