//! One connection that is subscribed to everything, from the first confirmation to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream as _;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::task::{unconstrained, yield_now};
use tokio::time::{sleep, timeout};

use super::Settings;
use super::dial::dial;
use super::error::Lost;
use super::paced::Tap;
use super::rules::Rules;

/// The most messages that are published at once. A stream is given twice as many before others have their turn, so one that
/// reads is not behind by it.
const MOST: usize = 64;

/// A subscribed connection.
pub(super) struct Session {
    messages: Messages,
    pulse: Pulse,
}

/// The messages on it.
pub(super) struct Messages {
    stream: PubSubStream,
    tap: Tap,
}

/// Whether the other end is still there.
pub(super) struct Pulse {
    sink: PubSubSink,
    tap: Tap,
    every: Duration,
}

impl Session {
    /// Connects and subscribes to what the rules name. What is published from then on is heard.
    pub(super) async fn open(settings: &Settings, rules: &Rules) -> Result<Self, Lost> {
        let (mut pubsub, tap) = dial(settings).await?;
        let (names, patterns) = (rules.names(), rules.patterns());
        let subscribed = async {
            if !names.is_empty() {
                pubsub.subscribe(&names).await?;
            }
            if !patterns.is_empty() {
                pubsub.psubscribe(&patterns).await?;
            }
            Ok::<_, Lost>(())
        };
        timeout(settings.patience, subscribed)
            .await
            .unwrap_or(Err(Lost::Late(settings.patience)))?;
        let (sink, stream) = pubsub.split();
        Ok(Self {
            messages: Messages {
                stream,
                tap: tap.clone(),
            },
            pulse: Pulse {
                sink,
                tap,
                every: settings.pulse,
            },
        })
    }

    pub(super) fn split(self) -> (Messages, Pulse) {
        (self.messages, self.pulse)
    }
}

impl Messages {
    /// The next messages, at least one: all that are there, up to a bound.
    pub(super) async fn next(&mut self) -> Result<Vec<Msg>, Lost> {
        // So that others have their turn, whatever comes.
        yield_now().await;
        let mut taken = Vec::new();
        // The runtime answers "not now" also to a task that has taken much, and here that must mean that nothing is left.
        let next = poll_fn(|cx| {
            while taken.len() < MOST {
                match Pin::new(&mut self.stream).poll_next(cx) {
                    Poll::Ready(Some(message)) => {
                        self.tap.took();
                        taken.push(message);
                    }
                    Poll::Ready(None) if taken.is_empty() => {
                        let overrun = self.tap.is_overrun();
                        return Poll::Ready(Err(if overrun { Lost::Overrun } else { Lost::Ended }));
                    }
                    Poll::Ready(None) => break,
                    Poll::Pending => {
                        self.tap.open(cx.waker());
                        if taken.is_empty() {
                            return Poll::Pending;
                        }
                        break;
                    }
                }
            }
            Poll::Ready(Ok(std::mem::take(&mut taken)))
        });
        unconstrained(next).await
    }
}

impl Pulse {
    /// Asks again and again whether Redis is there, and comes back once it is not.
    pub(super) async fn lost(mut self) -> Lost {
        loop {
            sleep(self.every).await;
            // The answer waits behind the messages before it, so any message is as good.
            match timeout(self.every, self.sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => {
                    let silent = self.tap.heard().elapsed();
                    if silent >= self.every {
                        return Lost::Silent(silent);
                    }
                }
            }
        }
    }
}
