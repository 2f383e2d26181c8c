//! The task: connect, subscribe, publish what comes, until the connection is lost; and again.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use redis::Msg;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::error::Lost;
use super::rules::{Dropped, Heard, Rules};
use super::session::{Messages, Session};
use super::settings::Settings;
use crate::base::metrics::{Counted, Registry};
use crate::domain::{ChannelPattern, Event};
use crate::hub::Hub;
use crate::upstream::Backoff;
use crate::wire::sse;

/// The task's own.
pub(super) struct Listening {
    settings: Settings,
    rules: Rules,
    /// What fits the channels of the rules.
    reach: Vec<ChannelPattern>,
    hub: Hub,
    connected: Gauge,
    messages: Counter,
    reconnects: Counter,
}

/// What the log has been told of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    There,
    Away,
}

impl Listening {
    pub(super) fn new(settings: Settings, hub: Hub, registry: &Registry) -> Self {
        let rules = Rules::new(&settings, registry);
        Self {
            reach: rules.reach(),
            rules,
            settings,
            hub,
            connected: registry.gauge("redis_connected", "Whether Redis is listened to now"),
            messages: registry.counter("redis_messages", "Messages heard on Redis"),
            reconnects: registry.counter("redis_reconnects", "Subscriptions after a lost one"),
        }
    }

    pub(super) async fn run(self, stop: CancellationToken) {
        let (first, longest) = self.settings.pauses;
        let mut backoff = Backoff::new(first, longest);
        let mut told = Told::Nothing;
        let mut sessions: u64 = 0;
        loop {
            let opened = Session::open(&self.settings, &self.rules);
            let lost = match stop.run_until_cancelled(opened).await {
                None => return,
                Some(Err(lost)) => lost,
                Some(Ok(session)) => {
                    if sessions > 0 {
                        self.reconnects.inc();
                    }
                    sessions += 1;
                    told = self.say_there(told);
                    let began = Instant::now();
                    let Some(lost) = self.listen(session, &stop).await else {
                        return;
                    };
                    // One that lets us in and throws us out again is not to be tried without end.
                    if began.elapsed() >= longest {
                        backoff = Backoff::new(first, longest);
                    }
                    lost
                }
            };
            if told != Told::Away {
                told = Told::Away;
                tracing::warn!(
                    redis.address = %self.settings.address,
                    error = &lost as &dyn std::error::Error,
                    hint = lost.hint(),
                    "Redis is away"
                );
            }
            let pause = sleep(backoff.pause());
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    fn say_there(&self, told: Told) -> Told {
        let address = &self.settings.address;
        match told {
            Told::Nothing => tracing::info!(redis.address = %address, "Listening to Redis"),
            Told::There | Told::Away => {
                tracing::info!(redis.address = %address, "Redis is back");
            }
        }
        Told::There
    }

    /// Publishes what comes until the connection is lost; `None` if it is to stop.
    async fn listen(&self, session: Session, stop: &CancellationToken) -> Option<Lost> {
        let _connected = Counted::new(&self.connected);
        // Before any message of this connection: what came before it is lost, and what comes after it is not.
        self.hub.doubt(&self.reach);
        let (messages, pulse) = session.split();
        tokio::select! {
            // What Redis has said already is published before anything else counts.
            biased;
            lost = self.publish_all(messages) => Some(lost),
            lost = pulse.lost() => Some(lost),
            () = stop.cancelled() => None,
        }
    }

    async fn publish_all(&self, mut messages: Messages) -> Lost {
        loop {
            let batch = match messages.next().await {
                Ok(batch) => batch,
                Err(lost) => return lost,
            };
            self.messages.inc_by(batch.len() as u64);
            let mut events = Vec::with_capacity(batch.len());
            for message in &batch {
                self.take(message, &mut events);
            }
            drop(batch);
            self.publish(&events);
            self.hub.caught_up().await;
        }
    }

    fn take(&self, message: &Msg, events: &mut Vec<Event>) {
        let channel: Vec<u8> = message.get_channel().unwrap_or_default();
        let pattern: Option<Vec<u8>> = message.get_pattern().unwrap_or_default();
        let heard = Heard {
            pattern: pattern.as_deref(),
            channel: &channel,
            payload: message.get_payload_bytes(),
        };
        self.rules.take(heard, events);
    }

    /// All at once; where one of them is larger than all history may be, each by itself.
    fn publish(&self, events: &[Event]) {
        if events.is_empty() || self.hub.publish(events, sse::event).is_ok() {
            return;
        }
        for event in events {
            if self
                .hub
                .publish(std::slice::from_ref(event), sse::event)
                .is_err()
            {
                self.rules.drop_one(Dropped::TooLarge, None);
            }
        }
    }
}
