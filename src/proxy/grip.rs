//! Answers that Django has held: noticed on their way back, and given to `stream`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::compress::as_it_is;
use super::forward::pass_on;
use super::respond::Refusal;
use super::{Kind, Proxy};
use crate::stream::grip::{Caller, Heeded, Links, Repeats, Site};
use crate::stream::{self, Body};
use crate::upstream::{AnswerBody, Head, Rebuilt, RequestBody, Upstream};
use crate::wire::forwarded;
use crate::wire::grip::{GRIP_LAST, is_instruct};
use crate::wire::headers;

/// The least time between two requests for the same poll, but for the second.
const PAUSE: Duration = Duration::from_secs(1);
/// A request with a longer body is not sent again.
pub(super) const MOST_AGAIN: u64 = 64 << 10;

/// How the answers of one route are held.
#[derive(Debug, Clone)]
pub struct Holding {
    /// What follows the links of this upstream.
    pub links: Links,
    /// How the streams behave, as far as Django does not say.
    pub stream: Arc<stream::Settings>,
    /// What Django is not told of the beginning of the path. Default nothing.
    pub strip: Option<Box<str>>,
}

/// A request whose answer may be held, as it was before it was sent.
pub(super) struct Noted<'h> {
    holding: &'h Holding,
    caller: Caller,
    head: Head,
    /// `None` if it cannot be had again.
    body: Option<RequestBody>,
}

impl Kind {
    /// How its answers are held; `None` if they are not.
    pub(super) const fn holding(&self) -> Option<&Holding> {
        match self {
            Self::Forward { grip, .. } => grip.as_ref(),
            Self::Public { .. }
            | Self::Token { .. }
            | Self::Ask { .. }
            | Self::Static(_)
            | Self::Redirect(_)
            | Self::Respond(_) => None,
        }
    }
}

impl Proxy {
    /// Notes a request whose answer may be held, and signs it.
    pub(super) fn note<'h>(
        &self,
        holding: &'h Holding,
        client: IpAddr,
        upstream: &Upstream,
        mut head: Head,
        body: &RequestBody,
    ) -> (Rebuilt, Noted<'h>) {
        let site = site(&head.headers, holding.strip.clone());
        prepare(upstream, &mut head.headers);
        let body = body.again().filter(|body| body.length() <= MOST_AGAIN);
        let noted = Noted {
            caller: Caller {
                head_only: head.method == Method::HEAD,
                client,
                session: self.session(&head.headers, &holding.stream),
                asked: self.hub.log().position(),
                era: self.hub.era(),
                recovery: self.hub.recovery(&holding.links.grip().prefix),
                site,
                target: head.target.clone(),
                repeats: body.as_ref().map_or(Repeats::Never, |_| Repeats::First),
            },
            holding,
            head: head.clone(),
            body,
        };
        (head.into(), noted)
    }

    /// Does what an answer says about being held; one that says nothing is passed on.
    pub(super) async fn hold(
        &self,
        upstream: &Upstream,
        noted: Noted<'_>,
        mut answer: Response<AnswerBody>,
    ) -> Result<Response<Body>, Refusal> {
        let Noted {
            holding,
            mut caller,
            head,
            body,
        } = noted;
        let mut sent = Instant::now();
        while is_instruct(answer.headers()) {
            // It would not be known as what it is.
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Refusal::BadUpgrade);
            }
            let Holding { links, stream, .. } = holding;
            let held = self.streams.hold(stream, links, &caller, answer).await;
            let held = held.map_err(Refusal::Stream)?;
            let (last, from) = match held {
                Heeded::Answer(response) => return Ok(as_it_is(response)),
                Heeded::Again { last, from } => (last, from),
            };
            // However often something is published that has it asked again.
            if caller.repeats == Repeats::Again {
                sleep_until(sent + PAUSE).await;
            }
            // As for any request that comes now: nothing of it has been answered.
            let site = self.site.load();
            if let Some(maintenance) = &site.maintenance
                && maintenance.is_on().await
            {
                return maintenance.answer(&head.method, &head.headers);
            }
            sent = Instant::now();
            caller.repeats = Repeats::Again;
            caller.asked = from;
            caller.recovery.note();
            caller.era = self.hub.era();
            let mut head = head.clone();
            head.tell_cursor(self.hub.log().id(self.hub.log().position()));
            upstream.sign(&mut head.headers);
            for value in last {
                head.headers.append(GRIP_LAST, value);
            }
            let body = body.as_ref().and_then(RequestBody::again);
            let body = body.unwrap_or(RequestBody::Empty);
            answer = self.send(upstream, head.into(), body).await?;
        }
        let answer = pass_on(upstream, answer)?;
        self.hints.passed(upstream, head.target.path(), &answer);
        Ok(answer)
    }
}

/// Tells Django that its answer may be held, and how.
pub(super) fn prepare(upstream: &Upstream, headers: &mut HeaderMap) {
    upstream.sign(headers);
    accept_what_can_be_held(headers);
}

/// Whom a request is for, as far as that is no client: out of what the gateway vouches for.
fn site(headers: &HeaderMap, strip: Option<Box<str>>) -> Site {
    let told = |name: HeaderName| headers.get(name).cloned();
    let host = told(HOST).unwrap_or_else(|| HeaderValue::from_static(""));
    let named = [forwarded::PROTO, forwarded::HOST, forwarded::PORT];
    Site {
        host,
        forwarded: named.map(|name| (name.clone(), told(name))),
        strip,
    }
}

/// A compressed answer cannot be held as it is. That of a stream is not compressed at all; of any other, nobody knows yet
/// whether it will be held, so it may be compressed in the way that can be undone.
fn accept_what_can_be_held(headers: &mut HeaderMap) {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter();
    let knows_gzip = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_gzip
                && !parts.any(|weight| {
                    weight.starts_with("q=0")
                        && !weight.contains(['1', '2', '3', '4', '5', '6', '7', '8', '9'])
                })
        });
    headers.remove(ACCEPT_ENCODING);
    if knows_gzip && !headers::accepts_event_stream(headers) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
}
