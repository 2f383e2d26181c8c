//! Routes that are answered here, without Django: redirects and fixed answers; and what of a path Django is not told.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode};

use super::respond::{self, Refusal};
use super::{Kind, Route, Site};
use crate::routes::{Captures, Location};
use crate::stream::Body;
use crate::wire::path;

/// `redirect` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Where to.
    pub to: Location,
    /// 301, 302, 303, 307 or 308. Default 308.
    pub status: StatusCode,
}

/// `respond` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Default 200.
    pub status: StatusCode,
    /// What the body is. Default plain text in UTF-8.
    pub content_type: HeaderValue,
    /// More headers. Default none.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Default empty.
    pub body: Bytes,
}

impl Route {
    /// Whether something stands before what it leads to.
    pub(super) const fn is_guarded(&self, site: &Site) -> bool {
        site.maintenance.is_some() || self.basic_auth.is_some()
    }
}

impl Kind {
    /// Whether Django is asked for it.
    pub(super) const fn needs_django(&self) -> bool {
        matches!(self, Self::Forward { .. } | Self::Ask { .. })
    }

    /// Whether it is there for streams alone.
    pub(super) const fn holds_streams(&self) -> bool {
        matches!(
            self,
            Self::Public { .. } | Self::Token { .. } | Self::Ask { .. }
        )
    }

    /// The target that Django is sent. What is left of a path must be a path that means one thing.
    pub(super) fn sent(&self, target: &PathAndQuery) -> Result<PathAndQuery, Refusal> {
        let Self::Forward {
            strip: Some(prefix),
            ..
        } = self
        else {
            return Ok(target.clone());
        };
        path::target_without_prefix(target, prefix).ok_or(Refusal::NoRoute)
    }

    /// The answer of a route that needs nothing else for it; `None` for the others.
    pub(super) fn answer(
        &self,
        captures: &Captures<'_>,
        target: &PathAndQuery,
    ) -> Option<Result<Response<Body>, Refusal>> {
        match self {
            Self::Redirect(redirect) => Some(redirect.answer(captures, target.query())),
            Self::Respond(fixed) => Some(Ok(fixed.answer())),
            Self::Forward { .. }
            | Self::Public { .. }
            | Self::Token { .. }
            | Self::Ask { .. }
            | Self::Static(_) => None,
        }
    }
}

impl Redirect {
    fn answer(
        &self,
        captures: &Captures<'_>,
        query: Option<&str>,
    ) -> Result<Response<Body>, Refusal> {
        let to = self.to.fill(captures, query).ok_or(Refusal::NoRoute)?;
        respond::redirect(self.status, to)
    }
}

impl Fixed {
    fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::Text(self.body.clone()));
        *response.status_mut() = self.status;
        let headers: &mut HeaderMap = response.headers_mut();
        if !self.body.is_empty() {
            headers.insert(CONTENT_TYPE, self.content_type.clone());
        }
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        response
    }
}
