//! What systemd passes to a service and is told by it: sockets by their names, and how the service is.
//!
//! `cli` calls [`collect`] before there is a second thread, because it takes variables out of the environment; `server`
//! takes the sockets it listens on. Outside systemd there are none, and what is told goes nowhere.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Mutex;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::SockRef;

use super::sync::lock;

/// The name of a socket that was passed without one, as `sd_listen_fds_with_names` has it.
const NAMELESS: &str = "unknown";

/// The descriptors of this process are there once, and so is this.
static PASSED: Mutex<Vec<Passed>> = Mutex::new(Vec::new());

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

#[derive(Debug)]
struct Passed {
    name: String,
    /// `None` if it is nothing to listen on.
    socket: Option<Socket>,
}

/// There is no socket to listen on under a name.
#[derive(Debug, thiserror::Error)]
pub enum NotPassed {
    /// None was passed at all.
    #[error("systemd has passed no socket")]
    Nothing,
    /// None with this name, or no more.
    #[error("systemd has passed no socket of this name (there are: {})", names.join(", "))]
    Unknown {
        /// Those there are.
        names: Vec<String>,
    },
    /// One is a datagram socket, or connected, or no socket.
    #[error("what systemd has passed is no listening stream socket")]
    Unfit,
    /// One could not be made ready.
    #[error("a socket that systemd has passed cannot be used")]
    Unusable(#[source] io::Error),
}

/// Takes what was passed. Call it once, before there is another thread.
pub fn collect() {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let passed = (0..descriptors.len()).map(|at| {
        let name = names.next().filter(|name| !name.is_empty());
        Passed {
            name: name.unwrap_or(NAMELESS).to_owned(),
            socket: socket(&mut descriptors, at),
        }
    });
    lock(&PASSED).extend(passed);
}

fn socket(descriptors: &mut ListenFd, at: usize) -> Option<Socket> {
    // Each refuses what is not of its kind, and leaves it in its place.
    if let Ok(Some(tcp)) = descriptors.take_tcp_listener(at) {
        let listens = SockRef::from(&tcp).is_listener().unwrap_or(false);
        return listens.then_some(Socket::Tcp(tcp));
    }
    let unix = descriptors.take_unix_listener(at).ok().flatten()?;
    let listens = SockRef::from(&unix).is_listener().unwrap_or(false);
    listens.then_some(Socket::Unix(unix))
}

/// The sockets of this name, at least one.
pub fn take(name: &str) -> Result<Vec<Socket>, NotPassed> {
    let mut passed = lock(&PASSED);
    let mut names: Vec<_> = passed.iter().map(|passed| passed.name.clone()).collect();
    names.dedup();
    let ours: Vec<_> = passed
        .extract_if(.., |passed| passed.name == name)
        .collect();
    drop(passed);
    if ours.is_empty() {
        return Err(if names.is_empty() {
            NotPassed::Nothing
        } else {
            NotPassed::Unknown { names }
        });
    }
    let sockets = ours.into_iter().map(|passed| {
        let socket = passed.socket.ok_or(NotPassed::Unfit)?;
        let ready = match &socket {
            Socket::Tcp(tcp) => tcp.set_nonblocking(true),
            Socket::Unix(unix) => unix.set_nonblocking(true),
        };
        ready.map(|()| socket).map_err(NotPassed::Unusable)
    });
    sockets.collect()
}

/// The names of the sockets that nobody has taken.
pub fn left() -> Vec<String> {
    let passed = lock(&PASSED);
    passed.iter().map(|passed| passed.name.clone()).collect()
}

/// Says that the service serves, after its start and after a reload.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload that was told of. Its end is told when this is dropped, however it ended: systemd waits for that.
#[derive(Debug)]
#[must_use = "the reload ends when this is dropped"]
pub struct Reload(());

/// Says that a reload begins.
pub fn reloading() -> Reload {
    match NotifyState::monotonic_usec_now() {
        // The time tells systemd which of its wishes this is an answer to.
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "Systemd was not told"),
    }
    Reload(())
}

impl Drop for Reload {
    fn drop(&mut self) {
        ready();
    }
}

/// Says that the end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A line for `systemctl status`.
pub fn status(line: &str) {
    // Another line would be another message.
    let line = line.split(['\n', '\r']).next().unwrap_or_default();
    tell(&[NotifyState::Status(line)]);
}

/// Says that the service is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How long the service may be silent before it is killed; `None` if it may be for ever.
pub fn patience() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "Systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, for there is one table.
    #[test]
    fn sockets_are_taken_by_name_and_once() {
        assert!(matches!(take("a"), Err(NotPassed::Nothing)));
        let socket = || Some(Socket::Tcp(TcpListener::bind("127.0.0.1:0").unwrap()));
        for (name, socket) in [
            ("a", socket()),
            ("b", None),
            ("a", socket()),
            ("c", socket()),
        ] {
            let name = name.to_owned();
            lock(&PASSED).push(Passed { name, socket });
        }
        assert_eq!(take("a").unwrap().len(), 2);
        assert_eq!(left(), ["b", "c"]);
        let again = take("a").unwrap_err();
        assert_eq!(
            again.to_string(),
            "systemd has passed no socket of this name (there are: b, c)"
        );
        assert!(matches!(take("b"), Err(NotPassed::Unfit)));
        assert_eq!(take("c").unwrap().len(), 1);
        assert!(left().is_empty());
    }
}
