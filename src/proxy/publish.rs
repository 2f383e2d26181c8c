//! What a view publishes by its answer: the `SSE-Publish` headers.
//!
//! Only if its upstream may, and only if the answer is no error: then the view has not done what it was asked to, and
//! what it says has not happened. The headers themselves are stripped from every answer, whatever becomes of them.

use http::{HeaderMap, StatusCode};

use super::Proxy;
use crate::upstream::Upstream;
use crate::wire::publish::HEADER;

impl Proxy {
    /// Publishes what `answer` says. A mistake in it is the view's: it is told in the log, and the client gets its answer.
    pub(super) fn publish_said(
        &self,
        status: StatusCode,
        answer: &HeaderMap,
        upstream: &Upstream,
        path: &str,
    ) {
        let settings = upstream.settings();
        let failed = status.is_client_error() || status.is_server_error();
        if !settings.publish || failed || !answer.contains_key(HEADER) {
            return;
        }
        let values = answer.get_all(HEADER);
        if let Err((header, problem)) = self.publisher.headers(values) {
            let hint = problem.hint.as_deref();
            tracing::warn!(
                upstream = settings.name,
                path,
                header,
                pointer = problem.pointer,
                error = problem.detail,
                hint = hint.unwrap_or("the value is a JSON event, as POST /v1/events takes it"),
                "SSE-Publish header cannot be published"
            );
        }
    }
}
