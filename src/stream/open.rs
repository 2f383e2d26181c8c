//! Opening a stream: from the request to the head of its answer.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderName, LOCATION};
use http::{Method, Response, StatusCode};
use tokio::time::timeout;

use super::held::{Arrival, Held};
use super::permission::{Asking, Permission, Renewal, log_refused, log_verdict};
use super::place::{self, Hearing, Place};
use super::places::{Places, TooMany};
use super::{
    BackendDown, Body, Limit, OpenError, Opening, Settings, Source, Streams, Viewing, respond,
};
use crate::ask::{Asker, Facts, Grant, Verdict};
use crate::base::random;
use crate::domain::{Position, StreamId};
use crate::hub::{About, Era, Hub, Identity, Seat, Session};
use crate::limits::network;
use crate::upstream::{AnswerBody, Head, RequestBody};
use crate::wire::ask::Terms;
use crate::wire::headers;
use crate::wire::last_event_id::LastEventId;

/// How long a new stream waits for its turn to ask before it is held.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for its turn where it must not be held.
const PATIENCE_UNHELD: Duration = Duration::from_secs(10);

/// A stream that is about to be opened.
pub(super) struct Candidate {
    streams: Streams,
    settings: Arc<Settings>,
    id: StreamId,
    about: About,
    /// Counted in kicks, when it came.
    era: Era,
    places: Places,
    head_only: bool,
    /// Whether it goes on while the gateway drains.
    outlasts: bool,
    arrival: Arrival,
}

/// What is there of a candidate that has taken its seat.
#[derive(Debug)]
pub(super) struct Sitting {
    pub(super) hub: Hub,
    pub(super) seat: Seat,
    pub(super) places: Places,
    /// When it came.
    pub(super) era: Era,
    pub(super) asked: Position,
}

impl Streams {
    /// Opens a stream, or passes Django's refusal on.
    pub async fn open(
        &self,
        settings: &Arc<Settings>,
        opening: Opening,
    ) -> Result<Response<Body>, OpenError> {
        let opened = self.try_to_open(settings, opening).await;
        if let Err(OpenError::Limited(limit)) = opened {
            self.count_refused(limit);
        }
        opened
    }

    async fn try_to_open(
        &self,
        settings: &Arc<Settings>,
        opening: Opening,
    ) -> Result<Response<Body>, OpenError> {
        let Opening {
            head_only,
            client,
            session,
            last,
            wants_stream,
            source,
        } = opening;
        // Only Django looks at it.
        let asks = matches!(source, Source::Ask { .. });
        let session = session.filter(|_| asks);
        let candidate = self.arrive(settings, client, session, last, head_only)?;
        let era = candidate.era.0;
        match source {
            Source::Public(channels) => {
                let terms = Terms {
                    channels,
                    user: None,
                    expires: None,
                    retry: None,
                };
                candidate.granted(&Grant::of(terms, era), Renewal::Never)
            }
            Source::Token { presented, path } => {
                let terms = presented.terms().map_err(|refused| {
                    log_refused(&path, &refused);
                    OpenError::Unauthorized(refused)
                })?;
                // A token cannot be asked again: the stream ends when it does.
                candidate.granted(&Grant::of(terms, era), Renewal::Impossible)
            }
            Source::Ask { asker, head, body } => {
                candidate.ask(asker, head, body, wants_stream).await
            }
        }
    }

    /// Takes the places of a stream and notes the end of the log, before anybody is asked.
    pub(super) fn arrive(
        &self,
        settings: &Arc<Settings>,
        client: IpAddr,
        session: Option<Session>,
        last: Option<LastEventId>,
        head_only: bool,
    ) -> Result<Candidate, OpenError> {
        let places = self.take_places(settings, client)?;
        let candidate = self.candidate(settings, places, client, session);
        Ok(Candidate {
            head_only,
            arrival: Arrival {
                last,
                ..candidate.arrival
            },
            ..candidate
        })
    }

    /// Takes the places of a viewer, or counts that he is refused.
    pub fn places(&self, settings: &Settings, client: IpAddr) -> Result<Places, OpenError> {
        let taken = self.take_places(settings, client);
        if let Err(OpenError::Limited(limit)) = taken {
            self.count_refused(limit);
        }
        taken
    }

    fn take_places(&self, settings: &Settings, client: IpAddr) -> Result<Places, OpenError> {
        let slot = self.0.slots.take();
        let slot = slot.ok_or(OpenError::Limited(Limit::Slots))?;
        let share = |most: NonZeroUsize| {
            self.0
                .clients
                .take(network(client), most.get())
                .ok_or(OpenError::Limited(Limit::PerIp))
        };
        let share = settings.per_ip.map(share).transpose()?;
        Ok(Places::new(slot, share))
    }

