//! Why Django has not heard.

use http::StatusCode;

use crate::upstream::UpstreamError;

/// A request that was not answered with 2xx.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheard {
    /// Django answered something else.
    #[error("the answer was {0}")]
    Refused(StatusCode),
    /// It did not answer.
    #[error("there was no answer")]
    Unanswered(#[source] UpstreamError),
}

impl Unheard {
    /// The metric label.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unanswered(_) => "unanswered",
        }
    }

    /// What probably has to be done.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Refused(StatusCode::BAD_REQUEST) => {
                "does ALLOWED_HOSTS have the first of server.hosts, or localhost if there is none?"
            }
            Self::Refused(StatusCode::FORBIDDEN) => {
                "the view needs @csrf_exempt, and the secret of sse.notify_secret"
            }
            Self::Refused(StatusCode::NOT_FOUND) => "is the path of sse.notify the view's?",
            Self::Refused(status) if status.as_u16() / 100 == 3 => {
                "a redirect is not followed: does the path lack Django's last slash, or its SECURE_PROXY_SSL_HEADER?"
            }
            Self::Refused(_) | Self::Unanswered(_) => "it is told again until Django answers 2xx",
        }
    }
}
