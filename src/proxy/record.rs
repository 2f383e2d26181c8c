//! Requests on proxied routes whose streams are recorded.

use http::header::ACCEPT_ENCODING;
use http::{Method, Response, request};

use super::forward::pass_on;
use super::grip::MOST_AGAIN;
use super::respond::Refusal;
use super::{Exchange, Kind, Proxy, Recorded};
use crate::record::{Opened, Replay, Sought, Viewer, Visit, can_be_recorded};
use crate::stream::{self, Begin, Body, Viewing};
use crate::upstream::{AnswerBody, Upstream, UpstreamError};
use crate::wire::cookies::{self, Change};
use crate::wire::grip::is_instruct;
use crate::wire::headers;
use crate::wire::last_event_id::{self, LastEventId};

impl Exchange<'_> {
    /// Whether the answer may be recorded: that of a bare GET, which may be another request's as well, or of a POST.
    pub(super) fn can_be_recorded(&self) -> bool {
        let bare = self.parts.method == Method::GET && self.unread.is_at_its_end();
        !self.upgrade && (bare || self.parts.method == Method::POST)
    }

    /// Where streams are recorded, has Django asked by GET for what is asked by HEAD. A view streams to either, but what it
    /// says to a HEAD its server throws away, and so never finds out that nobody listens; of a GET only the head is read.
    /// An answer that is held is none that streams.
    pub(super) fn ask_by_get(&mut self) {
        if self.parts.method == Method::HEAD
            && self.unread.is_at_its_end()
            && matches!(
                self.route.kind,
                Kind::Forward {
                    record: Some(_),
                    grip: None,
                    ..
                }
            )
        {
            let head = &mut self.rebuilt.head;
            head.method = Method::GET;
            head.headers.remove(ACCEPT_ENCODING);
        }
    }
}

impl Proxy {
    pub(super) async fn forward_recorded(
        &self,
        exchange: Exchange<'_>,
        upstream: &Upstream,
        record: &Recorded,
    ) -> Result<Response<Body>, Refusal> {
        let Exchange {
            parts,
            client,
            rebuilt,
            route,
            site,
            unread,
            ..
        } = exchange;
        let is_post = parts.method == Method::POST;
        let last = last_event_id::of_request(&parts.headers, parts.uri.query());
        let session = self.session(&parts.headers, &record.stream);
        let visit = Visit {
            upstream,
            path: parts.uri.path(),
            head: rebuilt.into_head(),
            last: last.clone(),
            session_cookie: record.stream.session_cookie.as_deref(),
            session,
        };
        let places = || {
            let taken = self.streams.places(&record.stream, client);
            taken.map_err(Refusal::Stream)
        };
        // Who says that he wants a stream has a place before Django is asked for it. Who may get a page needs none yet, and
        // a POST is done in any case.
        let early = (!is_post && headers::accepts_event_stream(&parts.headers))
            .then(places)
            .transpose()?;
        let (places, viewer) = match self.recorder.seek(&record.settings, visit).await {
            Sought::Viewer(viewer) => (early.map_or_else(places, Ok)?, viewer),
            Sought::Late => {
                let late = UpstreamError::ResponseTimeout;
                return Err(Refusal::upstream(upstream, late));
            }
            Sought::Candidate(candidate) => {
                let head = candidate.request().into_head();
                let whole = route.kind.holding().map_or(0, |_| MOST_AGAIN);
                let limit = route.body_limit;
                let body = self.take_body(site, &head.headers, unread, limit, whole, upstream);
                let body = body.await?;
                let (request, noted) = match route.kind.holding() {
                    Some(holding) => {
                        let (request, noted) = self.note(holding, client, upstream, head, &body);
                        (request, Some(noted))
                    }
                    None => (head.into(), None),
                };
                let answer = self.send(upstream, request, body).await?;
                candidate.answered();
                let is_held = noted.is_some() && is_instruct(answer.headers());
                if is_held || passes(&record.stream, &parts, &answer) {
                    // Nobody waits for a recording that does not come, and what is held has places of its own.
                    drop((candidate, early));
                    return match noted {
                        Some(noted) => self.hold(upstream, noted, answer).await,
                        None => pass_on(upstream, answer),
                    };
                }
                // Before a recording is begun: one that nobody views would hold its worker for `linger`.
                let places = match early.map_or_else(places, Ok) {
                    Ok(places) => places,
                    Err(_) if is_post => return pass_on(upstream, answer),
                    Err(refusal) => return Err(refusal),
                };
                let recorder = &self.recorder;
                match recorder.begin(&record.settings, upstream, *candidate, answer) {
                    Opened::Viewer(viewer) => (places, viewer),
                    Opened::Answer(answer) => return pass_on(upstream, *answer),
                }
            }
        };
        // What a POST is answered is another answer than the one of which its client names a place.
        let last = last.filter(|last| !is_post || matches!(last, LastEventId::Foreign(_)));
        let viewing = Viewing {
            client,
            session,
            last,
            recorded: self.recorded(*viewer, record.settings.replay),
        };
        Ok(self.streams.view(&record.stream, places, viewing))
    }

    fn recorded(&self, viewer: Viewer, replay: Replay) -> stream::Recorded {
        let Viewer {
            channel,
            start,
            since,
            end,
            is_first,
            era,
            headers,
            is_of_post,
            present,
        } = viewer;
        let begin = match replay {
            Replay::New if !is_first => Begin::At(self.hub.log().position()),
            Replay::New | Replay::All => Begin::Start,
        };
        stream::Recorded {
            channel,
            start,
            since,
            end,
            begin,
            era,
            headers,
            outlasts: is_of_post,
            present,
        }
    }
}

/// Whether an answer is passed on as it is. It may be no event stream that can be read. That to a POST cannot be a stream of
/// the gateway's own while its request is still being uploaded, which goes on only as long as the answer is one as any other;
/// nor if the session that it was sent with ends by it, and a stream with that session, so that its sender would not get what
/// he asked for.
fn passes(
    stream: &stream::Settings,
    request: &request::Parts,
    answer: &Response<AnswerBody>,
) -> bool {
    let ends_session = |name: &str| {
        let change = cookies::change(answer.headers(), name);
        let old = cookies::value(&request.headers, name);
        matches!((change, old), (Some(change), Some(old)) if change != Change::Set(old))
    };
    let is_lost = || {
        answer.body().is_before_its_time()
            || stream.session_cookie.as_deref().is_some_and(ends_session)
    };
    !can_be_recorded(answer) || request.method == Method::POST && is_lost()
}