    /// A stream of `client` from now on.
    fn candidate(
        &self,
        settings: &Arc<Settings>,
        places: Places,
        client: IpAddr,
        session: Option<Session>,
    ) -> Candidate {
        let hub = &self.0.hub;
        Candidate {
            streams: self.clone(),
            settings: Arc::clone(settings),
            id: StreamId::from_random(random::unguessable()),
            about: About {
                route: Arc::clone(&settings.route),
                client,
                since: SystemTime::now(),
                session,
            },
            era: hub.era(),
            places,
            head_only: false,
            outlasts: false,
            arrival: Arrival {
                now: hub.log().position(),
                last: None,
            },
        }
    }

    /// Lets a viewer onto a recording. He has his places, so nothing refuses him any more.
    pub fn view(
        &self,
        settings: &Arc<Settings>,
        places: Places,
        viewing: Viewing,
    ) -> Response<Body> {
        let Viewing {
            client,
            session,
            last,
            recorded,
        } = viewing;
        let mut candidate = self.candidate(settings, places, client, session);
        let grant = recorded.grant();
        let hearing = Hearing::of(&grant.terms);
        let place = recorded.place(self.0.hub.log(), &hearing, last.as_ref(), &settings.reach);
        candidate.arrival = Arrival {
            now: recorded.begin(),
            last,
        };
        candidate.outlasts = recorded.outlasts;
        candidate.places.view(recorded.present);
        candidate.begin(&grant, place, Renewal::Never)
    }
}

impl Candidate {
    async fn ask(
        self,
        asker: Asker,
        head: Box<Head>,
        body: RequestBody,
        wants_stream: bool,
    ) -> Result<Response<Body>, OpenError> {
        // Only a read may be asked twice, so only a read may be held; and one with a body could not be asked alike.
        let repeatable = matches!(head.method, Method::GET | Method::HEAD) && body.length() == 0;
        let may_hold = repeatable && self.settings.backend_down == BackendDown::Hold;
        let mut facts = self.facts();
        let path = head.target.path().to_owned();
        // One copy of the request, for whichever comes: the stream is held, or its permission runs out.
        let again = repeatable.then(|| {
            Box::new(Asking {
                asker: asker.clone(),
                head: Head::clone(&head),
            })
        });
        if let Some(grant) = self.cached(&asker, &head, &body, &facts) {
            return self.granted(&grant, again.into());
        }
        let patience = if may_hold { PATIENCE } else { PATIENCE_UNHELD };
        let Ok(turn) = timeout(patience, asker.turn()).await else {
            return match (self.settings.backend_down, again) {
                (BackendDown::Hold, Some(asking)) => Ok(self.hold(asking, facts, false)),
                (BackendDown::Retry, Some(_)) => Ok(self.retry()),
                _ => Err(OpenError::Busy),
            };
        };
        if let Some(grant) = self.cached(&asker, &head, &body, &facts) {
            return self.granted(&grant, again.into());
        }
        // A kick while it waited for its turn says nothing about an answer that is still to come.
        facts.era = self.streams.0.hub.era().0;
        let verdict = asker.ask(turn, *head, body, &facts).await;
        log_verdict(&asker, &path, &verdict, wants_stream);
        match verdict {
            Verdict::Granted(grant) => self.granted(&grant, again.into()),
            Verdict::Answered(answer) => Ok(passed_on(asker.upstream().read_ahead(answer))),
            Verdict::Login(answer) => Ok(login(answer)),
            Verdict::Mistaken(mistaken) => Err(OpenError::Mistaken(mistaken)),
            Verdict::Busy(answer) => self.unanswered(again, facts, || {
                Ok(passed_on(asker.upstream().read_ahead(answer)))
            }),
            Verdict::Down(error) => self.unanswered(again, facts, || Err(OpenError::Down(error))),
        }
    }

    /// What `backend_down` says; `fail` gives the failure itself. An ask that cannot be repeated can neither wait nor come
    /// back as it was.
    fn unanswered(
        self,
        again: Option<Box<Asking>>,
        facts: Facts,
        fail: impl FnOnce() -> Result<Response<Body>, OpenError>,
    ) -> Result<Response<Body>, OpenError> {
        match (self.settings.backend_down, again) {
            (_, None) => Err(OpenError::Busy),
            (BackendDown::Hold, Some(asking)) => Ok(self.hold(asking, facts, true)),
            (BackendDown::Retry, Some(_)) => Ok(self.retry()),
            (BackendDown::Fail, Some(_)) => fail(),
        }
    }

    /// Takes the log and the kicks as of a moment before Django was asked.
    pub(super) const fn came(&mut self, era: Era, now: Position) {
        self.era = era;
        self.arrival.now = now;
    }

    /// Takes its seat, for something that is no stream.
    pub(super) fn sit(self) -> Sitting {
        let hub = self.streams.0.hub.clone();
        Sitting {
            seat: hub.seat(self.id, Some(self.about)),
            hub,
            places: self.places,
            era: self.era,
            asked: self.arrival.now,
        }
    }

