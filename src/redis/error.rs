//! Why there is no connection to Redis.

use std::io;
use std::time::Duration;

use redis::RedisError;
use rustls::pki_types::InvalidDnsNameError;

/// The connection was lost, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Nobody is there.
    #[error("no connection to {to}")]
    Unreachable {
        /// Whom it was to.
        to: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Connecting, or subscribing, took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// TLS needs a name to check, and this is none.
    #[error("{0:?} is no name that a certificate could have")]
    Name(String, #[source] InvalidDnsNameError),
    /// There is no certificate of an authority on this machine.
    #[error("this machine trusts no certificate authority")]
    Untrusting,
    /// Redis has refused something.
    #[error("Redis refuses: {0}")]
    Refused(RedisError),
    /// No sentinel knows the master.
    #[error("no sentinel knows a master {0:?}")]
    NoMaster(Box<str>),
    /// The connection ended.
    #[error("the connection has ended")]
    Ended,
    /// A message was too long to be looked at.
    #[error("a message was longer than 64 MiB")]
    Overrun,
    /// Redis said nothing although it was asked.
    #[error("Redis is silent for {0:?}")]
    Silent(Duration),
}

impl Lost {
    /// What probably has to be done.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Late(_) => {
                "is Redis running, and is redis.url its address?"
            }
            Self::Refused(_) => {
                "is the login in redis.url right, and may that user subscribe to the channels (ACL &… and +subscribe +psubscribe +ping)?"
            }
            Self::Name(..) | Self::Untrusting => {
                "SSL_CERT_FILE names a file of certificates to trust"
            }
            Self::NoMaster(_) => "is the last part of redis.url the name of the master?",
            Self::Overrun => "what is published there is not meant for this gateway",
            Self::Ended | Self::Silent(_) => "it is tried again and again",
        }
    }
}

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        if error.is_connection_dropped() || error.is_io_error() {
            Self::Ended
        } else {
            Self::Refused(error)
        }
    }
}
