//! The answers of the internal listener: the one place here that knows statuses and content types.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;
use crate::console::Tap;
use crate::domain::{ConnInfo, RequestId};
use crate::publish::Published;
use crate::wire::idempotency::REPLAYED;
use crate::wire::problem::{self, Problem};

/// When to try again what is refused for now, in seconds.
const SOON: u64 = 5;

fn answer(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn text(text: &'static str) -> Response<Body> {
    answer(
        "text/plain; charset=utf-8",
        Body::Text(Bytes::from_static(text.as_bytes())),
    )
}

/// One line, as clients of the control endpoint expect it.
pub(super) fn line(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = answer("text/plain", Body::Text(format!("{line}\n").into()));
    *response.status_mut() = status;
    response
}

pub(super) fn not_ready() -> Response<Body> {
    let mut response = text("not ready\n");
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

pub(super) fn json(json: Bytes) -> Response<Body> {
    answer("application/json", Body::Text(json))
}

pub(super) fn published(published: Published) -> Response<Body> {
    let mut response = json(published.answer);
    if published.replayed {
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The same text is both formats; who does not ask for OpenMetrics is told the older name.
pub(super) fn metrics(text: String, headers: &HeaderMap) -> Response<Body> {
    let accepts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let open = accepts
        .into_iter()
        .any(|value| value.contains("application/openmetrics-text"));
    let content_type = if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    answer(content_type, Body::Text(text.into()))
}

pub(super) fn tap(tap: Tap) -> Response<Body> {
    answer("text/event-stream", Body::Tap(Box::new(tap)))
}

/// A problem as the publisher sees it, and a line in the log.
pub(super) fn problem(problem: Problem, id: &RequestId, conn: &ConnInfo) -> Response<Body> {
    let status = problem.status;
    let allow = problem.allow.as_deref().map(HeaderValue::from_str);
    let retry_after = problem.retry_after.unwrap_or(SOON);
    tracing::debug!(
        conn.id = conn.id.0,
        request.id = id.as_str(),
        status = status.as_u16(),
        code = problem.code,
        "Internal request refused"
    );
    let problem = problem.of_request(id.clone());
    let mut response = answer(problem::CONTENT_TYPE, Body::Text(problem.to_json()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(Ok(allow)) = allow {
        headers.insert(ALLOW, allow);
    }
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, retry_after.into());
        }
        _ => {}
    }
    response
}
