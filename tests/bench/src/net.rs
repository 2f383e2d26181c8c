//! Sockets and epoll, level-triggered, with a number for each socket. Everything is non-blocking.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::Timespec;

use crate::error::{Error, system};

/// Events that one round takes at most.
const ROUND: usize = 1024;

/// The bits of an interest: something to read.
pub const READ: EventFlags = EventFlags::IN;
/// Something to read, or room to write.
pub const READ_WRITE: EventFlags = EventFlags::IN.union(EventFlags::OUT);

/// What is ready.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(system("epoll_create"))?;
        let none = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Ok(Self {
            epoll,
            events: vec![none; ROUND],
        })
    }

    pub fn add(&self, fd: impl AsFd, number: usize, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, EventData::new_u64(number as u64), flags)
    }

    pub fn change(&self, fd: impl AsFd, number: usize, flags: EventFlags) -> Result<(), Error> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(number as u64), flags)
            .map_err(system("epoll_ctl"))
    }

    /// Waits for at most so many milliseconds, `None` for as long as it takes; how many sockets are ready.
    pub fn wait(&mut self, milliseconds: Option<u64>) -> Result<usize, Error> {
        let timeout = milliseconds.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
        });
        match epoll::wait(&self.epoll, &mut self.events[..], timeout.as_ref()) {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => Ok(0),
            Err(source) => Err(system("epoll_wait")(source)),
        }
    }

    /// The number of the `at`-th ready socket of the last wait, and whether there is room to write.
    pub fn ready(&self, at: usize) -> (usize, bool) {
        let event = self.events[at];
        // The kernel's form of an event is packed: its parts are copied out first.
        let flags = event.flags;
        (event.data.u64() as usize, flags.contains(EventFlags::OUT))
    }
}

/// Where connections come from: many addresses of 127/8, for each has only some 28,000 ports. They differ between
/// processes, so that a run does not meet the ports which the last one has just given up.
#[derive(Debug)]
pub struct Sources {
    process: u32,
}

impl Sources {
    /// How many addresses a process uses.
    const ADDRESSES: u8 = 32;

    pub fn new() -> Self {
        Self {
            process: std::process::id(),
        }
    }

    fn address(&self, number: usize) -> Ipv4Addr {
        let [.., b, c] = self.process.to_be_bytes();
        let last = u8::try_from(number % usize::from(Self::ADDRESSES)).unwrap_or(0);
        Ipv4Addr::new(127, 64 + b % 128, c, 1 + last)
    }

    /// Begins to connect.
    pub fn connect(&self, number: usize, to: SocketAddrV4) -> Result<OwnedFd, Error> {
        let fd = socket()?;
        let from = SocketAddrV4::new(self.address(number), 0);
        rustix::net::bind(&fd, &from).map_err(system("bind"))?;
        match rustix::net::connect(&fd, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
            Err(source) => Err(system("connect")(source)),
        }
    }
}

fn socket() -> Result<OwnedFd, Error> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        .map_err(system("socket"))?;
    set_tcp_nodelay(&fd, true).map_err(system("setsockopt"))?;
    Ok(fd)
}

/// A listening socket; what it accepts inherits that small answers are not held back.
pub fn listen(address: SocketAddrV4) -> Result<OwnedFd, Error> {
    let fd = socket()?;
    set_socket_reuseaddr(&fd, true).map_err(system("setsockopt"))?;
    rustix::net::bind(&fd, &address).map_err(system("bind"))?;
    rustix::net::listen(&fd, 65_535).map_err(system("listen"))?;
    Ok(fd)
}

/// The next connection, if one waits.
pub fn accept(listener: &OwnedFd) -> Result<Option<OwnedFd>, Error> {
    match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(source) => Err(system("accept")(source)),
    }
}

/// As many open files as are allowed; without them a run of 10,000 streams ends with a clear error.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("tidegate-bench: the limit on open files stays as it is: {error}");
    }
}
