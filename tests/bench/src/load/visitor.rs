//! One connection on which one page is asked for, plain or in TLS: open as soon as the answer is here.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustls::{ClientConnection, HandshakeKind};

use super::{Conn, Progress};
use crate::error::{Error, system};
use crate::http::{Answers, unexpected};
use crate::net::Sources;
use crate::target::Target;
use crate::tls::{Clients, Socket, failed, push};

const WHAT: &str = "a page";

/// What all visitors of a run ask for.
#[derive(Debug)]
pub struct Page {
    target: Target,
    sources: Sources,
    clients: Option<Clients>,
    request: Vec<u8>,
    length: u64,
}

impl Page {
    pub fn new(url: &str, length: u64, resumed: bool) -> Result<Self, Error> {
        let target = Target::parse(url)?;
        let clients = target.tls.then(|| Clients::new(resumed)).transpose()?;
        let mut request = Vec::new();
        target.page(&mut request);
        Ok(Self {
            target,
            sources: Sources::new(),
            clients,
            request,
            length,
        })
    }
}

/// A connection and the one answer on it.
#[derive(Debug)]
pub struct Visitor<'a> {
    page: &'a Page,
    fd: OwnedFd,
    tls: Option<Box<ClientConnection>>,
    asked: bool,
    answers: Answers,
}

impl<'a> Visitor<'a> {
    /// Connects and asks.
    pub fn start(page: &'a Page, number: usize) -> Result<Self, Error> {
        let fd = page.sources.connect(number, page.target.address)?;
        let mut tls = match &page.clients {
            Some(clients) => Some(Box::new(clients.client(number)?)),
            None => None,
        };
        if let Some(tls) = &mut tls {
            // It is kept there until the handshake is over.
            tls.writer().write_all(&page.request).map_err(failed)?;
        }
        let mut visitor = Self {
            page,
            fd,
            tls,
            asked: false,
            answers: Answers::new(),
        };
        visitor.ask()?;
        Ok(visitor)
    }

    /// How the handshake went; `None` without TLS.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.handshake_kind()
    }

    /// Says in TLS that nothing more will come, as a polite client does before it closes.
    pub fn leave(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Whoever has closed already needs no farewell.
            let _ = push(tls, &self.fd);
        }
    }

    fn ask(&mut self) -> Result<(), Error> {
        if let Some(tls) = &mut self.tls {
            self.asked = !push(tls, &self.fd)?;
            return Ok(());
        }
        match rustix::net::send(&self.fd, &self.page.request, SendFlags::NOSIGNAL) {
            // The connection is on its way.
            Err(Errno::AGAIN) => Ok(()),
            Err(source) => Err(system("send")(source)),
            Ok(_) => {
                self.asked = true;
                Ok(())
            }
        }
    }

    fn take(&mut self, input: &[u8]) -> Result<Progress, Error> {
        let Some(answer) = self.answers.feed(input, WHAT)? else {
            return Ok(Progress::Same);
        };
        if (answer.status, answer.length) != (200, self.page.length) || answer.closes {
            return Err(unexpected(WHAT, input));
        }
        Ok(Progress::Opened)
    }

    fn receive_tls(&mut self, buffer: &mut [u8]) -> Result<Progress, Error> {
        let Some(tls) = &mut self.tls else {
            return Ok(Progress::Same);
        };
        match tls.read_tls(&mut Socket(&self.fd)) {
            Ok(0) => return Ok(Progress::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Same),
            Err(error) => return Err(failed(error)),
        }
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
                    let taken = self.take(&buffer[..length])?;
                    if taken != Progress::Same {
                        progress = taken;
                    }
                }
                Err(_) => return Ok(progress),
            }
        }
    }
}

impl Conn for Visitor<'_> {
    fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn wants_room(&self) -> bool {
        !self.asked
    }

    fn ready(&mut self, buffer: &mut [u8]) -> Result<Progress, Error> {
        if !self.asked {
            self.ask()?;
        }
        if self.tls.is_some() {
            return self.receive_tls(buffer);
        }
        match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET) => Ok(Progress::Closed),
            Ok(length) => self.take(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Progress::Same),
            Err(source) => Err(system("read")(source)),
        }
    }
}
