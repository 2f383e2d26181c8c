//! Taking events: read, check, append, answer. Called by `internal` for an authenticated publisher.
//!
//! All or nothing: a body with one bad event publishes none. The publisher is answered once its events are in the log,
//! and never waits for a listener.

mod settings;

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU32;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::{Duration, timeout};

use crate::domain::{ChannelName, Event, EventId};
use crate::history::AppendError;
use crate::hub::{Hub, Receipt};
use crate::limits::{Exceeded, Rate, RateLimit};
use crate::tokens::Grant;
use crate::wire::problem::{Problem, pointer};
use crate::wire::publish::{Limits, Publish, from_query, published_batch, published_one, read};
use crate::wire::sse;

pub use settings::*;

/// The most events of one batch.
const MOST_EVENTS: usize = 10_000;
/// How long a publisher may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Takes events from publishers.
#[derive(Debug)]
pub struct Publisher {
    hub: Hub,
    settings: Settings,
    /// By the name of the token.
    rates: HashMap<String, RateLimit>,
}

impl Publisher {
    /// A publisher into `hub`.
    pub fn new(hub: Hub, settings: Settings) -> Self {
        let limit = |(name, rate): (&String, &Rate)| (name.clone(), RateLimit::new(*rate));
        let rates = settings.rates.iter().map(limit).collect();
        Self {
            hub,
            settings,
            rates,
        }
    }

    /// `POST /v1/events`: one event or an array of them, as JSON. Returns the JSON of the answer.
    pub async fn events(&self, body: Incoming, grant: Option<&Grant>) -> Result<Bytes, Problem> {
        let body = self.body(body).await?;
        let limits = Limits {
            max_event: self.settings.max_event.as_len(),
            max_batch: MOST_EVENTS,
        };
        match read(&body, limits)? {
            Publish::One(event) => {
                let receipt = self.publish(std::slice::from_ref(&event), grant, false)?;
                Ok(one(&event, &receipt))
            }
            Publish::Batch(events) => {
                let receipt = self.publish(&events, grant, true)?;
                let last = events
                    .last()
                    .zip(receipt.ids.last())
                    .map(|(event, id)| wire_id(event, *id));
                Ok(published_batch(events.len(), last.as_deref()))
            }
        }
    }

    /// `POST /v1/channels/{channel}/events`: the body is the data, the rest stands in the query.
    pub async fn channel_event<'q>(
        &self,
        channel: ChannelName,
        query: impl Iterator<Item = (Cow<'q, str>, Cow<'q, str>)>,
        body: Incoming,
        grant: Option<&Grant>,
    ) -> Result<Bytes, Problem> {
        let body = self.body(body).await?;
        let event = from_query(channel, query, body, self.settings.max_event.as_len())?;
        let receipt = self.publish(std::slice::from_ref(&event), grant, false)?;
        Ok(one(&event, &receipt))
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Problem> {
        let limit = self.settings.max_body;
        let gathered = timeout(BODY_TIME, Limited::new(body, limit.as_len()).collect()).await;
        match gathered
            .map_err(|_| Problem::bad_request("the body did not arrive in time".to_owned()))?
        {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(format!(
                "the body is longer than {limit}"
            ))),
            Err(_) => Err(Problem::bad_request("the body broke off".to_owned())),
        }
    }

    fn publish(
        &self,
        events: &[Event],
        grant: Option<&Grant>,
        batch: bool,
    ) -> Result<Receipt, Problem> {
        for (number, event) in events.iter().enumerate() {
            let at = |problem: Problem, field: &str| {
                let number = number.to_string();
                problem.at(if batch {
                    pointer([number.as_str(), field])
                } else {
                    pointer([field])
                })
            };
            if let Some(channel) = event
                .channels
                .iter()
                .find(|channel| grant.is_some_and(|grant| !grant.allows(channel)))
            {
                let detail = format!("this token may not publish to {channel}");
                return Err(at(
                    Problem::forbidden(detail),
                    if event.channels.len() == 1 {
                        "channel"
                    } else {
                        "channels"
                    },
                ));
            }
            if event
                .id
                .as_ref()
                .is_some_and(|id| self.is_ours(id.as_str()))
            {
                let detail = "an id must not have the form of this gateway's own ids".to_owned();
                return Err(at(Problem::invalid_field(detail), "id"));
            }
        }
        self.within_rate(events.len(), grant)?;
        self.hub
            .publish(events, sse::event)
            .map_err(|error| match error {
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

    fn limit(&self, grant: Option<&Grant>) -> Option<&RateLimit> {
        self.rates.get(grant?.name())
    }

    /// Whether `id` claims to be a place in this log, which a client could then not tell from one.
    fn is_ours(&self, id: &str) -> bool {
        let log = self.hub.log();
        EventId::parse(id).is_some_and(|id| id.epoch == log.id(log.position()).epoch)
    }
}

/// Rounded up, so that whoever waits that long has waited long enough.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

fn one(event: &Event, receipt: &Receipt) -> Bytes {
    let id = receipt
        .ids
        .first()
        .map(|id| wire_id(event, *id))
        .unwrap_or_default();
    published_one(&id, receipt.streams)
}

/// The id as listeners see it.
fn wire_id(event: &Event, own: EventId) -> String {
    event
        .id
        .as_ref()
        .map_or_else(|| own.to_string(), ToString::to_string)
}
