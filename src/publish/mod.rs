//! Taking events: read, check, append, answer. Called by `internal` for publishers, and by `proxy` for the `SSE-Publish`
//! headers of an answer.
//!
//! All or nothing: a body with one bad event publishes none; only a stream of lines publishes each as it comes. The
//! publisher is answered once its events are in the log, and never waits for a listener; only for the gateway's own writing
//! to many streams, where that is far behind ([`Hub::caught_up`]).

pub mod grip;
mod idempotency;
mod lines;
mod place;
mod settings;
mod signed;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::live::Live;
use crate::base::metrics::Registry;
use crate::domain::{ByteSize, ChannelName, Event, EventId};
use crate::history::AppendError;
use crate::hub::{Hub, Receipt};
use crate::limits::{Exceeded, Rate, RateLimit, Slots};
use crate::tokens::{Grant, Tokens};
use crate::wire::problem::Problem;
use crate::wire::publish::{
    Limits, Publish, from_query, published_batch, published_one, read, read_header,
};
use crate::wire::webhook::Signed;
use crate::wire::{duration, idempotency as header, query, sse};

use grip::Sequencer;
use idempotency::{Answers, Begun, Key, Print, Refused};
use place::Place;
pub use settings::*;

/// The most events of one batch.
const MOST_EVENTS: usize = 10_000;
/// How long a publisher may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long somebody may take to send a signed body, who is a stranger until all of it is there.
const SIGNED_BODY_TIME: Duration = Duration::from_secs(5);
/// Signed bodies that are gathered at once: nobody knows yet who sends them.
const GATHERED_AT_ONCE: usize = 64;
/// Streams of lines at once.
const LINES_AT_ONCE: usize = 1024;

/// Takes events from publishers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    rules: Live<Rules>,
    answers: Answers,
    /// To signed requests.
    signed_answers: Answers,
    gathering: Slots,
    lines: Slots,
    items: Sequencer,
    /// Once set, streams of lines end.
    stopping: CancellationToken,
    /// Headers of answers that could not be published.
    mistaken: Counter,
}

/// What a reload may change.
#[derive(Debug)]
struct Rules {
    settings: Settings,
    /// By the name of the token.
    rates: HashMap<String, Arc<RateLimit>>,
}

/// Who publishes.
#[derive(Debug)]
pub enum Sender<'a> {
    /// The grant of the token that was shown; `None` where no token is needed.
    Known(Option<Grant>),
    /// Whoever signed the body with one of these tokens.
    Signed(Box<Signed>, &'a Tokens),
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The answer, as JSON.
    pub answer: Bytes,
    /// Whether this was answered before, and nothing was published now.
    pub replayed: bool,
}

impl Publisher {
    /// A publisher into `hub`.
    pub fn new(hub: Hub, settings: Settings, registry: &Registry) -> Self {
        let forgotten = registry.counter(
            "publish_answers_forgotten",
            "Answers to an Idempotency-Key given up early for want of memory",
        );
        let mistaken = registry.counter(
            "publish_header_mistakes",
            "Answers whose SSE-Publish headers could not be published",
        );
        let keep_for = settings.idempotency;
        Self(Arc::new(Inner {
            items: Sequencer::new(hub.clone(), registry),
            hub,
            answers: Answers::new(keep_for, idempotency::MEMORY, forgotten.clone()),
            signed_answers: Answers::new(keep_for, idempotency::SIGNED_MEMORY, forgotten),
            gathering: Slots::new(GATHERED_AT_ONCE),
            lines: Slots::new(LINES_AT_ONCE),
            stopping: CancellationToken::new(),
            mistaken,
            rules: Live::new(Rules::new(settings, None)),
        }))
    }

    /// Has requests that come from now on go by these settings. What a token has used of a rate that stays is still used.
    pub fn configure(&self, settings: Settings) {
        self.0.answers.keep_for(settings.idempotency);
        self.0.signed_answers.keep_for(settings.idempotency);
        let before = self.0.rules.load();
        self.0.rules.set(Rules::new(settings, Some(&before)));
    }

    /// Ends the streams of lines, and takes no new ones.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Lets items go on that wait for others.
    pub async fn close(&self, patience: Duration) {
        self.0.items.close(patience).await;
    }

