//! A stream of events, one on each line (NDJSON): each is published as soon as its line has ended, over one request that
//! may last for hours.
//!
//! Bounds: one line and one piece of the body in memory; the pause between two pieces; how many such requests there are;
//! the channels that are watched for an audience. A publisher over its rate is not read from for a while.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Mutex;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};

use super::{Place, Publisher, duration, header, query, wire_id};
use crate::base::sync::lock;
use crate::domain::{ChannelName, Event};
use crate::hub::Receipt;
use crate::limits::Exceeded;
use crate::tokens::Grant;
use crate::wire::problem::Problem;
use crate::wire::publish::ndjson::{
    Lines, is_blank, longest_line, published_lines, read_line, stop_when_alone,
};

/// The most channels of one request that ends when nobody listens to them.
const MOST_WATCHED: usize = 1024;
/// How often an audience is looked for: four times in the patience, at least so often.
const LOOKS: Duration = Duration::from_secs(1);

/// How far a request has come.
#[derive(Debug, Default)]
struct Progress {
    /// Lines that were taken, blank ones included.
    lines: u64,
    published: u64,
    last_id: Option<String>,
    /// Where it has published to; empty if nobody watches.
    channels: HashSet<ChannelName>,
    /// When somebody was last seen to listen, or the first event was published.
    heard: Option<Instant>,
}

impl Progress {
    fn answer(&self, stopped: Option<&str>) -> Bytes {
        published_lines(self.published, self.last_id.as_deref(), stopped)
    }

    /// The problem, in the first line that was not taken.
    const fn at(&self, problem: Problem) -> Problem {
        problem.in_line(self.lines + 1, self.published)
    }

    fn note(&mut self, event: &Event, receipt: &Receipt) {
        self.published += 1;
        self.last_id = receipt.ids.first().map(|id| wire_id(event, *id));
        if self.heard.is_none() || receipt.streams > 0 {
            self.heard = Some(Instant::now());
        }
    }
}

impl Publisher {
    /// `POST /v1/events` with a body of lines. Answers at the end of the body, or earlier: at the first bad line, after
    /// too long a pause, when the gateway stops, or when nobody has listened for as long as the query says.
    pub async fn lines(
        &self,
        parts: &Parts,
        body: Incoming,
        grant: Option<&Grant>,
    ) -> Result<Bytes, Problem> {
        if parts.headers.contains_key(header::KEY) {
            let detail = "an Idempotency-Key cannot name a stream of lines, for two of them cannot be compared";
            return Err(Problem::bad_request(detail.to_owned()));
        }
        let pairs = query::pairs(parts.uri.query().unwrap_or_default());
        let patience = stop_when_alone(pairs)?;
        let _slot = self.0.lines.take().ok_or_else(|| {
            Problem::too_many_requests("too many streams of lines are open".to_owned())
        })?;
        let progress = Mutex::new(Progress::default());
        tokio::select! {
            // The end of the gateway first, for there is always one more line; reading before looking who listens, for
            // a line may bring them.
            biased;
            () = self.0.stopping.cancelled() => Err(lock(&progress).at(Problem::stopping())),
            read = self.read(body, grant, patience.is_some(), &progress) => {
                let progress = lock(&progress);
                read.map(|()| progress.answer(None)).map_err(|problem| progress.at(problem))
            }
            () = self.alone(patience, &progress) => Ok(lock(&progress).answer(Some("alone"))),
        }
    }

    async fn read(
        &self,
        mut body: Incoming,
        grant: Option<&Grant>,
        watched: bool,
        progress: &Mutex<Progress>,
    ) -> Result<(), Problem> {
        let idle = self.0.rules.load().settings.ndjson_idle;
        let mut lines = Lines::new(longest_line(self.limits().max_event));
        // A pause that the rate made is none of the publisher's: the time begins when the next piece is asked for.
        while let Some(frame) = timeout(idle, body.frame())
            .await
            .map_err(|_| too_slow(idle))?
        {
            let frame = frame.map_err(|_| Problem::bad_request("the body broke off".to_owned()))?;
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            lines.feed(piece);
            let too_long = |error: crate::wire::publish::ndjson::LineTooLong| {
                Problem::too_large(error.to_string())
            };
            while let Some(line) = lines.line().map_err(too_long)? {
                self.line(&line, grant, watched, progress).await?;
                lock(progress).lines += 1;
                self.0.hub.caught_up().await;
            }
        }
        self.line(&lines.last(), grant, watched, progress).await
    }

    async fn line(
        &self,
        line: &[u8],
        grant: Option<&Grant>,
        watched: bool,
        progress: &Mutex<Progress>,
    ) -> Result<(), Problem> {
        if is_blank(line) {
            return Ok(());
        }
        let event = read_line(line, self.limits().max_event)?;
        let event = std::slice::from_ref(&event);
        self.check(event, Place::Object(line), grant)?;
        self.turn(grant).await;
        if watched {
            watch(event, &mut lock(progress).channels)?;
        }
        let receipt = self.append(event)?;
        if let [event] = event {
            lock(progress).note(event, &receipt);
        }
        Ok(())
    }

    /// Waits until the rate of the token has room for one event.
    async fn turn(&self, grant: Option<&Grant>) {
        let Some(limit) = self.limit(grant) else {
            return;
        };
        while let Err(Exceeded::For(pause)) = limit.take(NonZeroU32::MIN) {
            sleep(pause).await;
        }
    }

    /// Waits until nobody has listened for `patience`, or for ever.
    async fn alone(&self, patience: Option<Duration>, progress: &Mutex<Progress>) {
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        let mut looks = interval((patience / 4).min(LOOKS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            // The hub has a lock of its own.
            let channels: Vec<_> = lock(progress).channels.iter().cloned().collect();
            let heard = self.0.hub.has_audience(&channels);
            let mut progress = lock(progress);
            match progress.heard {
                Some(_) if heard => progress.heard = Some(Instant::now()),
                Some(last) if last.elapsed() >= patience => return,
                Some(_) | None => {}
            }
        }
    }
}

fn watch(events: &[Event], channels: &mut HashSet<ChannelName>) -> Result<(), Problem> {
    let new = events.iter().flat_map(|event| &event.channels);
    let new: Vec<_> = new.filter(|channel| !channels.contains(*channel)).collect();
    if channels.len() + new.len() > MOST_WATCHED {
        let detail =
            format!("a request with stop_when_alone publishes to at most {MOST_WATCHED} channels");
        return Err(Problem::invalid_field(detail));
    }
    channels.extend(new.into_iter().cloned());
    Ok(())
}

fn too_slow(idle: Duration) -> Problem {
    let idle = duration::text(idle);
    Problem::request_timeout(format!("nothing came for {idle}"))
}