    #[cfg(test)]
    pub(super) const fn id(&self) -> StreamId {
        self.id
    }

    #[cfg(test)]
    pub(super) const fn era(&self) -> Era {
        self.era
    }

    /// A grant from a moment ago, unless it was taken back since.
    fn cached(
        &self,
        asker: &Asker,
        head: &Head,
        body: &RequestBody,
        facts: &Facts,
    ) -> Option<Grant> {
        let grant = asker.cached(head, body, facts)?;
        let hearing = Hearing::of(&grant.terms);
        let identity = Identity {
            user: grant.terms.user.as_ref(),
            channels: hearing.all(),
        };
        let hub = &self.streams.0.hub;
        let kicked = hub.was_kicked_since(Era(grant.era), self.about.session, identity);
        (!kicked).then_some(grant)
    }

    fn facts(&self) -> Facts {
        let whole = place::is_whole_since(
            self.streams.0.hub.log(),
            self.arrival.last.as_ref(),
            &self.settings.reach,
        );
        Facts {
            stream: self.id,
            last: self.arrival.last.clone(),
            whole,
            era: self.era.0,
        }
    }

    /// A stream whose permission is there.
    pub(super) fn granted(
        mut self,
        grant: &Grant,
        renewal: Renewal,
    ) -> Result<Response<Body>, OpenError> {
        let (streams, settings) = (&self.streams.0, &self.settings);
        let taken = self.places.take_users(streams, settings, &grant.terms);
        taken.map_err(|TooMany| OpenError::Limited(Limit::PerUser))?;
        let log = self.streams.0.hub.log();
        let place = place::find(
            log,
            &Hearing::of(&grant.terms),
            self.arrival.last.as_ref(),
            self.arrival.now,
            &self.settings.reach,
        );
        Ok(self.begin(grant, place, renewal))
    }

    /// The answer to a client that is granted a stream from `place` on.
    fn begin(self, grant: &Grant, place: Place, renewal: Renewal) -> Response<Body> {
        if place == Place::Over {
            return respond::over(grant.cors.clone());
        }
        let (id, cors, head_only) = (self.id, grant.cors.clone(), self.head_only);
        if head_only {
            return respond::stream(id, cors, Body::empty());
        }
        let mut held = self.held(Permission::Lasting);
        held.begin(grant, place, renewal);
        respond::stream(id, cors, held.into())
    }

    /// A stream that is told to wait, with its 200, until Django says something clear.
    fn hold(self, asking: Box<Asking>, facts: Facts, in_vain: bool) -> Response<Body> {
        if self.head_only {
            return respond::stream(self.id, HeaderMap::new(), Body::empty());
        }
        let id = self.id;
        let (hub, reach) = (self.streams.0.hub.clone(), self.settings.reach);
        let answering = asking.until_clear(hub, reach, facts, in_vain);
        let mut held = self.held(Permission::Asked(answering));
        held.wait_for_permission();
        respond::stream(id, HeaderMap::new(), held.into())
    }

    /// A stream that ends at once and comes back later.
    fn retry(self) -> Response<Body> {
        let id = self.id;
        let retry = super::held::drawn(&self.settings.retry);
        let body = if self.head_only {
            Body::empty()
        } else {
            Body::Text(crate::wire::sse::retry(retry).to_bytes())
        };
        respond::stream(id, HeaderMap::new(), body)
    }

    pub(super) fn held(self, permission: Permission) -> Held {
        let seat = self.streams.0.hub.seat(self.id, Some(self.about));
        if self.outlasts {
            seat.outlast_drain();
        }
        Held::new(
            seat,
            self.places,
            self.settings,
            self.streams,
            self.arrival,
            permission,
        )
    }
}

/// Django's own answer, as any proxied one.
fn passed_on(answer: Response<AnswerBody>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    headers::strip_response(&mut parts.headers);
    Response::from_parts(parts, Body::Answer(Box::new(body)))
}

/// 401 for a redirect: an `EventSource` would follow it and find a login page. What the redirect says of cookies is
/// passed on, where it leads is not.
fn login(answer: Response<AnswerBody>) -> Response<Body> {
    let (mut parts, _) = answer.into_parts();
    headers::strip_response(&mut parts.headers);
    for name in [
        LOCATION,
        http::header::CONTENT_LENGTH,
        http::header::CONTENT_TYPE,
        http::header::CONTENT_ENCODING,
    ] {
        parts.headers.remove(name);
    }
    parts.status = StatusCode::UNAUTHORIZED;
    parts.headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    // RFC 9110, section 15.5.2 asks for a challenge; this one makes no browser open a dialog.
    parts.headers.insert(
        HeaderName::from_static("www-authenticate"),
        http::HeaderValue::from_static("Session"),
    );
    Response::from_parts(
        parts,
        Body::Text(bytes::Bytes::from_static(b"Log in first.\n")),
    )
}