    /// `POST /v1/events`: one event or an array of them, as JSON.
    pub async fn events(
        &self,
        parts: &Parts,
        body: Incoming,
        sender: Sender<'_>,
    ) -> Result<Published, Problem> {
        let take = |body: Bytes, grant: Option<&Grant>| match read(&body, self.limits())? {
            Publish::One(event) => self.one(&event, Place::Object(&body), grant),
            Publish::Batch(events) => {
                let receipt = self.publish(&events, Place::Batch(&body), grant)?;
                let last = events.last().zip(receipt.ids.last());
                let last = last.map(|(event, id)| wire_id(event, *id));
                Ok(published_batch(events.len(), last.as_deref()))
            }
        };
        let limit = self.0.rules.load().settings.max_body;
        let published = self.once(parts, body, limit, sender, take).await?;
        self.0.hub.caught_up().await;
        Ok(published)
    }

    /// `POST /v1/channels/{channel}/events`: the body is the data, the rest stands in the query.
    pub async fn channel_event(
        &self,
        channel: ChannelName,
        parts: &Parts,
        body: Incoming,
        sender: Sender<'_>,
    ) -> Result<Published, Problem> {
        let take = |body: Bytes, grant: Option<&Grant>| {
            let pairs = query::pairs(parts.uri.query().unwrap_or_default());
            let event = from_query(channel, pairs, body, self.limits().max_event)?;
            self.one(&event, Place::Query, grant)
        };
        // The body is the data of one event, so it need not be read further than that may go.
        let rules = self.0.rules.load();
        let settings = &rules.settings;
        let limit = settings.max_body.min(settings.max_event);
        let published = self.once(parts, body, limit, sender, take).await?;
        self.0.hub.caught_up().await;
        Ok(published)
    }

    /// Publishes what a view said in the `SSE-Publish` headers of its answer: all of them, in order, or nothing. On
    /// failure the number of the mistaken header, from 1, and what is wrong there.
    pub fn headers<'h>(
        &self,
        values: impl IntoIterator<Item = &'h HeaderValue>,
    ) -> Result<(), (usize, Problem)> {
        let mut events = Vec::new();
        let mut number = 0;
        let result = values.into_iter().try_for_each(|value| {
            number += 1;
            let publish = read_header(value.as_bytes(), self.limits())?;
            self.check(
                publish.events(),
                Place::of(&publish, value.as_bytes()),
                None,
            )?;
            events.extend_from_slice(publish.events());
            if events.len() > MOST_EVENTS {
                let detail = format!("an answer has at most {MOST_EVENTS} events");
                return Err(Problem::too_large(detail));
            }
            Ok(())
        });
        let result = result.and_then(|()| self.append(&events).map(drop));
        result.map_err(|problem| {
            self.0.mistaken.inc();
            (number, problem)
        })
    }

    /// Gathers the body and takes it, unless that was done before.
    async fn once(
        &self,
        parts: &Parts,
        body: Incoming,
        limit: ByteSize,
        sender: Sender<'_>,
        take: impl FnOnce(Bytes, Option<&Grant>) -> Result<Bytes, Problem>,
    ) -> Result<Published, Problem> {
        let (body, grant, key, answers) = match sender {
            Sender::Known(grant) => {
                let key = header::key(&parts.headers);
                let key = key.map_err(|error| Problem::bad_request(error.to_string()))?;
                let key = key.map(|(header, key)| {
                    let token = grant.as_ref().map(Grant::name);
                    (header, Key::new(header.as_str(), token, key), None)
                });
                let body = gather(body, limit).await?;
                (body, grant, key, &self.0.answers)
            }
            Sender::Signed(signed, tokens) => {
                let (body, grant, until) = self.signed(&signed, tokens, body, limit).await?;
                let header = header::Header::WebhookId;
                let key = Key::new(header.as_str(), None, &signed.id);
                let key = Some((header, key, Some(until)));
                (body, Some(grant), key, &self.0.signed_answers)
            }
        };
        let Some((header, key, until)) = key else {
            return take(body, grant.as_ref()).map(|answer| Published {
                answer,
                replayed: false,
            });
        };
        let print = Print::new(parts, &body);
        match answers.begin(key, print, until) {
            Ok(Begun::Again(answer)) => Ok(Published {
                answer,
                replayed: true,
            }),
            Ok(Begun::First(ticket)) => {
                let answer = take(body, grant.as_ref())?;
                ticket.finish(answer.clone());
                Ok(Published {
                    answer,
                    replayed: false,
                })
            }
            Err(refused) => Err(refusal(refused, header)),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_event: self.0.rules.load().settings.max_event.as_len(),
            max_batch: MOST_EVENTS,
        }
    }

    fn one(
        &self,
        event: &Event,
        place: Place<'_>,
        grant: Option<&Grant>,
    ) -> Result<Bytes, Problem> {
        let receipt = self.publish(std::slice::from_ref(event), place, grant)?;
        let id = receipt.ids.first().map(|id| wire_id(event, *id));
        Ok(published_one(&id.unwrap_or_default(), receipt.streams))
    }

    fn publish(
        &self,
        events: &[Event],
        place: Place<'_>,
        grant: Option<&Grant>,
    ) -> Result<Receipt, Problem> {
        self.check(events, place, grant)?;
        self.within_rate(events.len(), grant)?;
        self.append(events)
    }

    /// Whether the token may publish them, and the log may take them.
    fn check(
        &self,
        events: &[Event],
        place: Place<'_>,
        grant: Option<&Grant>,
    ) -> Result<(), Problem> {
        for (number, event) in events.iter().enumerate() {
            let forbidden = |channel: &&ChannelName| grant.is_some_and(|g| !g.allows(channel));
            if let Some(channel) = event.channels.iter().find(forbidden) {
                let (field, whom) = if channel.is_named() {
                    ("channel", channel.to_string())
                } else {
                    ("user", "a user".to_owned())
                };
                let detail = format!("this token may not publish to {whom}");
                return Err(place.tell(Problem::forbidden(detail), number, field));
            }
            let id = event.id.as_ref();
            if id.is_some_and(|id| self.is_ours(id.as_str())) {
                let detail = "an id must not have the form of this gateway's own ids".to_owned();
                return Err(place.tell(Problem::invalid_field(detail), number, "id"));
            }
        }
        Ok(())
    }

    fn append(&self, events: &[Event]) -> Result<Receipt, Problem> {
        let published = self.0.hub.publish(events, sse::event);
        published.map_err(|error| match error {
            AppendError::TooLarge => {
                Problem::too_large("the event is larger than all of history".to_owned())
            }
        })
    }

    /// Counts so many events against the rate of the token, if it has one.
    fn within_rate(&self, events: usize, grant: Option<&Grant>) -> Result<(), Problem> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let Some((limit, events)) = self.limit(grant).zip(NonZeroU32::new(events)) else {
            return Ok(());
        };
        limit.take(events).map_err(|exceeded| match exceeded {
            Exceeded::For(pause) => Problem::too_many_requests(
                "this token has published as much as its rate allows".to_owned(),
            )
            .retry_after(whole_seconds(pause)),
            Exceeded::AtOnce(most) => Problem::too_large(format!(
                "this token may publish at most {most} events at once"
            )),
        })
    }

    fn limit(&self, grant: Option<&Grant>) -> Option<Arc<RateLimit>> {
        self.0.rules.load().rates.get(grant?.name()).cloned()
    }

    /// Whether `id` claims to be a place in this log, which a client could then not tell from one.
    fn is_ours(&self, id: &str) -> bool {
        let log = self.0.hub.log();
        EventId::parse(id).is_some_and(|id| id.epoch == log.id(log.position()).epoch)
    }
}

