//! From an answer with instructions to what its client gets: a stream, an answer to come, or the answer as it is.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{HeaderMap, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::answer::{self, Held};
use super::hold::Hold;
use super::links::{Links, Site};
use super::poll::Poll;
use crate::domain::Position;
use crate::hub::{Era, Recovery, Session};
use crate::stream::open::Candidate;
use crate::stream::permission::Permission;
use crate::stream::{Body, OpenError, Settings, Streams};
use crate::upstream::{AnswerBody, Upload, UpstreamError};
use crate::wire::grip::{Instruct, Mode, clean, has_instruct_body};
use crate::wire::headers;

/// Whose request was answered.
#[derive(Debug)]
pub struct Caller {
    /// Whether only the head of the answer is wanted (HEAD).
    pub head_only: bool,
    /// The client's address.
    pub client: IpAddr,
    /// The session of Django that came with the request.
    pub session: Option<Session>,
    /// The end of the log before Django was asked.
    pub asked: Position,
    /// When Django was asked, counted in kicks.
    pub era: Era,
    /// How often those of its upstream were told that they may have missed something, by then.
    pub recovery: Recovery,
    /// What Django is told of the request when a link is followed.
    pub site: Site,
    /// Path and query, to which links are relative.
    pub target: PathAndQuery,
    /// Whether the request can be sent again.
    pub repeats: Repeats,
}

/// Whether a request can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// No: its body is gone.
    Never,
    /// It can, and was sent once.
    First,
    /// It can, and was sent again because of what was missing.
    Again,
}

/// What an answer with instructions comes to.
#[derive(Debug)]
pub enum Heeded {
    /// This is for the client.
    Answer(Response<Body>),
    /// The request is to be sent again.
    Again {
        /// With these values of `Grip-Last`.
        last: Vec<HeaderValue>,
        /// Everything up to here was looked at for it.
        from: Position,
    },
}

/// What a client is given of Django's answer.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    /// The words after it. Unset: the usual ones.
    pub(super) reason: Option<Box<str>>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Streams {
    /// Does what `answer` says. Its instructions are taken off.
    pub async fn hold(
        &self,
        settings: &Arc<Settings>,
        links: &Links,
        caller: &Caller,
        answer: Response<AnswerBody>,
    ) -> Result<Heeded, OpenError> {
        let held = self.try_to_hold(settings, links, caller, answer).await;
        if let Err(OpenError::Limited(limit)) = &held {
            self.count_refused(*limit);
        }
        held
    }

    async fn try_to_hold(
        &self,
        settings: &Arc<Settings>,
        links: &Links,
        caller: &Caller,
        answer: Response<AnswerBody>,
    ) -> Result<Heeded, OpenError> {
        // What is neither held nor goes on is not gathered; nor is what has no body.
        if caller.head_only {
            let instruct = Instruct::of_headers(answer.headers()).unwrap_or_default();
            return Ok(Heeded::Answer(passed(links, answer, &instruct)));
        }
        if !has_instruct_body(answer.headers()) {
            let instruct = Instruct::of_headers(answer.headers());
            let instruct = instruct.map_err(|bad| OpenError::Unreadable(bad.into()))?;
            if instruct.mode.is_none() && instruct.next.is_none() {
                return Ok(Heeded::Answer(passed(links, answer, &instruct)));
            }
        }
        let read = answer::read(answer, links.patience()).await;
        let (mut held, upload) = read.map_err(OpenError::Unreadable)?;
        headers::strip_response(&mut held.headers);
        clean(&mut held.headers, &held.instruct);
        let said = Said {
            status: held.status,
            reason: held.instruct.reason.clone(),
            headers: std::mem::take(&mut held.headers),
            body: held.body.clone(),
        };
        let instruct = &held.instruct;
        let goes_on = instruct.mode.is_some() || instruct.next.is_some();
        if !goes_on {
            return Ok(Heeded::Answer(said.into()));
        }
        let client = caller.client;
        let mut candidate = self.arrive(settings, client, caller.session, None, false)?;
        candidate.came(caller.era, caller.asked);
        if instruct.mode == Some(Mode::Response) {
            let prefix = &links.grip().prefix;
            let poll = Poll::new(candidate, prefix, instruct, said, caller);
            finish(upload).await?;
            return Ok(poll.wait().await);
        }
        if has_no_body(said.status) {
            return Ok(Heeded::Answer(said.into()));
        }
        let hold = Hold::new(links, caller, instruct, &self.0.hub);
        if hold.is_over(instruct.mode) {
            let body = hold.never_was(&held).to_bytes();
            return Ok(Heeded::Answer(Said { body, ..said }.into()));
        }
        finish(upload).await?;
        Ok(Heeded::Answer(stream(candidate, hold, said, &held)))
    }
}

/// Lets the client send the rest of its request, which Django has answered without. Many clients read nothing before they have
/// sent everything, and of one whose stream is held nothing is read any more. What is published meanwhile waits in the log.
async fn finish(upload: Option<Upload>) -> Result<(), OpenError> {
    let Some(upload) = upload else {
        return Ok(());
    };
    let thrown_away = upload.throw_away().await;
    thrown_away.map_err(|fault| OpenError::Down(UpstreamError::RequestBody(fault)))
}

/// A stream, on its channels before anybody gets a byte of it.
fn stream(candidate: Candidate, hold: Hold, said: Said, answer: &Held) -> Response<Body> {
    let mut stream = candidate.held(Permission::Lasting);
    let body = hold.body(answer);
    stream.begin_hold(hold, body);
    let mut response = Response::new(stream.into());
    *response.status_mut() = said.status;
    *response.headers_mut() = said.headers;
    say_reason(&mut response, said.reason.as_deref());
    response
}

/// Has the words after the status said, where a version of HTTP has any and they can stand there.
fn say_reason(response: &mut Response<Body>, reason: Option<&str>) {
    if let Some(Ok(reason)) = reason.map(|reason| ReasonPhrase::try_from(reason.as_bytes())) {
        response.extensions_mut().insert(reason);
    }
}

/// An answer that is passed on as it comes, but for its instructions.
fn passed(links: &Links, answer: Response<AnswerBody>, instruct: &Instruct) -> Response<Body> {
    let (mut parts, body) = links.upstream().read_ahead(answer).into_parts();
    headers::strip_response(&mut parts.headers);
    let length = parts.headers.get(http::header::CONTENT_LENGTH).cloned();
    clean(&mut parts.headers, instruct);
    parts.status = instruct.status.unwrap_or(parts.status);
    // Its body was one for the status that it came with.
    let is_bare = has_no_body(parts.status);
    if let Some(length) = length.filter(|_| !is_bare) {
        parts.headers.insert(http::header::CONTENT_LENGTH, length);
    }
    let body = match body.into_whole() {
        _ if is_bare => Body::empty(),
        Ok(whole) => Body::Text(whole),
        Err(body) => Body::Answer(Box::new(body)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    say_reason(&mut response, instruct.reason.as_deref());
    response
}

/// Whether an answer of this status ends with its head (RFC 9112, section 6.3).
fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

impl From<Said> for Response<Body> {
    fn from(said: Said) -> Self {
        let Said {
            status,
            reason,
            headers,
            mut body,
        } = said;
        if has_no_body(status) {
            body = Bytes::new();
        }
        let mut response = Self::new(Body::Text(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        say_reason(&mut response, reason.as_deref());
        response
    }
}
