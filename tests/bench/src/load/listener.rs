//! One event stream over HTTP/1.1, plain or in TLS: asks, reads the head, then finds payloads in the body.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustls::ClientConnection;

use super::{Conn, Progress, Streams};
use crate::body::{Body, Step};
use crate::clock;
use crate::error::{Error, system};
use crate::http;
use crate::stamp::{LEAST, Search, Stamp};
use crate::tls::{Socket, failed, push};

const WHAT: &str = "an event stream";

/// A stream and its connection.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    tls: Option<Box<ClientConnection>>,
    stage: Stage,
    body: Body,
    search: Search,
    /// The request until it is sent, then the head until it is complete.
    aside: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The request is not sent.
    Asking,
    /// The head is not complete.
    Head,
    /// No byte of the body is here.
    First,
    Open,
}

impl Listener {
    /// Connects and asks for the channel of this stream.
    pub fn start(streams: &Streams, stream: usize) -> Result<Self, Error> {
        let fd = streams.sources.connect(stream, streams.target.address)?;
        let mut request = Vec::new();
        streams
            .target
            .event_source(streams.channel(stream), &mut request);
        let tls = match &streams.clients {
            Some(clients) => Some(Box::new(clients.client(stream)?)),
            None => None,
        };
        let mut listener = Self {
            fd,
            tls,
            stage: Stage::Asking,
            body: Body::Rest,
            search: Search::new(),
            aside: request,
        };
        listener.ask()?;
        Ok(listener)
    }

    fn ask(&mut self) -> Result<(), Error> {
        if let Some(tls) = &mut self.tls {
            // It is kept there until the handshake is over.
            tls.writer().write_all(&self.aside).map_err(failed)?;
            self.aside.clear();
            if push(tls, &self.fd)? {
                return Ok(());
            }
        } else {
            match rustix::net::send(&self.fd, &self.aside, SendFlags::NOSIGNAL) {
                // The connection is on its way.
                Err(Errno::AGAIN) => return Ok(()),
                sent => sent.map_err(system("send"))?,
            };
        }
        self.stage = Stage::Head;
        self.aside = Vec::new();
        Ok(())
    }

    /// Reads once; `found` gets each payload of `size` bytes that is complete, and when it was.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        size: usize,
        mut found: impl FnMut(Stamp, u64),
    ) -> Result<Progress, Error> {
        if self.stage == Stage::Asking {
            self.ask()?;
        }
        if self.tls.is_some() {
            return self.receive_tls(buffer, size, found);
        }
        match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET) => Ok(Progress::Closed),
            Ok(length) => {
                let now = clock::now();
                self.take(&buffer[..length], size, &mut |stamp| found(stamp, now))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Progress::Same),
            Err(source) => Err(system("read")(source)),
        }
    }

    fn receive_tls(
        &mut self,
        buffer: &mut [u8],
        size: usize,
        mut found: impl FnMut(Stamp, u64),
    ) -> Result<Progress, Error> {
        let Some(tls) = &mut self.tls else {
            return Ok(Progress::Same);
        };
        match tls.read_tls(&mut Socket(&self.fd)) {
            Ok(0) => return Ok(Progress::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Same),
            Err(error) => return Err(failed(error)),
        }
        let now = clock::now();
        tls.process_new_packets()?;
        push(tls, &self.fd)?;
        let mut progress = Progress::Same;
        loop {
            let Some(tls) = &mut self.tls else {
                return Ok(progress);
            };
            match tls.reader().read(buffer) {
                Ok(0) => return Ok(Progress::Closed),
                Ok(length) => {
                    let taken =
                        self.take(&buffer[..length], size, &mut |stamp| found(stamp, now))?;
                    if taken != Progress::Same {
                        progress = taken;
                    }
                }
                Err(_) => return Ok(progress),
            }
        }
    }

    /// Takes what was received.
    fn take(
        &mut self,
        input: &[u8],
        size: usize,
        found: &mut impl FnMut(Stamp),
    ) -> Result<Progress, Error> {
        let joined;
        let mut input = input;
        if self.stage == Stage::Head {
            if !self.aside.is_empty() {
                self.aside.extend_from_slice(input);
                joined = std::mem::take(&mut self.aside);
                input = &joined;
            }
            let Some(head) = http::head(input, WHAT)? else {
                self.aside = input.to_vec();
                return Ok(Progress::Same);
            };
            if head.status != 200 {
                return Err(http::unexpected(WHAT, input));
            }
            self.body = head.body;
            self.stage = Stage::First;
            input = &input[head.length..];
        }
        let mut progress = Progress::Same;
        loop {
            match self.body.step(&mut input) {
                Step::Data(data) => {
                    if self.stage == Stage::First {
                        self.stage = Stage::Open;
                        progress = Progress::Opened;
                    }
                    self.search.feed(data, size, &mut *found);
                }
                Step::More => return Ok(progress),
                Step::End => return Ok(Progress::Closed),
                Step::Malformed => return Err(http::unexpected(WHAT, input)),
            }
        }
    }
}

impl Conn for Listener {
    fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn wants_room(&self) -> bool {
        self.stage == Stage::Asking
    }

    fn ready(&mut self, buffer: &mut [u8]) -> Result<Progress, Error> {
        self.receive(buffer, LEAST, |_, _| {})
    }
}
