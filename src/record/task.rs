//! The life of one recording, from its first byte until it is forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::key::Key;
use super::reader::{Outcome, Reader};
use super::table::{Recording, Recordings};
use crate::base::metrics::{Counted, CounterBy};
use crate::base::sync::lock;
use crate::history::Log;
use crate::limits::Slot;
use crate::upstream::AnswerBody;

/// All that a recording is made with.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) key: Key,
    pub(super) recording: Arc<Recording>,
    pub(super) reader: Reader,
    pub(super) linger: Duration,
    pub(super) recordings: Recordings,
    pub(super) log: Log,
    pub(super) ended: CounterBy,
    pub(super) _slot: Slot,
    pub(super) _open: Counted,
}

impl Task {
    /// Records, ends and forgets; or is stopped with the gateway, whose log ends as well.
    pub(super) async fn run(mut self, body: AnswerBody, stop: CancellationToken) {
        let life = stop.run_until_cancelled(self.live(body)).await;
        let reason = life.unwrap_or("stopped");
        self.ended.get_or_create(&[("reason", reason)]).inc();
    }

    async fn live(&mut self, body: AnswerBody) -> &'static str {
        let Self {
            key,
            recording,
            reader,
            linger,
            recordings,
            ..
        } = self;
        let left = async {
            loop {
                recording.presence.empty_for(*linger).await;
                if recordings.remove_if_left(key, recording) {
                    return;
                }
            }
        };
        // Who comes back in the very moment finds it or does not; there is no third, so the order does not matter.
        let outcome = tokio::select! {
            biased;
            outcome = reader.run(body) => Some(outcome),
            () = left => None,
        };
        let reason = match outcome {
            Some(outcome) if outcome == Outcome::Ended || key.is_of_post() => {
                let reason = outcome.as_str();
                if outcome != Outcome::Ended {
                    reader.tell_broken();
                }
                lock(&recording.state).end = reader.close();
                let displaced = &recording.displaced;
                displaced.run_until_cancelled(sleep(*linger)).await;
                recordings.remove(key, recording);
                reason
            }
            Some(outcome) => {
                // Who comes back begins a new one: the close must not be taken for the view's own.
                recordings.remove(key, recording);
                reader.close();
                outcome.as_str()
            }
            None => "left",
        };
        // Slow viewers get the rest.
        recording.presence.empty_for(Duration::ZERO).await;
        self.log.forget(&recording.channel);
        reason
    }
}
