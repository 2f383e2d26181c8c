//! What can go wrong between the gateway and Django, and in the bodies that pass between them.

use std::io;

use crate::domain::Failure;
use crate::tls::HandshakeError;
use crate::wire::http1::{BadChunk, Invalid};

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: refused, no such socket, unknown host.
    #[error("could not connect to {server}")]
    Connect {
        /// The server's address.
        server: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// There is a connection, but nobody on it who can be trusted.
    #[error("no TLS with {server}")]
    Handshake {
        /// The server's address.
        server: String,
        /// The reason.
        #[source]
        source: HandshakeError,
    },
    /// The server took longer than `connect_timeout` to accept.
    #[error("{server} did not accept a connection in time")]
    ConnectTimeout {
        /// The server's address.
        server: String,
    },
    /// The request waited for its turn for longer than `queue_timeout`.
    #[error("the queue is too long")]
    Queue,
    /// The connection ended before the head of an answer was read.
    #[error("the connection ended before the answer")]
    Reset(#[source] io::Error),
    /// What came back is not an HTTP/1.1 answer.
    #[error("the answer is not valid HTTP")]
    Invalid(#[source] Invalid),
    /// It switched to another protocol, which nobody had asked for.
    #[error("the server switched protocols unasked")]
    Switched,
    /// Its body could be read in two ways: with a length and chunked, or in an unknown coding.
    #[error("the framing of the answer is ambiguous")]
    Ambiguous,
    /// The body of the answer broke off before it was of use.
    #[error("the answer broke off")]
    Broken(#[source] AnswerError),
    /// No answer within `response_timeout`.
    #[error("no answer in time")]
    ResponseTimeout,
    /// The client's own body broke off while it was being passed on.
    #[error("the request's body broke off")]
    RequestBody(RequestBodyFault),
}

/// Whose fault it was that a request body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBodyFault {
    /// The client paused for longer than `body_idle`.
    Idle,
    /// The client went away or sent something malformed.
    Client,
    /// The temp file could not be read.
    Disk,
}

impl UpstreamError {
    pub(super) const fn invalid(why: Invalid) -> Self {
        match why {
            Invalid::Coding => Self::Ambiguous,
            _ => Self::Invalid(why),
        }
    }

    /// Who is at fault.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Reset(_)
            | Self::Invalid(_)
            | Self::Switched
            | Self::Ambiguous
            | Self::Broken(_) => Failure::Upstream,
            Self::Queue => Failure::Limited,
            Self::ConnectTimeout { .. } | Self::ResponseTimeout => Failure::Timeout,
            Self::RequestBody(RequestBodyFault::Idle | RequestBodyFault::Client) => Failure::Client,
            Self::RequestBody(RequestBodyFault::Disk) => Failure::Internal,
        }
    }
}

/// A request body that could not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// Nothing came for `body_idle`.
    #[error("the client paused for too long")]
    Idle,
    /// The client's connection broke, or its chunks are malformed.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// It is shorter or longer than its `Content-Length`.
    #[error("the client's body has another length than it said")]
    Length,
    /// The temp file could not be read.
    #[error("the gathered body could not be read back")]
    Disk(#[source] io::Error),
}

impl RequestBodyError {
    pub(super) const fn fault(&self) -> RequestBodyFault {
        match self {
            Self::Idle => RequestBodyFault::Idle,
            Self::Client(_) | Self::Length => RequestBodyFault::Client,
            Self::Disk(_) => RequestBodyFault::Disk,
        }
    }
}

/// A body that could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// More bytes than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// Nothing came for `body_idle`.
    #[error("the client paused for too long")]
    Idle,
    /// The client's connection broke, or its chunks are malformed.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// The temp files of all requests are full.
    #[error("there is no room for the body")]
    Full,
    /// The temp file could not be written.
    #[error("the body could not be written to a temp file")]
    Disk(#[source] io::Error),
}

/// An answer that broke off. The client must see that it did.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The upstream's connection ended or broke.
    #[error("the upstream's answer broke off")]
    Broken(#[source] io::Error),
    /// Its chunks are malformed.
    #[error("the upstream's answer is malformed")]
    Chunks(#[source] BadChunk),
    /// The client's own body, which was still being passed on, broke off.
    #[error("the request's body broke off")]
    Request(#[source] RequestBodyError),
    /// Nothing came for `response_timeout`.
    #[error("the upstream paused for too long")]
    Idle,
    /// What was read ahead of it could not be read back.
    #[error("the answer could not be read back from a temp file")]
    Disk(#[source] io::Error),
}
