//! Who may listen: one short request that asks Django, an answer it gave a moment ago, or a token it signed.
//!
//! `stream` asks when a stream is opened and when a permission has run out. Asks to one upstream share a budget of
//! their own, so that a storm of reconnects never takes the workers away from page loads.

mod cache;
mod settings;
mod token;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::timeout;

use crate::base::metrics::{Counted, CounterBy, Registry, status_class};
use crate::domain::StreamId;
use crate::limits::{Budget, Place};
use crate::upstream::{AnswerBody, AnswerError, Head, RequestBody, Upstream, UpstreamError};
use crate::wire::ask::{Mistake, Terms, terms};
use crate::wire::headers;
use crate::wire::last_event_id::{IN_QUERY, LAST_EVENT_ID, LastEventId};

use cache::{Cache, Key};
pub use settings::{AT_ONCE, Settings};
pub use token::{Carrier, Presented, Refused, TokenCheck, TokenSettings};

const SSE_ASK: HeaderName = HeaderName::from_static("sse-ask");
/// The id of the stream.
pub const SSE_STREAM: HeaderName = HeaderName::from_static("sse-stream");
/// Whether everything since the client's place is still in the log.
pub const SSE_REPLAY: HeaderName = HeaderName::from_static("sse-replay");

/// Asks one upstream on behalf of one route. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Asker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Upstream,
    budget: Budget,
    cache: Cache,
    longest_initial_state: usize,
    metrics: Metrics,
}

/// The metrics of all askers and checks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    answered: CounterBy,
    waiting: Gauge,
    tokens: CounterBy,
}

impl Metrics {
    /// Registers them, once for all.
    pub fn new(registry: &Registry) -> Self {
        Self {
            answered: registry.counter_by("asks", "Asks by the status of Django's answer"),
            waiting: registry.gauge("asks_waiting", "Asks waiting for their turn"),
            tokens: registry.counter_by(
                "tokens_checked",
                "Tokens of listeners, by what became of them",
            ),
        }
    }
}

/// A turn to ask, a guard.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its drop")] Place);

/// What Django is told of the stream beside the client's own request.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The stream's id.
    pub stream: StreamId,
    /// Where the client says it was.
    pub last: Option<LastEventId>,
    /// Whether nothing after that place has been dropped from the log.
    pub whole: bool,
    /// When Django is asked, counted in kicks: not told, but kept with the grant.
    pub era: u64,
}

/// What Django grants, and what belongs to the answer the client gets.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Channels, user, expiry.
    pub terms: Terms,
    /// A body of type `text/event-stream`: the initial state, sent first.
    pub initial: Bytes,
    /// The `Access-Control-*` headers and `Vary`.
    pub cors: HeaderMap,
    /// When Django was asked, counted in kicks.
    pub era: u64,
}

/// What an ask came to.
#[derive(Debug)]
pub enum Verdict {
    /// A stream.
    Granted(Box<Grant>),
    /// No stream but an answer of its own, passed on as it is: 2xx without a channel, 204, 4xx.
    Answered(Response<AnswerBody>),
    /// A redirect, which no event stream can follow: 401.
    Login(Response<AnswerBody>),
    /// The view's answer cannot be read: 404.
    Mistaken(Mistaken),
    /// Django is there but cannot answer now: 429 or 5xx.
    Busy(Response<AnswerBody>),
    /// Django could not be reached, or broke its answer off.
    Down(UpstreamError),
}

/// A mistake of the view.
#[derive(Debug, thiserror::Error)]
pub enum Mistaken {
    /// Its headers are wrong.
    #[error("the headers of the answer are wrong")]
    Headers(#[from] Mistake),
    /// Its body of type `text/event-stream` is longer than the limit, or does not end.
    #[error("the initial state does not end in time, or is too long")]
    InitialState,
}

impl Grant {
    /// A grant that comes with no answer of Django's, as of `era`, counted in kicks.
    pub fn of(terms: Terms, era: u64) -> Self {
        Self {
            terms,
            initial: Bytes::new(),
            cors: HeaderMap::new(),
            era,
        }
    }
}

impl Mistaken {
    /// What the author of the view may want to know.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Headers(Mistake::Channel { .. } | Mistake::NoList) => {
                "SSE-Channel holds one name of letters, digits and _ . : @ / -, never a list; SSE-Channels a JSON list"
            }
            Self::Headers(Mistake::TooMany) => "a stream has at most 100 channels",
            Self::Headers(Mistake::Malformed(_)) => {
                "SSE-Expires holds seconds and SSE-Retry milliseconds, both whole numbers; SSE-User one short name"
            }
            Self::InitialState => {
                "the body of an answer to an ask is the initial state: finite, and sent at once"
            }
        }
    }
}

impl Asker {
    /// `budget` is shared by all askers of the upstream.
    pub fn new(
        upstream: Upstream,
        budget: Budget,
        settings: &Settings,
        longest_initial_state: usize,
        metrics: &Metrics,
    ) -> Self {
        let cache = Cache::new(settings.cache);
        Self(Arc::new(Inner {
            upstream,
            budget,
            cache,
            longest_initial_state,
            metrics: metrics.clone(),
        }))
    }

    /// The upstream it asks.
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// An answer given a moment ago to the same question, if the route keeps answers. Needs no turn.
    pub fn cached(&self, head: &Head, body: &RequestBody, facts: &Facts) -> Option<Grant> {
        let key = self.key(head, body, facts)?;
        self.0.cache.find(&key)
    }

