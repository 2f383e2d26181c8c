//! What would become of a request: the way of `Proxy::serve`, gone without serving. For `tidegate explain`.
//!
//! Each step is the one that `serve` takes, in its order, so that what is said here is what happens; nothing is sent to
//! Django, counted or opened, but a file, to see whether it is there. What only a running gateway knows (the id of a
//! request, the end of the log, an address that is looked for by ACME) has a [placeholder](ID) or is left out.

use std::path::PathBuf;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, request};

use super::basic::Checks;
use super::body::length_of;
use super::respond::{self, Refusal};
use super::{Kind, Recorded, Route, Site, grip, refuse_what_nobody_serves, stream, target_of};
use crate::ask::{Asker, Facts, Refused, SSE_REPLAY, SSE_STREAM};
use crate::base::metrics::Registry;
use crate::domain::{ChannelName, ConnInfo, Epoch, EventId, Position, RequestId, StreamId};
use crate::record;
use crate::routes::{Captures, Entry};
use crate::stream::Body;
use crate::upstream::{CURSOR, Head, Vouched};
use crate::wire::ask::Terms;
use crate::wire::cors;
use crate::wire::forwarded::Forwarded;
use crate::wire::grip::GRIP_SIG;
use crate::wire::{last_event_id, path};

/// Stands for the id of a request.
pub const ID: &str = "<id>";
/// Stands for the end of the log.
const PLACE: HeaderValue = HeaderValue::from_static("<place>");
/// Stands for the id of a stream.
const STREAM: HeaderValue = HeaderValue::from_static("<stream>");
/// Stands for what the log still has.
const REPLAY: HeaderValue = HeaderValue::from_static("<full or partial>");
/// Stands for a signature of the gateway.
const SIGNATURE: HeaderValue = HeaderValue::from_static("<signature>");

/// What would become of a request.
#[derive(Debug)]
pub struct Explained {
    /// The host as the client wrote it, if it is served.
    pub host: Option<String>,
    /// Which route answers.
    pub route: Option<Found>,
    /// What Django would be told of the client; `None` if it did not come so far.
    pub forwarded: Option<Forwarded>,
    /// What it gets in the place of what its route leads to: maintenance, or that a login is missing.
    pub instead: Option<Refusal>,
    /// Where it ends, but for `instead`.
    pub outcome: Outcome,
}

/// A route that fits.
#[derive(Debug)]
pub struct Found {
    /// Its place in the table.
    pub place: usize,
    /// The named parts of the path.
    pub captured: Vec<(String, String)>,
    /// The places of those that fit as well and come too late.
    pub later: Vec<usize>,
}

/// Where a request ends.
#[derive(Debug)]
pub enum Outcome {
    /// It is refused.
    Refused(Refusal),
    /// It is answered here: a redirect, a fixed answer, a preflight.
    Answered(Response<Body>),
    /// It is for a file.
    File {
        /// The file; `None` if the path names none.
        file: Option<PathBuf>,
        /// The answer with it.
        answer: Result<Response<Body>, Refusal>,
    },
    /// A stream on these channels, of which Django is not asked.
    Public(Vec<ChannelName>),
    /// A stream, if the token is good.
    Token(Result<Terms, Refused>),
    /// Django is sent this.
    Sent {
        /// But for the body.
        head: Box<Head>,
        /// Why.
        purpose: Purpose,
    },
}

/// What Django is sent a request for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Its answer is the client's.
    Forward,
    /// The same, and an event stream is recorded.
    Record,
    /// A WebSocket.
    Upgrade,
    /// Whether the client may listen, and to what.
    Ask,
}

/// Goes the way of a request that comes by `conn`, without a body.
pub async fn explain(site: &Site, parts: request::Parts, conn: &ConnInfo) -> Explained {
    let mut explained = Explained {
        host: None,
        route: None,
        forwarded: None,
        instead: None,
        outcome: Outcome::Refused(Refusal::NoRoute),
    };
    let outcome = explained.walk(site, parts, conn).await;
    explained.outcome = outcome.unwrap_or_else(Outcome::Refused);
    explained
}

impl Explained {
    async fn walk(
        &mut self,
        site: &Site,
        mut parts: request::Parts,
        conn: &ConnInfo,
    ) -> Result<Outcome, Refusal> {
        let host = site.host(&parts);
        self.host = host.as_ref().ok().map(|(_, text)| text.clone());
        refuse_what_nobody_serves(&parts)?;
        let (host, text) = host?;
        let target = target_of(&parts)?;
        let decoded = path::decode(target.path()).map_err(Refusal::Path)?;
        if let Some(answer) = site.to_https(&parts, conn, (&host, &text), &decoded) {
            return answer.map(Outcome::Answered);
        }
        let (entry, captures) = site.routes.find(&decoded).ok_or(Refusal::NoRoute)?;
        self.route = Some(Found::of(site, entry, &captures, &decoded));
        let route = &entry.target;
        if route.internal {
            return Err(Refusal::NoRoute);
        }
        let cors = route.cors(&parts);
        if cors.as_ref().is_some_and(cors::Answer::is_to_preflight) {
            return Ok(Outcome::Answered(respond::preflight()));
        }
        let forwarded = site.forwarded(&parts, conn, &text);
        self.forwarded = Some(forwarded.clone());
        self.instead = instead(site, route, &mut parts, &forwarded).await;
        if let Some(answer) = route.kind.answer(&captures, &target) {
            return answer.map(Outcome::Answered);
        }
        if let Kind::Static(files) = &route.kind {
            let path = files.path(&decoded, &captures);
            let name = files.name(path).ok();
            let root = &files.root.settings().root;
            return Ok(Outcome::File {
                file: name.map(|name| root.join(name.as_str())),
                answer: Box::pin(files.serve(&parts, path)).await,
            });
        }
        let sent = route.kind.sent(&target)?;
        let headers = parts.headers.clone();
        let head = Head::rebuild(parts.method.clone(), sent, headers, &text);
        let vouched = vouched(site, &parts.headers, conn, forwarded);
        let mut head = site.vouch(head, vouched).into_head();
        head.headers.insert(CURSOR, PLACE);
        outcome(route, &parts, &captures, head)
    }
}

