//! Requests on proxied routes whose streams are recorded.

use http::{Method, Response, StatusCode};
use http_body::Body as _;

use super::forward::pass_on;
use super::respond::Refusal;
use super::{Exchange, Proxy, Recorded};
use crate::record::{Opened, Replay, Viewer, Visit};
use crate::stream::{self, Begin, Body, Opening, Source};
use crate::upstream::Upstream;
use crate::wire::last_event_id;
use crate::wire::publish::HEADER;

impl Exchange<'_> {
    /// Whether the answer may be another request's as well: only that of a bare GET.
    pub(super) fn can_be_recorded(&self) -> bool {
        self.parts.method == Method::GET && self.incoming.is_end_stream() && !self.upgrade
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
            ..
        } = exchange;
        let last = last_event_id::of_request(&parts.headers, parts.uri.query());
        let session = self.session(&parts.headers, &record.stream);
        let visit = Visit {
            head: rebuilt.into_head(),
            last: last.clone(),
            session_cookie: record.stream.session_cookie.as_deref(),
            session,
        };
        let opened = self.recorder.open(&record.settings, upstream, visit).await;
        let opened = opened.map_err(|error| Refusal::upstream(upstream, error))?;
        let mut viewer = match opened {
            Opened::Viewer(viewer) => viewer,
            Opened::Answer(answer) => {
                let path = parts.uri.path();
                self.effects.heed(upstream, &parts.headers, path, &answer);
                return pass_on(*answer);
            }
        };
        // A viewer who logs in or out with this very answer is told so, whatever becomes of his stream.
        self.effects.end_session(&parts.headers, &viewer.headers);
        self.effects
            .publish_said(StatusCode::OK, &viewer.headers, upstream, parts.uri.path());
        viewer.headers.remove(HEADER);
        let opening = Opening {
            head_only: false,
            client,
            session,
            last,
            wants_stream: true,
            source: Source::Recording(Box::new(self.recorded(*viewer, record.settings.replay))),
        };
        let answer = self.streams.open(&record.stream, opening).await;
        answer.map_err(Refusal::Stream)
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
            present,
        }
    }
}
