//! What an answer of Django does here, beside being passed on: it may end a session, and publish.
//!
//! Django has done its part once it answers, so the answer counts also when the client has left meanwhile: the request
//! is then waited for by a task. Only where it can matter, and only once the request was sent; its body is dropped, and
//! the connection with it.
//!
//! Bound: [`MOST_UNATTENDED`] such tasks, each within `response_timeout`; what is beyond is given up as if it had not
//! been sent, and counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderMap, Response, StatusCode};
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Site;
use crate::base::live::Live;
use crate::base::metrics::Registry;
use crate::hub::{Hub, Whom};
use crate::limits::Slots;
use crate::publish::Publisher;
use crate::upstream::{AnswerBody, Rebuilt, RequestBody, Sent, Upstream, UpstreamError};
use crate::wire::cookies::{self, Change};
use crate::wire::headers;
use crate::wire::publish::HEADER;

/// Requests whose clients have left that are waited for at once.
const MOST_UNATTENDED: usize = 1024;

/// An answer to a request, or why there is none.
type Answer = Result<Response<AnswerBody>, UpstreamError>;

/// Sends requests and heeds what their answers say. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Effects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    publisher: Publisher,
    /// For the cookies of Django's session.
    site: Live<Site>,
    /// The requests whose clients have left.
    unattended: TaskTracker,
    slots: Slots,
    abort: CancellationToken,
    abandoned: Counter,
}

impl Effects {
    pub(super) fn new(
        hub: Hub,
        publisher: Publisher,
        site: Live<Site>,
        registry: &Registry,
    ) -> Self {
        let abandoned = registry.counter(
            "requests_abandoned",
            "Requests given up after their client left because too many of these were waited for",
        );
        Self(Arc::new(Inner {
            hub,
            publisher,
            site,
            unattended: TaskTracker::new(),
            slots: Slots::new(MOST_UNATTENDED),
            abort: CancellationToken::new(),
            abandoned,
        }))
    }

    /// Waits for the requests whose clients have left; gives them up after `patience`.
    pub(super) async fn close(&self, patience: Duration) {
        let Inner {
            unattended, abort, ..
        } = &*self.0;
        unattended.close();
        if timeout(patience, unattended.wait()).await.is_err() {
            abort.cancel();
            unattended.wait().await;
        }
    }

    /// Sends a client's request and heeds the answer, also if the client leaves before it is there.
    pub(super) fn send(
        &self,
        upstream: &Upstream,
        request: Rebuilt,
        body: RequestBody,
    ) -> impl Future<Output = Answer> {
        let (effects, sent) = (self.clone(), Sent::default());
        let (upstream, told) = (upstream.clone(), sent.clone());
        let asking = async move {
            let answer = upstream.send_rebuilt(&request, body, Some(&told)).await;
            if let Ok(answer) = &answer {
                let head = &request.head;
                effects.heed(&upstream, &head.headers, head.target.path(), answer);
            }
            answer
        };
        Attended {
            asking: Some(Box::pin(asking)),
            sent,
            effects: self,
        }
    }

    /// Whether any answer to this request could do something here. If not, there is nothing to heed, and nobody to wait for
    /// an answer when the client has left.
    pub(super) fn can_matter(&self, upstream: &Upstream, request: &Rebuilt) -> bool {
        let asked = &request.head.headers;
        let site = self.0.site.load();
        let mut names = site.settings.session_cookies.iter();
        upstream.settings().publish || names.any(|name| cookies::value(asked, name).is_some())
    }

    /// Does what the answer to a request for `path` with the headers `asked` says.
    fn heed(
        &self,
        upstream: &Upstream,
        asked: &HeaderMap,
        path: &str,
        answer: &Response<AnswerBody>,
    ) {
        let (status, said) = (answer.status(), answer.headers());
        self.end_session(asked, said);
        // What was not agreed upon is an error to the client.
        let odd = status == StatusCode::SWITCHING_PROTOCOLS && !headers::websocket_upgrade(said);
        if !odd {
            self.publish_said(status, said, upstream, path);
        }
    }

    /// Ends the streams that were opened with the session which this answer to `request` deletes or changes.
    pub(super) fn end_session(&self, request: &HeaderMap, answer: &HeaderMap) {
        if !answer.contains_key(SET_COOKIE) {
            return;
        }
        for name in &self.0.site.load().settings.session_cookies {
            let change = cookies::change(answer, name);
            let Some((change, old)) = change.zip(cookies::value(request, name)) else {
                continue;
            };
            // Some sites send the same cookie again with every answer.
            if change != Change::Set(old) {
                let session = self.0.hub.session(name, old);
                self.0.hub.kick(&Whom::Session(session));
            }
        }
    }

    /// Publishes what `answer` says by `SSE-Publish`. Only if its upstream may, and only if the answer is no error: then
    /// the view has not done what it was asked to, and what it says has not happened. A mistake in it is the view's: it is
    /// told in the log, and the client gets its answer. The headers themselves are stripped from every answer, whatever
    /// becomes of them.
    fn publish_said(
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
        if let Err((header, problem)) = self.0.publisher.headers(values) {
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

    /// Goes on without the client.
    fn outlive(&self, asking: Pin<Box<dyn Future<Output = Answer> + Send>>) {
        // At the very end of the program there is no runtime any more.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let Some(slot) = self.0.slots.take() else {
            self.0.abandoned.inc();
            return;
        };
        let abort = self.0.abort.clone();
        let task = async move {
            if let Some(Err(error)) = abort.run_until_cancelled(asking).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "No answer to a client that left");
            }
            drop(slot);
        };
        drop(self.0.unattended.spawn_on(task, &runtime));
    }
}

/// A request whose client is there. Dropped before the answer, once it was sent, it is waited for without him.
struct Attended<'e> {
    asking: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    sent: Sent,
    effects: &'e Effects,
}

impl Future for Attended<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(asking) = &mut self.asking else {
            return Poll::Pending;
        };
        let answer = asking.as_mut().poll(cx);
        if answer.is_ready() {
            self.asking = None;
        }
        answer
    }
}

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        if let Some(asking) = self.asking.take()
            && self.sent.is_sent()
        {
            self.effects.outlive(asking);
        }
    }
}
