//! One page over keep-alive connections, each with one request in flight, for some seconds.
//!
//! This is a closed loop, as with wrk: a slow answer also delays the next request. It measures what a proxy can do, and its
//! times are those at full load.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;
use serde_json::json;

use super::{BUFFER, per_second};
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
    /// When the request in flight was sent; `None` if the connection is on its way or all is done.
    asked: Option<u64>,
}

impl Client {
    fn ask(&mut self, request: &[u8]) -> Result<(), Error> {
        match rustix::net::send(&self.fd, request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == request.len() => self.asked = Some(clock::now()),
            Ok(_) => return Err(Error::TooLarge),
            Err(Errno::AGAIN) => {}
            Err(source) => return Err(system("send")(source)),
        }
        Ok(())
    }
}

/// Asks until the time is over, then waits for the answers in flight.
pub fn proxy(options: &ProxyOptions) -> Result<(), Error> {
    let target = Target::parse(&options.url)?;
    let sources = Sources::new();
    let mut request = Vec::new();
    target.page(&mut request);
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for number in 0..options.connections {
        let fd = sources.connect(number, target.address)?;
        poll.add(&fd, number, READ_WRITE)
            .map_err(system("epoll_ctl"))?;
        let answers = Answers::new();
        clients.push(Client {
            fd,
            answers,
            asked: None,
        });
    }
    let (mut buffer, mut times) = (vec![0; BUFFER], Histogram::new());
    let (mut requests, mut open) = (0_u64, options.connections);
    let (began, watch) = (clock::now(), clock::Watch::start());
    let (end, mut last) = (began + clock::nanoseconds(options.seconds), began);
    while open > 0 {
        for at in 0..poll.wait(Some(1000))? {
            let (number, room) = poll.ready(at);
            let client = &mut clients[number];
            let Some(asked) = client.asked else {
                if room {
                    poll.change(&client.fd, number, READ)?;
                    client.ask(&request)?;
                }
                continue;
            };
            let length = match rustix::io::read(&client.fd, &mut buffer[..]) {
                Ok(0) => {
                    return Err(Error::Closed {
                        what: WHAT,
                        good: open,
                    });
                }
                Err(Errno::AGAIN | Errno::INTR) => continue,
                read => read.map_err(system("read"))?,
            };
            let input = &buffer[..length];
            if let Some(answer) = client.answers.feed(input, WHAT)? {
                if (answer.status, answer.length) != (200, options.length) || answer.closes {
                    return Err(unexpected(WHAT, input));
                }
                last = clock::now();
                times.record(last - asked);
                requests += 1;
                client.asked = None;
                if last < end {
                    client.ask(&request)?;
                } else {
                    open -= 1;
                }
            }
        }
        if clock::now() - last > PATIENCE * SECOND {
            let (what, seconds, all) = (WHAT, PATIENCE, open);
            return Err(Error::Stalled {
                what,
                seconds,
                done: 0,
                all,
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
