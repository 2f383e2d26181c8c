//! Problem details: the body of every refusal on the internal listener (RFC 9457, `application/problem+json`).
//!
//! Called by the handlers that turn a failure into an answer. `code` is what a program may match on and never changes;
//! `title` is the same for one code, `detail` is for people and may change. The `type` is `urn:tidegate:problem:<code>`
//! and not a path, because RFC 9457 (3.1.1) resolves a relative reference against the request's own URL: the same
//! problem would have another type on every listener. Nothing needs to be fetched from it.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::reload::Mistake;
use crate::domain::RequestId;

/// The media type of a problem's body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// One refusal, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The answer's status, repeated in the body.
    pub status: StatusCode,
    /// What went wrong, in kebab case; stable.
    pub code: &'static str,
    /// What went wrong, in words; the same for every problem with this code.
    pub title: &'static str,
    /// What went wrong this time.
    pub detail: String,
    /// The wrong place in the body, an RFC 6901 pointer; `Some("")` is the whole body.
    pub pointer: Option<String>,
    /// The query parameter that is wrong.
    pub parameter: Option<String>,
    /// For 405: the methods that are allowed; said in a header.
    pub allow: Option<String>,
    /// For 429 and 503: when to try again, in seconds; said in a header. Unset: soon.
    pub retry_after: Option<u64>,
    /// What was probably meant.
    pub hint: Option<String>,
    /// The wrong line of a body that is read by lines, counted from 1.
    pub line: Option<u64>,
    /// How many events of the body are in the log nevertheless.
    pub published: Option<u64>,
    /// The configuration file that cannot be taken; boxed, because it is seldom there.
    pub file: Option<Box<BadFile>>,
    /// The request, to be found in the log.
    pub request_id: Option<RequestId>,
}

/// A configuration file that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// As it was named at the start.
    pub name: String,
    /// All its mistakes; none if it cannot be read at all.
    pub mistakes: Vec<Mistake>,
}

impl Problem {
    /// A problem with nothing but its words. The functions below are the codes in use.
    pub const fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: String,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail,
            pointer: None,
            parameter: None,
            allow: None,
            retry_after: None,
            hint: None,
            line: None,
            published: None,
            file: None,
            request_id: None,
        }
    }

    /// 400: the body is not JSON.
    pub const fn bad_json(detail: String) -> Self {
        let title = "The body is not JSON";
        Self::new(StatusCode::BAD_REQUEST, "bad-json", title, detail)
    }

    /// 400: the request itself makes no sense.
    pub const fn bad_request(detail: String) -> Self {
        let title = "The request is wrong";
        Self::new(StatusCode::BAD_REQUEST, "bad-request", title, detail)
    }

    /// 401: no token, or none that is known.
    pub const fn unauthorized(detail: String) -> Self {
        let title = "A valid token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, detail)
    }

    /// 403: the token is good, but not for this.
    pub const fn forbidden(detail: String) -> Self {
        let title = "This is not allowed";
        Self::new(StatusCode::FORBIDDEN, "forbidden", title, detail)
    }

    /// 404: there is no such thing.
    pub const fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 405: the path is good, the method is not. The answer needs `Allow` as well.
    pub const fn method_not_allowed(detail: String) -> Self {
        let title = "The method does not fit the path";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method-not-allowed", title, detail)
    }

    /// 408: the body stopped coming.
    pub const fn request_timeout(detail: String) -> Self {
        let title = "The request came too slowly";
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            title,
            detail,
        )
    }

    /// 409: the first request with this idempotency key has no answer yet.
    pub const fn idempotency_in_progress(detail: String) -> Self {
        let title = "The same request is being worked on";
        Self::new(
            StatusCode::CONFLICT,
            "idempotency-in-progress",
            title,
            detail,
        )
    }

    /// 409: the idempotency key was used before, with another body.
    pub const fn idempotency_conflict(detail: String) -> Self {
        let title = "The idempotency key belongs to another request";
        Self::new(StatusCode::CONFLICT, "idempotency-conflict", title, detail)
    }

    /// 410: it was there, and is dropped.
    pub const fn gone(detail: String) -> Self {
        Self::new(StatusCode::GONE, "gone", "Gone", detail)
    }

    /// 413: longer than a limit allows.
    pub const fn too_large(detail: String) -> Self {
        let title = "Too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
    }

    /// 415: a body in a format that is not read here.
    pub const fn unsupported_media_type(detail: String) -> Self {
        let title = "The body's media type is not supported";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported-media-type", title, detail)
    }

    /// 422: JSON, but a field of it is wrong.
    pub const fn invalid_field(detail: String) -> Self {
        let title = "A field is wrong";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid-field", title, detail)
    }

    /// 422: a parameter in the query is wrong.
    pub const fn invalid_parameter(detail: String) -> Self {
        let title = "A query parameter is wrong";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid-parameter", title, detail)
    }

    /// 422: the configuration file cannot be taken, and the one before stays.
    pub const fn bad_configuration(detail: String) -> Self {
        let title = "The configuration has mistakes";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "bad-configuration", title, detail)
    }

    /// 429: more than a limit allows. The answer needs `Retry-After` as well.
    pub const fn too_many_requests(detail: String) -> Self {
        let title = "Too many requests";
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "too-many-requests", title, detail)
    }

    /// 500: the fault is ours.
    pub const fn internal(detail: String) -> Self {
        let title = "The gateway failed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, detail)
    }

    /// 503: the gateway is about to end.
    pub fn stopping() -> Self {
        let (title, detail) = ("The gateway is stopping", "send the rest to the next one");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "stopping", title, detail.to_owned())
    }

    /// 503: the log takes nothing at present, and has taken nothing of this request.
    pub const fn log_unavailable(detail: String) -> Self {
        let title = "The log is not available";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "log-unavailable", title, detail)
    }

    /// The same problem, at this place of the body.
    #[must_use]
    pub fn at(mut self, pointer: String) -> Self {
        self.pointer = Some(pointer);
        self
    }

    /// The same problem, in this query parameter.
    #[must_use]
    pub fn in_parameter(mut self, name: String) -> Self {
        self.parameter = Some(name);
        self
    }

    /// The same problem, which is over after so many seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same problem, with what was probably meant.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The same problem, in this line, after so many events were published.
    #[must_use]
    pub const fn in_line(mut self, line: u64, published: u64) -> Self {
        self.line = Some(line);
        self.published = Some(published);
        self
    }

    /// The same problem, of this request.
    #[must_use]
    pub fn of_request(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// The body.
    pub fn to_json(&self) -> Bytes {
        let body = Body {
            r#type: format!("urn:tidegate:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            pointer: self.pointer.as_deref(),
            parameter: self.parameter.as_deref(),
            hint: self.hint.as_deref(),
            line: self.line,
            published: self.published,
            file: self.file.as_deref().map(|file| file.name.as_str()),
            problems: self.file.as_deref().map_or(&[], |file| &file.mistakes),
            request_id: self.request_id.as_ref().map(RequestId::as_str),
        };
        serde_json::to_vec(&body)
            .expect("texts and numbers can always be written as JSON")
            .into()
    }
}

