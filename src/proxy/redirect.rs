//! `X-Accel-Redirect`: an answer of Django that names a file of an `internal` route, which is then the answer.
//!
//! `serve` notes before a request is sent what of it a file depends on, and brings every answer here. None of the
//! `X-Accel-*` headers reaches a client but `X-Accel-Buffering`, which is for a proxy in front. Only `static` routes that
//! are `internal` can be named, by the path that a client cannot ask for.

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{Method, Response, request};

use super::files::Asked;
use super::respond::Refusal;
use super::{Kind, Site};
use crate::domain::ConnInfo;
use crate::files::FileError;
use crate::stream::Body;
use crate::wire::path::{self, PathError};

const NAME: &str = "x-accel-redirect";

/// What a file depends on, if the request only reads.
const CONDITIONS: [HeaderName; 6] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
];

/// What Django says about the body it did not send, and not about the file. The rest of its head holds.
const OF_THE_BODY: [HeaderName; 6] = [
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    ETAG,
    LAST_MODIFIED,
];

/// Why an `X-Accel-Redirect` leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// It cannot be read, or not in one way only.
    #[error("X-Accel-Redirect is no path")]
    Path(#[source] PathError),
    /// It is no UTF-8.
    #[error("X-Accel-Redirect is no text")]
    Text,
    /// No route fits.
    #[error("X-Accel-Redirect names {0:?}, which fits no route")]
    NoRoute(String),
    /// The route that fits is for clients as well, or serves no files.
    #[error("X-Accel-Redirect leads to the route {0:?}, which is not `internal`")]
    NotInternal(String),
}

/// What becomes of an `X-Accel-Redirect` in the answer to one request.
#[derive(Debug)]
pub(super) enum Redirects {
    /// It is followed.
    Followed {
        /// Of the request, what a file depends on.
        headers: HeaderMap,
        head_only: bool,
    },
    /// It is for the proxy in front, which is trusted: nothing here could follow it.
    PassedOn,
    /// There is nothing here that it could mean.
    Refused,
}

impl Redirects {
    /// What becomes of it in the answer to this request, which has not been sent yet.
    pub(super) fn of(site: &Site, parts: &request::Parts, conn: &ConnInfo) -> Self {
        if !site.has_internal {
            return if site.believes(conn) {
                Self::PassedOn
            } else {
                Self::Refused
            };
        }
        let mut headers = HeaderMap::new();
        let mut note = |name: HeaderName| {
            for value in parts.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        };
        note(ACCEPT_ENCODING);
        // To any other request a file is the answer, and not what it is about.
        if matches!(parts.method, Method::GET | Method::HEAD) {
            CONDITIONS.into_iter().for_each(note);
        }
        Self::Followed {
            headers,
            head_only: parts.method == Method::HEAD,
        }
    }

    /// The answer as the client gets it.
    pub(super) async fn apply(
        self,
        site: &Site,
        mut response: Response<Body>,
    ) -> Result<Response<Body>, Refusal> {
        if matches!(self, Self::PassedOn) {
            return Ok(response);
        }
        let target = response.headers().get(NAME).cloned();
        strip(response.headers_mut());
        let Some(target) = target.filter(|_| response.status().is_success()) else {
            return Ok(response);
        };
        let (headers, head_only) = match self {
            Self::Followed { headers, head_only } => (headers, head_only),
            Self::PassedOn | Self::Refused => (HeaderMap::new(), false),
        };
        Box::pin(follow(site, &target, response, &headers, head_only)).await
    }
}

async fn follow(
    site: &Site,
    target: &HeaderValue,
    response: Response<Body>,
    headers: &HeaderMap,
    head_only: bool,
) -> Result<Response<Body>, Refusal> {
    let target = std::str::from_utf8(target.as_bytes());
    let target = target.map_err(|_| Refusal::Redirect(RedirectError::Text))?;
    // What follows a question mark would be the query of a request, and files have none.
    let raw = target.split('?').next().unwrap_or_default();
    let decoded =
        path::decode(raw).map_err(|error| Refusal::Redirect(RedirectError::Path(error)))?;
    let found = site.routes.find(&decoded);
    let (route, captures) = found
        .ok_or_else(|| Refusal::Redirect(RedirectError::NoRoute(decoded.clone().into_owned())))?;
    let files = match &route.target.kind {
        Kind::Static(files) if route.target.internal => files,
        _ => {
            let name = route.name.clone();
            return Err(Refusal::Redirect(RedirectError::NotInternal(name)));
        }
    };
    let (head, _) = response.into_parts();
    let mut said = head.headers;
    for name in OF_THE_BODY {
        said.remove(name);
    }
    let path = files.path(&decoded, &captures);
    let answer = files.answer(Asked {
        path,
        head_only,
        headers,
        directory: None,
        said: Some(said),
    });
    let answer = answer.await;
    if let Err(Refusal::File(FileError::Missing)) = &answer {
        tracing::warn!(route = route.name, file = ?path, "X-Accel-Redirect names a file that is not there");
    }
    answer
}

fn strip(headers: &mut HeaderMap) {
    // Without an allocation unless there is something to remove.
    let doomed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-accel-") && *name != "x-accel-buffering")
        .cloned()
        .collect();
    for name in doomed {
        headers.remove(name);
    }
}
