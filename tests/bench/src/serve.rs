//! The frame of the two servers here: one thread, one epoll, requests cut out of what comes, answers written at once.
//!
//! Reads only what the load generator and the proxies in between write: a request line, and `Content-Length` of a POST.
//! An idle connection costs 16 bytes; what is half read or half written is put aside in memory of its own. A connection is
//! known by its file descriptor, so a table serves for finding it.

use std::borrow::Cow;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::error::{Error, system};
use crate::net::{self, Poll, READ, READ_WRITE};

/// The number of the listener; no descriptor is as high.
const LISTENER: usize = usize::MAX;

/// How many connections are taken in one go.
const ACCEPTS: usize = 64;

/// The longest request.
const LONGEST: usize = 1 << 20;

/// A request that is complete.
#[derive(Debug)]
pub struct Request<'a> {
    pub conn: usize,
    pub post: bool,
    pub path: &'a [u8],
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The last segment of the path that is not empty, without the query.
    pub fn name(&self) -> &[u8] {
        let end = memchr::memchr(b'?', self.path).unwrap_or(self.path.len());
        let mut segments = self.path[..end].rsplit(|&byte| byte == b'/');
        segments
            .find(|segment| !segment.is_empty())
            .unwrap_or_default()
    }
}

/// What a server does.
pub trait Service {
    /// Answers a request.
    fn request(&mut self, request: &Request<'_>, conns: &mut Conns) -> Result<(), Error>;

    /// Everything that was ready has been served.
    fn round(&mut self, _conns: &mut Conns) -> Result<(), Error> {
        Ok(())
    }

    /// A connection has ended; `tag` is what the service had noted of it.
    fn left(&mut self, _conn: usize, _tag: u32) {}
}

#[derive(Debug)]
struct Conn {
    fd: OwnedFd,
    tag: u32,
    aside: Option<Box<Aside>>,
}

/// What is half done.
#[derive(Debug, Default)]
struct Aside {
    /// The beginning of a request.
    partial: Vec<u8>,
    /// The answer that did not fit into the socket.
    unsent: Cow<'static, [u8]>,
    /// How much of it did.
    sent: usize,
}

impl Conn {
    fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }
}

/// All connections.
pub struct Conns {
    poll: Poll,
    by_fd: Vec<Option<Conn>>,
    /// Those that ended while something was sent to them.
    lost: Vec<(usize, u32)>,
}

impl Conns {
    /// Notes something of a connection.
    pub fn tag(&mut self, conn: usize, tag: u32) {
        if let Some(Some(conn)) = self.by_fd.get_mut(conn) {
            conn.tag = tag;
        }
    }

    /// Sends an answer; what does not fit goes out when there is room.
    pub fn answer(&mut self, number: usize, bytes: Cow<'static, [u8]>) -> Result<(), Error> {
        let Some(Some(conn)) = self.by_fd.get_mut(number) else {
            return Ok(());
        };
        if let Some(aside) = &mut conn.aside
            && !aside.unsent.is_empty()
        {
            aside.unsent.to_mut().extend_from_slice(&bytes);
            return Ok(());
        }
        let sent = match rustix::net::send(&conn.fd, &bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(_) => {
                self.lose(number);
                return Ok(());
            }
        };
        if sent < bytes.len() {
            let aside = conn.aside();
            (aside.unsent, aside.sent) = (bytes, sent);
            self.poll.change(&conn.fd, number, READ_WRITE)?;
        }
        Ok(())
    }

    /// Sends bytes with one call, or loses the connection.
    pub fn deliver(&mut self, number: usize, bytes: &[u8]) {
        if let Some(Some(conn)) = self.by_fd.get(number)
            && rustix::net::send(&conn.fd, bytes, SendFlags::NOSIGNAL) != Ok(bytes.len())
        {
            self.lose(number);
        }
    }

    fn lose(&mut self, number: usize) {
        if let Some(conn) = self.by_fd.get_mut(number).and_then(Option::take) {
            self.lost.push((number, conn.tag));
        }
    }

