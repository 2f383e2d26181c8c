//! The control endpoint of GRIP: `POST /publish/` and `POST /recover/`, answered in lines of text as its clients expect.
//!
//! Where there are tokens, one is needed; or, in its place, the key that signs what Django is told, or a JWT signed with it:
//! that is what the publishers' library has. A key is good for the channels of its upstream, also where no token is needed;
//! whatever else is shown there is not looked at.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::ACCEPT;
use http::{HeaderMap, Response, StatusCode, request};
use hyper::body::Incoming;

use super::body::Body;
use super::endpoint::Endpoint;
use super::{Access, Internal, good_for_all, respond};
use crate::publish::grip::NotTaken;
use crate::tokens::Grant;
use crate::tokens::keys::Scope;
use crate::wire::headers;
use crate::wire::problem::Problem;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Text,
    Json,
}

impl Internal {
    /// Publishes items.
    pub(super) async fn items(
        &self,
        parts: &request::Parts,
        body: Incoming,
        grant: Option<&Grant>,
        scope: Option<&Scope>,
    ) -> Result<Response<Body>, Problem> {
        let Some(media) = Media::wanted(&parts.headers) else {
            return Ok(not_acceptable());
        };
        match self.publisher.items(body, grant, scope).await {
            Ok(()) => Ok(media.answer("Published")),
            Err(NotTaken::Bad(bad)) => Ok(bad_request(&bad.to_string())),
            // A body that is too large is a bad request there.
            Err(NotTaken::Refused(problem)) if problem.status == StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(bad_request(&problem.detail))
            }
            Err(NotTaken::Refused(problem)) if problem.status == StatusCode::BAD_REQUEST => {
                Ok(bad_request(&problem.detail))
            }
            Err(NotTaken::Refused(problem)) => {
                if scope.is_some() && problem.status == StatusCode::FORBIDDEN && self.hints.now() {
                    let hint = "the names of channels at /publish/ begin with the prefix of the upstream whose key it is";
                    tracing::warn!(hint, "Items refused for channels of another upstream");
                }
                Err(problem)
            }
        }
    }

    /// Has all who are held, as far as the key reaches, ask Django anew.
    pub(super) fn recover(
        &self,
        headers: &HeaderMap,
        grant: Option<&Grant>,
        scope: Option<&Scope>,
    ) -> Result<Response<Body>, Problem> {
        let Some(media) = Media::wanted(headers) else {
            return Ok(not_acceptable());
        };
        good_for_all(grant)?;
        self.publisher.recover_items(scope);
        Ok(media.answer("Updated"))
    }

    /// Tells the operator what else follows from what a publisher shows, for their libraries tell nobody: that its items are
    /// refused; or that Django has another key than the gateway, and so believes no signature of it.
    pub(super) fn look_at_key(
        &self,
        access: &Access,
        parts: &request::Parts,
        scope: Option<&Scope>,
        is_taken: bool,
    ) {
        let is_shown = headers::bearer(&parts.headers).is_some();
        let is_foreign = is_shown && scope.is_none() && access.tokens.is_empty();
        let (hint, message) = if !is_taken {
            let hint = "does GRIP_URL have the key that grip.key has?";
            (hint, "Items refused for want of a token")
        } else if access.keys.is_empty() {
            (
                "`grip = true` of an upstream has its answers held",
                "Items published, and no upstream has `grip`",
            )
        } else if is_foreign {
            let hint = "GRIP_URL needs the key that grip.key has, or none if that has none; so Django does not know that it \
                        is behind a proxy, and holds a worker for each stream";
            (hint, "Items signed with another key than Grip-Sig")
        } else {
            return;
        };
        if self.hints.now() {
            tracing::warn!(hint, "{message}");
        }
    }
}

impl Access {
    /// How far the key reaches that is shown to the control endpoint, or that has signed what is shown; `None` if it is that
    /// of no upstream.
    pub(super) fn scope(&self, endpoint: &Endpoint, parts: &request::Parts) -> Option<Scope> {
        if !matches!(endpoint, Endpoint::Items | Endpoint::Recover) {
            return None;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        self.keys.verify(headers::bearer(&parts.headers)?, now)
    }
}

fn not_acceptable() -> Response<Body> {
    let text = "the answer is text/plain or application/json";
    respond::line(StatusCode::NOT_ACCEPTABLE, text)
}

fn bad_request(text: &str) -> Response<Body> {
    respond::line(StatusCode::BAD_REQUEST, text)
}

impl Media {
    fn answer(self, word: &str) -> Response<Body> {
        match self {
            Self::Text => respond::line(StatusCode::OK, word),
            Self::Json => respond::json(format!("{{\"message\":\"{word}\"}}\n").into()),
        }
    }

    /// The first that `Accept` names; text if it names none (RFC 9110, section 12.5.1).
    fn wanted(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|range| range.trim().to_ascii_lowercase())
            .filter(|range| !range.is_empty())
            .peekable();
        if ranges.peek().is_none() {
            return Some(Self::Text);
        }
        ranges.find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = match parts.next().unwrap_or_default() {
                "*/*" | "text/*" | "text/plain" => Self::Text,
                "application/*" | "application/json" => Self::Json,
                _ => return None,
            };
            let is_zero = |part: &str| {
                let weight = part.strip_prefix("q=");
                weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
            };
            (!parts.any(is_zero)).then_some(media)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_what_accept_names_first() {
        for (accept, media) in [
            (None, Some(Media::Text)),
            (Some("*/*"), Some(Media::Text)),
            (Some("application/json"), Some(Media::Json)),
            (Some("Application/JSON, text/plain"), Some(Media::Json)),
            (Some("text/html, application/*;q=0.5"), Some(Media::Json)),
            (Some("text/plain;q=0, application/json"), Some(Media::Json)),
            (Some("image/png"), None),
            (Some("text/plain; q=0.0"), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|value| (ACCEPT, value.parse().unwrap())));
            assert_eq!(Media::wanted(&headers), media, "{accept:?}");
        }
    }
}
