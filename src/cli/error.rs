//! Why a command that talks to a listener failed, and with which code the process leaves.
//!
//! Made by `client`, `publish`, `tail`, `console` and `reload`; `main` writes [`CommandError::report`] to stderr and exits with
//! [`CommandError::exit_code`].

use std::error::Error;
use std::io;

use hyper::StatusCode;

use super::client::InvalidTarget;
use crate::domain::{InvalidChannel, InvalidField, InvalidPattern};
use crate::wire::reload::Mistake;
use crate::wire::sse::TooLarge;

/// A command's failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(&'static str),
    /// An argument is no channel name.
    #[error("{name:?} is no channel")]
    Channel {
        /// The argument.
        name: String,
        #[source]
        source: InvalidChannel,
    },
    /// An argument is no pattern of channels.
    #[error("{text:?} is no pattern of channels")]
    Pattern {
        /// The argument.
        text: String,
        #[source]
        source: InvalidPattern,
    },
    /// The value of an option cannot be sent.
    #[error("{option} cannot be sent")]
    Field {
        /// The option.
        option: &'static str,
        #[source]
        source: InvalidField,
    },
    /// The address or the token cannot be used.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// No connection.
    #[error("{target} cannot be reached")]
    Unreachable {
        /// Where to.
        target: String,
        #[source]
        source: io::Error,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to {target} broke")]
    Broken {
        /// Where to.
        target: String,
        #[source]
        source: hyper::Error,
    },
    /// The answer is not one of an internal listener, whatever its status says.
    #[error(
        "the answer does not come from the internal listener of a gateway; is the address right?"
    )]
    Foreign,
    /// There was a connection, but no answer in time.
    #[error("{target} did not answer within {seconds} s")]
    Silent {
        /// Where to.
        target: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The answer is longer than this command reads.
    #[error("the answer is too long or broke off")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// 401 or 403.
    #[error("not allowed ({status}): {detail}")]
    Denied {
        /// The answer's status.
        status: StatusCode,
        /// What the gateway says about it.
        detail: String,
    },
    /// Any other status that is no success.
    #[error("refused ({status}): {detail}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// What the gateway says about it, the hint included.
        detail: String,
    },
    /// The answer is good, but no event stream.
    #[error("the answer is no event stream but {0:?}")]
    NoStream(String),
    /// An event of a stream is too long.
    #[error(transparent)]
    Event(#[from] TooLarge),
    /// A tap ended, which it never does by itself.
    #[error("the gateway ended the stream")]
    Ended,
    /// Standard input cannot be read.
    #[error("standard input cannot be read")]
    Input(#[source] io::Error),
    /// Standard input holds what cannot be published.
    #[error("standard input {0}")]
    BadInput(&'static str),
    /// Standard output cannot be written.
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
    /// The gateway cannot take its file, and goes on with what it has.
    #[error("{}", .0.detail)]
    File(BadFile),
    /// One line of standard input was not published; those before it were.
    #[error("line {line} was not published, {published} events before it were")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// How many events are in the log.
        published: u64,
        #[source]
        source: Box<Self>,
    },
}

/// A configuration file that the gateway cannot take.
#[derive(Debug)]
pub(crate) struct BadFile {
    /// As the gateway knows it.
    pub(crate) name: String,
    /// All its mistakes; none if it cannot be read at all.
    pub(crate) mistakes: Vec<Mistake>,
    /// What the gateway says about it.
    pub(crate) detail: String,
}

impl CommandError {
    /// 1 failed while running, 2 bad usage, 69 not reachable, 77 not allowed, 78 bad configuration.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Channel { .. }
            | Self::Pattern { .. }
            | Self::Field { .. }
            | Self::Target(_) => 2,
            Self::Unreachable { .. } => 69,
            Self::Denied { .. } => 77,
            Self::File(_) => 78,
            Self::Line { source, .. } => source.exit_code(),
            Self::Foreign
            | Self::Broken { .. }
            | Self::Silent { .. }
            | Self::Answer(_)
            | Self::Refused { .. }
            | Self::NoStream(_)
            | Self::Event(_)
            | Self::Ended
            | Self::Input(_)
            | Self::BadInput(_)
            | Self::Output(_) => 1,
        }
    }

    /// The error and its causes on one line; before it a line for each mistake of a file.
    pub(crate) fn report(&self) -> String {
        let Self::File(BadFile { name, mistakes, .. }) = self else {
            return with_causes(self);
        };
        let lines = mistakes.iter().map(|mistake| format!("{name}:{mistake}\n"));
        lines.chain([with_causes(self)]).collect()
    }
}

/// An error and its causes on one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
