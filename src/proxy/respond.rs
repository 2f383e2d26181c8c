//! What a refused request becomes: the one place here that turns a failure into a status and a log line.
//!
//! Clients get a fixed text and the request id; what exactly went wrong stands in the log under that id.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};

use crate::domain::{ByteSize, ConnInfo, Failure, RequestId, RetryMs};
use crate::files::FileError;
use crate::stream::respond::upstream_status;
use crate::stream::{Body, Limit, OpenError};
use crate::upstream::{GatherError, Upstream, UpstreamError};
use crate::wire::host::HostError;
use crate::wire::path::PathError;
use crate::wire::sse;

use super::redirect::RedirectError;

/// When to try again where nobody knows better, in seconds.
const SOON: u64 = 5;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No valid host, or two that disagree.
    #[error("the request's host is missing or ambiguous")]
    Host(#[source] HostError),
    /// A host that is not served here.
    #[error("this host is not served here (server.hosts)")]
    Misdirected,
    /// A path that cannot be read in one way only.
    #[error("the path is ambiguous")]
    Path(#[source] PathError),
    /// An encoded separator in the path of a stream or a file.
    #[error("the path hides a separator")]
    HiddenSeparator,
    /// More header fields than anybody needs.
    #[error("the request has too many header fields")]
    TooManyFields,
    /// A field over HTTP/2 whose value has a blank at an end.
    #[error("a header field begins or ends with a blank")]
    BlankEnds,
    /// A `Content-Length` that is no number.
    #[error("the length of the body cannot be read")]
    Length,
    /// No route fits.
    #[error("no route fits")]
    NoRoute,
    /// A method that the route does not know; those it does.
    #[error("the method is not allowed")]
    Method(&'static str),
    /// CONNECT or TRACE.
    #[error("no route takes the method")]
    NoMethod,
    /// The body is longer than the limit.
    #[error("the body is longer than {0}")]
    TooLarge(ByteSize),
    /// The body could not be gathered.
    #[error("the body could not be gathered")]
    Body(#[source] GatherError),
    /// Django gave no answer.
    #[error("upstream {name} gave no answer")]
    Upstream {
        /// Its name.
        name: String,
        /// The reason.
        #[source]
        source: UpstreamError,
    },
    /// Django switched to a protocol that was not asked for.
    #[error("the upstream switched to a protocol nobody asked for")]
    BadUpgrade,
    /// The client comes too often; how long it has to wait.
    #[error("this client comes too often")]
    Rate(Duration),
    /// No slot is free.
    #[error("no slot is free")]
    Full,
    /// Nobody may see this without a name and a password; the challenge that says so.
    #[error("a name and a password are needed")]
    Login(HeaderValue),
    /// Too many logins are waiting to be checked.
    #[error("too many logins are being checked")]
    Busy,
    /// Maintenance; when to come back.
    #[error("the site is under maintenance")]
    Maintenance(Duration),
    /// No stream was opened.
    #[error("no stream was opened")]
    Stream(#[source] OpenError),
    /// No file was opened.
    #[error(transparent)]
    File(FileError),
    /// Django's answer names a file that is none.
    #[error("the answer cannot be followed")]
    Redirect(#[source] RedirectError),
}

/// The answer to a preflight, whose headers say what may be done.
pub(super) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The way to another address, which is no more than a header's value.
pub(super) fn redirect(status: StatusCode, to: String) -> Result<Response<Body>, Refusal> {
    let to = HeaderValue::try_from(to).map_err(|_| Refusal::NoRoute)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

/// What HTTP-01 wants to read.
pub(super) fn challenge(text: String) -> Response<Body> {
    let mut response = Response::new(Body::Text(text.into()));
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, octets);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An event stream that ends at once: an `EventSource` comes back after `retry`.
pub(super) fn come_back(retry: RetryMs) -> Response<Body> {
    let mut response = Response::new(Body::Text(sse::retry(retry).to_bytes()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Refusal {
    pub(super) fn upstream(upstream: &Upstream, source: UpstreamError) -> Self {
        Self::Upstream {
            name: upstream.settings().name.clone(),
            source,
        }
    }

    pub(super) fn gathering(error: GatherError, limit: ByteSize) -> Self {
        match error {
            GatherError::TooLarge => Self::TooLarge(limit),
            other => Self::Body(other),
        }
    }

    /// The status a client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Host(_)
            | Self::Path(_)
            | Self::HiddenSeparator
            | Self::BlankEnds
            | Self::Length
            | Self::Body(GatherError::Client(_) | GatherError::TooLarge) => StatusCode::BAD_REQUEST,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute | Self::Redirect(RedirectError::Path(_) | RedirectError::Text) => {
                StatusCode::NOT_FOUND
            }
            Self::Method(_) | Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(GatherError::Idle) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(GatherError::Disk(_) | GatherError::Full)
            | Self::Full
            | Self::Busy
            | Self::Maintenance(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Login(_) => StatusCode::UNAUTHORIZED,
            Self::Upstream { source, .. } => upstream_status(source),
            Self::BadUpgrade => StatusCode::BAD_GATEWAY,
            Self::Rate(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Stream(error) => error.status(),
            Self::File(error) => file_status(error),
            Self::Redirect(RedirectError::NoRoute(_) | RedirectError::NotInternal(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Who is at fault.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Misdirected | Self::Login(_) => Failure::Denied,
            Self::TooLarge(_)
            | Self::TooManyFields
            | Self::Rate(_)
            | Self::Body(GatherError::Full)
            | Self::Full
            | Self::Busy
            | Self::Maintenance(_) => Failure::Limited,
            Self::Body(GatherError::Disk(_)) => Failure::Internal,
            Self::Host(_)
            | Self::Path(_)
            | Self::HiddenSeparator
            | Self::BlankEnds
            | Self::Length
            | Self::NoRoute
            | Self::Method(_)
            | Self::NoMethod
            | Self::Body(_) => Failure::Client,
            Self::Upstream { source, .. } => source.failure(),
            Self::BadUpgrade | Self::Redirect(_) => Failure::Upstream,
            Self::Stream(error) => error.failure(),
            Self::File(error) => file_failure(error),
        }
    }

    /// Whether the limit of one client was reached: with a proxy in front that nobody named, all clients are one.
    pub(super) const fn is_limit_of_client(&self) -> bool {
        matches!(
            self,
            Self::Rate(_) | Self::Stream(OpenError::Limited(Limit::PerIp))
        )
    }

    pub(super) fn log(&self, conn: &ConnInfo, id: &RequestId) {
        let error: &dyn std::error::Error = self;
        let (status, request, conn) = (self.status().as_u16(), id.as_str(), conn.id.0);
        match self.failure() {
            Failure::Internal => tracing::error!(
                conn.id = conn,
                request.id = request,
                status,
                error,
                "Request failed"
            ),
            Failure::Upstream | Failure::Timeout => {
                tracing::warn!(
                    conn.id = conn,
                    request.id = request,
                    status,
                    error,
                    "Request failed"
                );
            }
            Failure::Client | Failure::Denied | Failure::Limited => {
                tracing::debug!(
                    conn.id = conn,
                    request.id = request,
                    status,
                    error,
                    "Request refused"
                );
            }
        }
    }

    /// What the client is told of what it did.
    fn told(&self) -> &dyn std::fmt::Display {
        match self {
            Self::Stream(limited @ OpenError::Limited(_)) => limited,
            other => other,
        }
    }

    /// The answer; `name` is the header with the request's id.
    pub(super) fn into_response(self, name: &HeaderName, id: &RequestId) -> Response<Body> {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or("Error");
        // What the client did is its own to know; what went wrong behind us is not.
        let detail = match self.failure() {
            Failure::Client | Failure::Denied | Failure::Limited => format!(
                "{}
",
                self.told()
            ),
            Failure::Upstream | Failure::Timeout | Failure::Internal => String::new(),
        };
        let text = format!(
            "{} {reason}
{detail}
request id: {}
",
            status.as_u16(),
            id.as_str()
        );
        let mut response = Response::new(Body::Text(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(name.clone(), id);
        }
        if matches!(self, Self::NoMethod | Self::Body(_))
            || matches!(
                status,
                StatusCode::BAD_REQUEST
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::MISDIRECTED_REQUEST
            )
        {
            // What is left of the request is not read, and what a client sends behind a CONNECT or to another host may be no
            // request at all (RFC 9931); over HTTP/2 this header is not sent.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let retry_after = match &self {
            // Whole seconds, rounded up: who comes back then is let in.
            Self::Rate(wait) | Self::Maintenance(wait) => {
                (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
            }
            _ => SOON,
        };
        let allowed = match self {
            Self::Method(allowed) => Some(allowed),
            Self::NoMethod => Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            _ => None,
        };
        if let Some(allowed) = allowed {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        if let Self::Login(challenge) = &self {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if let Self::Stream(error) = self
            && let Some(challenge) = error.challenge()
        {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(RETRY_AFTER, retry_after.into());
        }
        response
    }
}

const fn file_status(error: &FileError) -> StatusCode {
    match error {
        FileError::Missing => StatusCode::NOT_FOUND,
        FileError::Forbidden => StatusCode::FORBIDDEN,
        FileError::Descriptors | FileError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        FileError::Root { .. } | FileError::Disk { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn file_failure(error: &FileError) -> Failure {
    match error {
        FileError::Missing => Failure::Client,
        FileError::Forbidden => Failure::Denied,
        FileError::Descriptors | FileError::Busy => Failure::Limited,
        FileError::Root { .. } | FileError::Disk { .. } => Failure::Internal,
    }
}