impl Found {
    fn of(site: &Site, found: &Entry<Route>, captures: &Captures<'_>, path: &str) -> Self {
        let entries = site.routes.entries();
        let place = entries.iter().position(|entry| std::ptr::eq(entry, found));
        let place = place.unwrap_or_default();
        let later = entries.iter().enumerate().skip(place + 1);
        let later = later.filter(|(_, entry)| entry.pattern.matches(path).is_some());
        let captured = captures.iter();
        Self {
            place,
            captured: captured
                .map(|(name, part)| (name.to_owned(), part.to_owned()))
                .collect(),
            later: later.map(|(place, _)| place).collect(),
        }
    }
}

/// Maintenance, or a login that is missing or wrong. One that is right is taken off as for Django.
async fn instead(
    site: &Site,
    route: &Route,
    parts: &mut request::Parts,
    forwarded: &Forwarded,
) -> Option<Refusal> {
    if let Some(maintenance) = &site.maintenance
        && route.kind.needs_django()
        && maintenance.is_on().await
    {
        return Some(Refusal::Maintenance(maintenance.settings.retry_after));
    }
    let auth = route.basic_auth.as_ref()?;
    let checks = Checks::new(&Registry::default());
    let admitted = Box::pin(checks.admit(auth, &mut parts.headers, forwarded.client)).await;
    if !auth.settings.pass_on {
        // A wrong one as well is not for Django.
        parts.headers.remove(AUTHORIZATION);
    }
    admitted.err()
}

fn vouched(site: &Site, headers: &HeaderMap, conn: &ConnInfo, forwarded: Forwarded) -> Vouched {
    let new = || RequestId::parse(ID).expect("the placeholder is visible ASCII");
    Vouched {
        forwarded,
        id: site.given_id(headers, conn).unwrap_or_else(new),
        id_header: site.settings.request_id.clone(),
        cursor: EventId {
            epoch: Epoch::from_random(0),
            position: Position::START,
        },
    }
}

/// What the route does with a request that Django could be sent as `head`.
fn outcome(
    route: &Route,
    parts: &request::Parts,
    captures: &Captures<'_>,
    mut head: Head,
) -> Result<Outcome, Refusal> {
    let purpose = match &route.kind {
        Kind::Forward {
            upstream, record, ..
        } => {
            let purpose = if route.kind.lets_pass(parts, true) {
                head.ask_for_websocket();
                Purpose::Upgrade
            } else if let Some(record) = record
                && would_record(record, parts, &mut head)
            {
                Purpose::Record
            } else {
                Purpose::Forward
            };
            if purpose != Purpose::Upgrade {
                length_of(&head.headers, route.body_limit)?;
                if route.kind.holding().is_some() {
                    grip::prepare(upstream, &mut head.headers);
                }
            }
            purpose
        }
        // A preflight that no rules of the route answer.
        Kind::Ask { .. } if parts.method == Method::OPTIONS => Purpose::Forward,
        Kind::Ask { asker, .. } => {
            length_of(&head.headers, route.body_limit)?;
            stream::refuse_hidden(parts)?;
            ask(asker, parts, &mut head);
            Purpose::Ask
        }
        Kind::Public { channels, .. } => {
            stream::only_read(&parts.method)?;
            let channels = stream::channels(channels, captures)?;
            stream::refuse_hidden(parts)?;
            return Ok(Outcome::Public(channels));
        }
        Kind::Token { check, .. } => {
            stream::only_read(&parts.method)?;
            stream::refuse_hidden(parts)?;
            let presented = check.find(&parts.headers, parts.uri.query());
            return Ok(Outcome::Token(presented.terms()));
        }
        Kind::Redirect(_) | Kind::Respond(_) | Kind::Static(_) => return Err(Refusal::NoRoute),
    };
    put(&mut head.headers, GRIP_SIG, SIGNATURE);
    Ok(Outcome::Sent {
        head: Box::new(head),
        purpose,
    })
}

fn would_record(record: &Recorded, parts: &request::Parts, head: &mut Head) -> bool {
    let last = last_event_id::of_request(&parts.headers, parts.uri.query());
    let cookie = record.stream.session_cookie.as_deref();
    record::would_record(head, parts.uri.path(), last.as_ref(), cookie)
}

/// Makes of `head` what Django is asked when a stream is opened.
fn ask(asker: &Asker, parts: &request::Parts, head: &mut Head) {
    let facts = Facts {
        stream: StreamId::from_random(0),
        last: last_event_id::of_request(&parts.headers, parts.uri.query()),
        whole: false,
        era: 0,
    };
    asker.prepare(head, &facts);
    put(&mut head.headers, SSE_STREAM, STREAM);
    put(&mut head.headers, SSE_REPLAY, REPLAY);
}

/// Puts a placeholder where something is said.
fn put(headers: &mut HeaderMap, name: HeaderName, placeholder: HeaderValue) {
    if headers.contains_key(&name) {
        headers.insert(name, placeholder);
    }
}