/// The members in the order in which people read them.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Mistake]>::is_empty")]
    problems: &'a [Mistake],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// Puts the tokens of a path together as an RFC 6901 pointer: `["a/b", "3"]` is `/a~1b/3`.
pub fn pointer<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for token in tokens {
        text.push('/');
        for c in token.chars() {
            match c {
                '~' => text.push_str("~0"),
                '/' => text.push_str("~1"),
                other => text.push(other),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let problem = Problem::log_unavailable("the disk is full".into());
        assert_eq!(
            problem.to_json(),
            r#"{"type":"urn:tidegate:problem:log-unavailable","title":"The log is not available","status":503,"detail":"the disk is full","code":"log-unavailable"}"#
        );
    }

    #[test]
    fn everything_that_is_known_is_said() {
        let problem = Problem::invalid_field("there is no \"chanel\"".into())
            .at(String::new())
            .in_parameter("p".into())
            .with_hint(Some("did you mean \"channel\"?".into()))
            .in_line(3, 2)
            .of_request(RequestId::parse("r-1").unwrap());
        assert_eq!(
            problem.to_json(),
            r#"{"type":"urn:tidegate:problem:invalid-field","title":"A field is wrong","status":422,"detail":"there is no \"chanel\"","code":"invalid-field","pointer":"","parameter":"p","hint":"did you mean \"channel\"?","line":3,"published":2,"request_id":"r-1"}"#
        );
    }

    proptest! {
        #[test]
        fn a_pointer_finds_the_key_it_was_made_of(key in ".*", index in 0_usize..3) {
            let mut value = serde_json::json!([{}, {}, {}]);
            value[index][&key] = true.into();
            let place = pointer([index.to_string().as_str(), key.as_str()]);
            prop_assert_eq!(value.pointer(&place), Some(&true.into()));
        }

        #[test]
        fn any_text_makes_a_body_that_reads_back(detail in any::<String>()) {
            let body = Problem::bad_request(detail.clone()).to_json();
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(read["detail"].as_str(), Some(detail.as_str()));
        }
    }
}
