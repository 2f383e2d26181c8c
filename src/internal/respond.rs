//! The answers of the internal listener: the one place here that knows statuses and content types.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;
use super::page::Page;
use crate::console::Tap;
use crate::domain::{ConnInfo, RequestId};
use crate::publish::Published;
use crate::wire::conditional;
use crate::wire::idempotency::REPLAYED;
use crate::wire::metrics::prometheus_text;
use crate::wire::problem::{self, Problem};

/// When to try again what is refused for now, in seconds.
const SOON: u64 = 5;
/// What browsers may do with the page beside what its policy says: nobody frames it, loads it as a part of something else, or
/// keeps a hold on its window. It is asked for anew each time, for a new version may be there.
static OF_THE_PAGE: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-cache"),
    (REFERRER_POLICY, "no-referrer"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

fn answer(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Data of publishers is in many answers: no browser is to take one for something that runs.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn text(text: &'static str) -> Response<Body> {
    answer(
        "text/plain; charset=utf-8",
        Body::Text(Bytes::from_static(text.as_bytes())),
    )
}

/// The console.
pub(super) fn here(page: &Page, asked: &HeaderMap) -> Response<Body> {
    let etag = page.etag.to_str().unwrap_or_default();
    let is_known = conditional::is_known(asked, etag);
    let body = if is_known {
        Bytes::new()
    } else {
        page.text.clone()
    };
    let mut response = answer("text/html; charset=utf-8", Body::Text(body));
    let headers = response.headers_mut();
    for (name, value) in &OF_THE_PAGE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(ETAG, page.etag.clone());
    headers.insert(CONTENT_SECURITY_POLICY, page.policy.clone());
    if is_known {
        headers.remove(CONTENT_TYPE);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
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

/// As OpenMetrics for who asks for it, else in the format before that.
pub(super) fn metrics(open_metrics: String, headers: &HeaderMap) -> Response<Body> {
    let accepts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let open = accepts
        .into_iter()
        .any(|value| value.contains("application/openmetrics-text"));
    let (content_type, text) = if open {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (content_type, open_metrics)
    } else {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        (content_type, prometheus_text(&open_metrics))
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
