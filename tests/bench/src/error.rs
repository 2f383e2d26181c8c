//! What ends a run: a system call that failed, or a server that does not do its part.

use rustix::io::Errno;

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused something that a bench cannot do without.
    #[error("{what} failed")]
    System {
        what: &'static str,
        #[source]
        source: Errno,
    },
    /// An address in another form than those that are read here.
    #[error("{0:?} is no URL of the form http://127.0.0.1:8080/path")]
    Url(String),
    /// The server answered, but not with what was asked for.
    #[error("the answer to {what} is not what it must be: {head:?}")]
    Answer { what: &'static str, head: String },
    /// The server closed a connection that had to stay.
    #[error(
        "the server closed the connection of {what} ({} others were good)",
        good
    )]
    Closed { what: &'static str, good: usize },
    /// Nothing happened for so long that nothing will.
    #[error("{what}: nothing came for {seconds} s ({done} of {all} are done)")]
    Stalled {
        what: &'static str,
        seconds: u64,
        done: usize,
        all: usize,
    },
    /// A message that a socket should take at once was taken in part: too large for a bench.
    #[error("the socket did not take a whole publish; a smaller --size would fit")]
    TooLarge,
    /// The payload cannot hold its stamp.
    #[error("a payload has at least {least} bytes")]
    Size { least: usize },
    /// The TLS client could not be made or the handshake failed.
    #[error("TLS failed")]
    Tls(#[from] rustls::Error),
}

/// For `map_err`: names the call that failed.
pub fn system(what: &'static str) -> impl Fn(Errno) -> Error {
    move |source| Error::System { what, source }
}
