//! The heads of answers about streams: the one place here that knows statuses.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::body::Body;
use super::{Limit, OpenError};
use crate::ask::Refused;
use crate::domain::{Failure, StreamId};
use crate::upstream::{RequestBodyFault, UpstreamError};

/// The head of every event stream. Proxies in front must neither keep nor transform nor gather it.
pub(super) fn stream(id: StreamId, more: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.extend(more);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static("sse-stream"), id);
    }
    response
}

/// 204, which tells an `EventSource` to stop.
pub(super) fn over(cors: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().extend(cors);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl OpenError {
    /// The status a client gets.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Limited(Limit::PerIp | Limit::PerUser | Limit::Rate) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Limited(Limit::Slots) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Mistaken(_) => StatusCode::NOT_FOUND,
            Self::Unreadable(_) => StatusCode::BAD_GATEWAY,
            Self::Down(error) => upstream_status(error),
        }
    }

    /// Who is at fault.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Unauthorized(_) => Failure::Denied,
            Self::Limited(_) => Failure::Limited,
            Self::Mistaken(_) | Self::Unreadable(_) | Self::Busy => Failure::Upstream,
            Self::Down(error) => error.failure(),
        }
    }

    /// What a client is asked for that has shown nothing, or nothing good (RFC 6750, section 3). Why it is not good is
    /// not its business.
    pub const fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized(Refused::Missing) => Some("Bearer"),
            Self::Unauthorized(Refused::Invalid(_)) => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }
}

/// The status of a request that Django did not answer.
pub const fn upstream_status(error: &UpstreamError) -> StatusCode {
    match error {
        UpstreamError::Connect { .. }
        | UpstreamError::Handshake { .. }
        | UpstreamError::Reset(_)
        | UpstreamError::Invalid(_)
        | UpstreamError::Switched
        | UpstreamError::Ambiguous
        | UpstreamError::Broken(_) => StatusCode::BAD_GATEWAY,
        UpstreamError::ConnectTimeout { .. } | UpstreamError::ResponseTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        UpstreamError::RequestBody(RequestBodyFault::Idle) => StatusCode::REQUEST_TIMEOUT,
        UpstreamError::RequestBody(RequestBodyFault::Client) => StatusCode::BAD_REQUEST,
        UpstreamError::Queue | UpstreamError::RequestBody(RequestBodyFault::Disk) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