    fn accept(&mut self, listener: &OwnedFd) -> Result<(), Error> {
        for _ in 0..ACCEPTS {
            let Some(fd) = net::accept(listener)? else {
                break;
            };
            let number = usize::try_from(fd.as_raw_fd()).unwrap_or(0);
            self.poll
                .add(&fd, number, READ)
                .map_err(system("epoll_ctl"))?;
            if self.by_fd.len() <= number {
                self.by_fd.resize_with(number + 1, || None);
            }
            self.by_fd[number] = Some(Conn {
                fd,
                tag: 0,
                aside: None,
            });
        }
        Ok(())
    }

    /// Goes on sending what had not fitted.
    fn flush(&mut self, number: usize) -> Result<(), Error> {
        let Some(Some(conn)) = self.by_fd.get_mut(number) else {
            return Ok(());
        };
        if let Some(aside) = &mut conn.aside {
            match rustix::net::send(&conn.fd, &aside.unsent[aside.sent..], SendFlags::NOSIGNAL) {
                Ok(more) => aside.sent += more,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    self.lose(number);
                    return Ok(());
                }
            }
            if aside.sent < aside.unsent.len() {
                return Ok(());
            }
            (aside.unsent, aside.sent) = (Cow::default(), 0);
        }
        self.poll.change(&conn.fd, number, READ)
    }

    /// Reads once; the bytes, after those that were put aside. `None` if there are none.
    fn read<'a>(&mut self, number: usize, buffer: &'a mut [u8]) -> Option<Cow<'a, [u8]>> {
        let conn = self.by_fd.get_mut(number)?.as_mut()?;
        let length = match rustix::io::read(&conn.fd, &mut *buffer) {
            Ok(length) if length > 0 => length,
            Err(Errno::AGAIN | Errno::INTR) => return None,
            _ => {
                self.lose(number);
                return None;
            }
        };
        let bytes = &buffer[..length];
        match &mut conn.aside {
            Some(aside) if !aside.partial.is_empty() => {
                let mut partial = std::mem::take(&mut aside.partial);
                partial.extend_from_slice(bytes);
                Some(Cow::Owned(partial))
            }
            _ => Some(Cow::Borrowed(bytes)),
        }
    }

    fn put_aside(&mut self, number: usize, rest: &[u8]) {
        if rest.len() > LONGEST {
            self.lose(number);
        } else if let Some(Some(conn)) = self.by_fd.get_mut(number) {
            conn.aside().partial = rest.to_vec();
        }
    }
}

/// Serves until the process is ended.
pub fn run(address: SocketAddrV4, service: &mut impl Service) -> Result<(), Error> {
    let listener = net::listen(address)?;
    let mut conns = Conns {
        poll: Poll::new()?,
        by_fd: Vec::new(),
        lost: Vec::new(),
    };
    conns
        .poll
        .add(&listener, LISTENER, READ)
        .map_err(system("epoll_ctl"))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for at in 0..conns.poll.wait(None)? {
            match conns.poll.ready(at) {
                (LISTENER, _) => conns.accept(&listener)?,
                (number, room) => {
                    if room {
                        conns.flush(number)?;
                    }
                    if let Some(bytes) = conns.read(number, &mut buffer) {
                        requests(number, &bytes, service, &mut conns)?;
                    }
                }
            }
        }
        service.round(&mut conns)?;
        for (number, tag) in conns.lost.drain(..) {
            service.left(number, tag);
        }
    }
}

/// Serves every request that is complete, and puts aside what is left.
fn requests(
    number: usize,
    mut bytes: &[u8],
    service: &mut impl Service,
    conns: &mut Conns,
) -> Result<(), Error> {
    while !bytes.is_empty() {
        let Some((request, length)) = cut(number, bytes) else {
            conns.put_aside(number, bytes);
            break;
        };
        service.request(&request, conns)?;
        bytes = &bytes[length..];
    }
    Ok(())
}

/// The first request and its length, if it is complete.
fn cut(conn: usize, bytes: &[u8]) -> Option<(Request<'_>, usize)> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let mut words = bytes[..head].split(|&byte| byte == b' ');
    let post = words.next()? == b"POST";
    let path = words.next()?;
    let length = if post {
        content_length(&bytes[..head])
    } else {
        0
    };
    let body = bytes.get(head..head + length)?;
    let request = Request {
        conn,
        post,
        path,
        body,
    };
    Some((request, head + length))
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"ontent-Length: ";
    let Some(at) = memchr::memmem::find(head, NAME) else {
        return 0;
    };
    let digits = head[at + NAME.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_usize, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    })
}