    /// The key of a question whose answer may serve others; most routes keep no answers.
    fn key(&self, head: &Head, body: &RequestBody, facts: &Facts) -> Option<Key> {
        let key = self.0.cache.is_on().then(|| Key::of(head, facts, body))?;
        key.can_be_shared().then_some(key)
    }

    /// Waits for a turn, in the order of asking.
    pub async fn turn(&self) -> Turn {
        if let Some(slot) = self.0.budget.take() {
            return Turn(slot);
        }
        let _waiting = Counted::new(&self.0.metrics.waiting);
        Turn(self.0.budget.wait().await)
    }

    /// Asks, once. `head` is the client's own request as it would be proxied.
    pub async fn ask(
        &self,
        _turn: Turn,
        mut head: Head,
        body: RequestBody,
        facts: &Facts,
    ) -> Verdict {
        let key = self.key(&head, &body, facts);
        self.prepare(&mut head, facts);
        let answer = self.0.upstream.send(&head, body, Duration::ZERO).await;
        let class = answer
            .as_ref()
            .map_or("failed", |answer| class(answer.status()));
        self.0
            .metrics
            .answered
            .get_or_create(&[("status", class)])
            .inc();
        let verdict = match answer {
            Ok(answer) => self.read(answer, facts.era).await,
            Err(error) => Verdict::Down(error),
        };
        if let (Verdict::Granted(grant), Some(key)) = (&verdict, key) {
            self.0.cache.keep(key, grant);
        }
        verdict
    }

    /// Makes the question out of the client's own request.
    pub fn prepare(&self, head: &mut Head, facts: &Facts) {
        if facts.last == Some(LastEventId::Unusable) {
            // No id that was ever sent: Django is told nothing of it, and need not refuse a URL of such a length.
            head.drop_parameters(&IN_QUERY);
        }
        prepare(&mut head.headers, facts);
        // A view that has its answers held must not take the gateway for a stranger, and stream itself.
        self.0.upstream.sign(&mut head.headers);
    }

    async fn read(&self, answer: Response<AnswerBody>, era: u64) -> Verdict {
        let status = answer.status();
        if status.is_redirection() {
            return Verdict::Login(answer);
        }
        if status.is_informational() {
            return Verdict::Down(UpstreamError::Switched);
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Verdict::Busy(answer);
        }
        if !status.is_success() || status == StatusCode::NO_CONTENT {
            return Verdict::Answered(answer);
        }
        let terms = match terms(answer.headers()) {
            Ok(Some(terms)) => terms,
            Ok(None) => return Verdict::Answered(answer),
            Err(mistake) => return Verdict::Mistaken(mistake.into()),
        };
        let cors = headers::cors(answer.headers());
        if !headers::is_event_stream(answer.headers()) {
            return Verdict::Granted(Box::new(Grant {
                terms,
                initial: Bytes::new(),
                cors,
                era,
            }));
        }
        let gathered = self.initial_state(answer.into_body());
        match timeout(self.0.upstream.settings().response_timeout, gathered).await {
            Ok(Ok(Some(initial))) => Verdict::Granted(Box::new(Grant {
                terms,
                initial,
                cors,
                era,
            })),
            Ok(Err(error)) => Verdict::Down(UpstreamError::Broken(error)),
            Ok(Ok(None)) | Err(_) => Verdict::Mistaken(Mistaken::InitialState),
        }
    }

    /// All of a finite body, made to end with a blank line so that it cannot swallow the first event; `None` if it is
    /// too long.
    async fn initial_state(&self, mut body: AnswerBody) -> Result<Option<Bytes>, AnswerError> {
        let mut initial = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let data = frame?.into_data().unwrap_or_default();
            if initial.len() + data.len() > self.0.longest_initial_state {
                return Ok(None);
            }
            initial.extend_from_slice(&data);
        }
        if !initial.is_empty() {
            initial.extend_from_slice(b"\n\n");
        }
        Ok(Some(initial.freeze()))
    }
}

/// Makes an ask out of the client's request.
fn prepare(headers: &mut HeaderMap, facts: &Facts) {
    // DRF answers 406 to the bare type. A compressed or a partial answer could not be read, and "not modified" is no
    // answer to the question.
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("text/event-stream, */*;q=0.1"),
    );
    for name in [
        header::ACCEPT_ENCODING,
        header::RANGE,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        LAST_EVENT_ID,
    ] {
        headers.remove(name);
    }
    headers.insert(SSE_ASK, HeaderValue::from_static("1"));
    if let Ok(stream) = HeaderValue::from_str(&facts.stream.to_string()) {
        headers.insert(SSE_STREAM, stream);
    }
    if let Some(last) = &facts.last {
        let replay = if facts.whole { "full" } else { "partial" };
        headers.insert(SSE_REPLAY, HeaderValue::from_static(replay));
        if let Some(last) = last.as_header() {
            headers.insert(LAST_EVENT_ID, last);
        }
    }
}

/// The metric label of an answer; 429 counts for itself, because it is no refusal.
fn class(status: StatusCode) -> &'static str {
    if status == StatusCode::TOO_MANY_REQUESTS {
        "429"
    } else {
        status_class(status)
    }
}