impl Rules {
    fn new(settings: Settings, before: Option<&Self>) -> Self {
        let limit = |(name, rate): (&String, &Rate)| {
            let known = before.and_then(|before| before.rates.get(name));
            let known = known.filter(|limit| limit.rate() == *rate);
            let limit = known.map_or_else(|| Arc::new(RateLimit::new(*rate)), Arc::clone);
            (name.clone(), limit)
        };
        Self {
            rates: settings.rates.iter().map(limit).collect(),
            settings,
        }
    }
}

fn refusal(refused: Refused, header: header::Header) -> Problem {
    let detail = format!("this {header} {refused}");
    match refused {
        Refused::Conflict => Problem::idempotency_conflict(detail),
        Refused::InProgress => Problem::idempotency_in_progress(detail)
            .with_hint(Some("send it again in a moment".to_owned())),
        Refused::Full => Problem::too_many_requests(detail),
    }
}

/// Rounded up, so that whoever waits that long has waited long enough.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

/// A whole body of at most `limit`, if it arrives in time.
pub async fn gather(body: Incoming, limit: ByteSize) -> Result<Bytes, Problem> {
    gather_within(body, limit, BODY_TIME).await
}

async fn gather_within(
    body: Incoming,
    limit: ByteSize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(format!("the body is longer than {limit}"));
    // Its length says so before any of it is there.
    if body.size_hint().lower() > limit.get() {
        return Err(too_large());
    }
    let gathered = timeout(patience, Limited::new(body, limit.as_len()).collect()).await;
    match gathered
        .map_err(|_| Problem::bad_request("the body did not arrive in time".to_owned()))?
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::bad_request("the body broke off".to_owned())),
    }
}

/// The id as listeners see it.
fn wire_id(event: &Event, own: EventId) -> String {
    let given = event.id.as_ref();
    given.map_or_else(|| own.to_string(), ToString::to_string)
}
