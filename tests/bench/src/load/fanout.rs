//! Listeners on channels, publishers to them, and every delivery checked and timed.
//!
//! Two ways of publishing. As fast as they are answered: the time of a delivery counts from when its publish was sent. At a
//! rate: the times are fixed beforehand and count even if no publisher is free then, so that a server that stalls cannot
//! make the stall invisible (no coordinated omission).

use serde_json::json;

use super::listener::Listener;
use super::publishers::Publishers;
use super::tally::Tally;
use super::{BUFFER, Crowd, Progress, Streams, per_second};
use crate::arguments::FanoutOptions;
use crate::clock::{self, SECOND};
use crate::error::Error;
use crate::net::Poll;
use crate::output::{say, wait_for_end, wait_for_line};

/// How long publishers may wait for answers before the run is given up.
const PATIENCE: u64 = 60;

/// When to publish.
#[derive(Debug)]
struct Schedule {
    began: u64,
    end: u64,
    most: u32,
    /// Nanoseconds between publishes.
    interval: Option<f64>,
    /// Whether each publish waits for the deliveries of the last.
    in_turn: bool,
    sent: u32,
}

impl Schedule {
    fn new(options: &FanoutOptions) -> Self {
        let began = clock::now();
        Self {
            began,
            end: began + clock::nanoseconds(options.seconds),
            most: options.publishes.unwrap_or(u32::MAX),
            interval: options.rate.map(|rate| 1e9 / rate),
            in_turn: options.in_turn,
            sent: 0,
        }
    }

    /// When the next publish is due; `None` once all are sent.
    fn due(&self, now: u64) -> Option<u64> {
        let due = match self.interval {
            None => now,
            Some(interval) => {
                self.began + clock::nanoseconds(f64::from(self.sent) * interval / 1e9)
            }
        };
        (due < self.end && self.sent < self.most).then_some(due)
    }

    /// Publishes what is due.
    fn publish(
        &mut self,
        publishers: &mut Publishers,
        poll: &Poll,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        while publishers.any_idle() && (!self.in_turn || tally.complete()) {
            let now = clock::now();
            match self.due(now) {
                Some(due) if due <= now => publishers.publish(due, poll, tally)?,
                _ => break,
            }
            self.sent += 1;
        }
        Ok(())
    }

    /// For how many milliseconds nothing is to be done. The last millisecond is waited for awake.
    fn pause(&self, publishers: &Publishers) -> u64 {
        let now = clock::now();
        match self.due(now) {
            Some(due) if self.interval.is_some() && publishers.any_idle() => {
                due.saturating_sub(now) / 1_000_000
            }
            _ => 50,
        }
    }
}

/// Opens the listeners, publishes, and waits until all is delivered.
pub fn fanout(options: &FanoutOptions) -> Result<(), Error> {
    let streams = Streams::new(&options.streams)?;
    let (mut poll, mut buffer) = (Poll::new()?, vec![0; BUFFER]);
    let crowd = Crowd {
        size: options.streams.streams,
        at_once: options.streams.at_once,
        tolerate: options.streams.tolerate,
        keep: true,
    };
    let opened = crowd.open(&mut poll, &mut buffer, |stream| {
        Listener::start(&streams, stream)
    })?;
    let mut listeners = opened.conns;
    let mut publishers = Publishers::connect(options, streams.channels, &poll, listeners.len())?;
    say(&json!({
        "state": "open",
        "streams": listeners.len(),
        "failed": opened.failed,
        "connects_per_s": per_second(listeners.len() as u64, opened.nanoseconds),
    }));
    if options.wait {
        wait_for_line();
    }
    let mut tally = Tally::new(listeners.len(), streams.channels, publishers.slots);
    let (mut schedule, watch) = (Schedule::new(options), clock::Watch::start());
    run(
        options,
        &mut schedule,
        &mut poll,
        &mut listeners,
        &mut publishers,
        &mut tally,
        &mut buffer,
    )?;
    let mut result = tally.json();
    let began = schedule.began;
    result["busy"] = watch.busy().into();
    result["state"] = "done".into();
    result["publishes"] = publishers.answered.into();
    result["publishes_per_s"] =
        per_second(publishers.answered, publishers.latest.saturating_sub(began)).into();
    result["seconds"] = clock::seconds(tally.latest.saturating_sub(began)).into();
    result["deliveries_per_s"] =
        per_second(tally.deliveries, tally.latest.saturating_sub(began)).into();
    result["answer"] = publishers.json();
    say(&result);
    if options.wait {
        wait_for_end();
    }
    Ok(())
}

fn run(
    options: &FanoutOptions,
    schedule: &mut Schedule,
    poll: &mut Poll,
    listeners: &mut [Option<Listener>],
    publishers: &mut Publishers,
    tally: &mut Tally,
    buffer: &mut [u8],
) -> Result<(), Error> {
    let patience = clock::nanoseconds(options.patience);
    loop {
        schedule.publish(publishers, poll, tally)?;
        let now = clock::now();
        let latest = tally.latest.max(publishers.latest).max(schedule.began);
        if schedule.due(now).is_none()
            && publishers.all_idle()
            && (tally.complete() || now.saturating_sub(latest) > patience)
        {
            return Ok(());
        }
        if !publishers.all_idle() && now.saturating_sub(latest) > PATIENCE * SECOND {
            let done = usize::try_from(publishers.answered).unwrap_or(0);
            return Err(Error::Stalled {
                what: "publishing",
                seconds: PATIENCE,
                done,
                all: done + 1,
            });
        }
        for at in 0..poll.wait(Some(schedule.pause(publishers)))? {
            let (number, _) = poll.ready(at);
            if let Some(publisher) = number.checked_sub(listeners.len()) {
                publishers.ready(publisher, poll, buffer)?;
                schedule.publish(publishers, poll, tally)?;
            } else if let Some(listener) = &mut listeners[number] {
                let progress = listener.receive(buffer, options.size, |stamp, now| {
                    tally.delivered(number, stamp, now)
                })?;
                if progress == Progress::Closed {
                    listeners[number] = None;
                    tally.disconnected += 1;
                }
            }
        }
    }
}
