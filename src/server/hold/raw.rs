//! A socket that never waits, with or without TLS on it.
//!
//! TLS takes bytes before the socket does, a record at most (`handshake` says how many); what it holds back counts as a
//! write that was cut short. It also must be read: a client says that it leaves in a record. Whatever else it sends has no
//! meaning here and is thrown away, as far as it is not endless.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustls::ServerConnection;

/// How often a socket is read in a row before its client is taken for one that sends without end.
const MOST_READS: usize = 64;

/// A socket that does not wait.
#[derive(Debug)]
pub(in crate::server) enum Raw {
    Plain(OwnedFd),
    Tls(Box<Tls>),
}

/// A socket and the state of its TLS.
#[derive(Debug)]
pub(in crate::server) struct Tls {
    socket: OwnedFd,
    session: ServerConnection,
}

impl From<OwnedFd> for Raw {
    fn from(socket: OwnedFd) -> Self {
        Self::Plain(socket)
    }
}

impl Raw {
    pub(in crate::server) fn over_tls(socket: OwnedFd, session: ServerConnection) -> Self {
        Self::Tls(Box::new(Tls { socket, session }))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(tls) => tls.socket.as_fd(),
        }
    }

    pub(super) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether bytes were taken that the socket has not taken yet.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.wants_write())
    }

    /// Takes as many bytes as can be taken now.
    pub(super) fn send(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => send(socket, parts),
            Self::Tls(tls) => {
                tls.flush()?;
                if tls.session.wants_write() {
                    return Ok(0);
                }
                let taken = tls.session.writer().write_vectored(parts)?;
                tls.flush()?;
                Ok(taken)
            }
        }
    }

    /// Goes on with what was taken; whether any of it moved.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(false),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            tls.flush()?;
        }
        Ok(rustix::net::shutdown(self.as_fd(), Shutdown::Write)?)
    }

    /// Reads what the client sent, which nobody wants; whether it is still there.
    pub(super) fn listen(&mut self) -> io::Result<bool> {
        let Self::Tls(tls) = self else {
            return Ok(true);
        };
        for _ in 0..MOST_READS {
            let Tls { socket, session } = &mut **tls;
            match session.read_tls(&mut Socket(socket)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
            let state = session.process_new_packets().map_err(io::Error::other)?;
            io::copy(
                &mut session
                    .reader()
                    .take(state.plaintext_bytes_to_read() as u64),
                &mut io::sink(),
            )?;
            // An answer to what was read, such as new keys.
            tls.flush()?;
            if state.peer_has_closed() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Leaves it to the table how long the client may take nothing: the kernel would end one that reads slowly (`io`).
    pub(super) fn without_vigil(&self) {
        // A unix socket has none.
        let _best_effort = rustix::net::sockopt::set_tcp_user_timeout(self.as_fd(), 0);
    }

    /// Throws away what has been received, as far as it is not endless.
    pub(super) fn drain(&self) {
        let mut scratch = [0; 4096];
        for _ in 0..MOST_READS {
            match rustix::net::recv(self.as_fd(), &mut scratch, RecvFlags::DONTWAIT) {
                Ok((1.., _)) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl Tls {
    fn flush(&mut self) -> io::Result<bool> {
        let mut moved = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket(&self.socket)) {
                Ok(0) => break,
                Ok(_) => moved = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }
}

/// Sends as much as the socket takes now, maybe nothing.
fn send(socket: &OwnedFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let sent = match parts {
            [one] => rustix::net::send(socket, one, SendFlags::NOSIGNAL),
            many => rustix::io::writev(socket, many),
        };
        match sent {
            Ok(sent) => return Ok(sent),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The socket as rustls reads and writes it.
struct Socket<'s>(&'s OwnedFd);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, length) = rustix::net::recv(self.0, buffer, RecvFlags::DONTWAIT)?;
        Ok(length)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match send(self.0, parts)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            sent => Ok(sent),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
