//! Why there is no new certificate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{OrderStatus, Problem};

use super::client::HttpError;
use crate::tls::{InvalidChain, InvalidKey, Mismatch, Validity};

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The authority could not be asked.
    #[error("the authority cannot be reached")]
    Unreached(#[from] HttpError),
    /// It has answered, but not what it should have.
    #[error("the authority did not answer as it should")]
    Answer(#[source] instant_acme::Error),
    /// It does not want to.
    #[error("the authority refused: {0}")]
    Refused(Problem),
    /// It did not find what it looked for.
    #[error("{name} was looked for and is not ours: {problem}")]
    Challenge {
        /// The name.
        name: String,
        /// What it found.
        problem: Problem,
    },
    /// It wants to look in ways that are not spoken, or not answered by any listener.
    #[error("there is no challenge for {0} that could be answered here")]
    NoChallenge(String),
    /// The order did not become a certificate.
    #[error("the order is {0:?}")]
    Order(OrderStatus),
    /// It took too long.
    #[error("the order took longer than {} s", .0.as_secs())]
    Timeout(Duration),
    /// No key or request could be made.
    #[error("no request for a certificate could be made")]
    Request(#[from] rcgen::Error),
    /// What came is no certificate.
    #[error("what the authority sent is no certificate")]
    Chain(#[from] InvalidChain),
    /// The key cannot be used.
    #[error("the key of the certificate cannot be used")]
    Key(#[from] InvalidKey),
    /// It is somebody else's.
    #[error("the certificate is for another key")]
    Mismatch(#[from] Mismatch),
    /// Not all names are in it.
    #[error("the certificate is not for {0}")]
    Name(String),
    /// Nobody would believe it today.
    #[error("the certificate is good from {} to {} only", .0.not_before, .0.not_after)]
    NotToday(Validity),
    /// The folder could not be read or written.
    #[error("{} cannot be read or written", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The account in the folder is damaged.
    #[error("the account in {} is damaged", path.display())]
    Account {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

impl From<instant_acme::Error> for Failed {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Refused(problem),
            instant_acme::Error::Other(error) => match error.downcast::<HttpError>() {
                Ok(error) => Self::Unreached(*error),
                Err(error) => Self::Answer(instant_acme::Error::Other(error)),
            },
            error => Self::Answer(error),
        }
    }
}

impl Failed {
    /// The label of the metric.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Unreached(_) => "unreached",
            Self::Answer(_) | Self::Order(_) => "bad_answer",
            Self::Refused(_) => "refused",
            Self::Challenge { .. } | Self::NoChallenge(_) => "challenge",
            Self::Timeout(_) => "timeout",
            Self::Chain(_) | Self::Mismatch(_) | Self::Name(_) | Self::NotToday(_) => "unusable",
            Self::Request(_) | Self::Key(_) | Self::Cache { .. } | Self::Account { .. } => {
                "internal"
            }
        }
    }

    /// What kind of problem the authority has told.
    fn problem(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) | Self::Challenge { problem, .. } => problem.r#type.as_deref(),
            _ => None,
        }
    }

    /// Whether it has had too much of us.
    pub(super) fn is_limit(&self) -> bool {
        self.problem() == Some("urn:ietf:params:acme:error:rateLimited")
    }

    /// Whether it refused what it had handed out itself.
    pub(super) fn is_bad_nonce(&self) -> bool {
        self.problem() == Some("urn:ietf:params:acme:error:badNonce")
    }

    /// Whether it does not know us any more.
    pub(super) fn is_unknown_account(&self) -> bool {
        self.problem() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}
