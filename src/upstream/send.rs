//! Sending one request: choose a connection, wait for the head of the answer, try again where that is safe.
//!
//! Tried again, until `retry_for` has passed: a connection that was refused or whose socket is missing, for any method,
//! because nothing was sent; a connection that ended before the answer, for safe methods only, and only a few times,
//! so that a request which kills its worker is not sent for ever.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use rustix::io::Errno;
use tokio::time::{Instant, sleep, timeout};

use super::Upstream;
use super::answer::AnswerBody;
use super::backoff::Backoff;
use super::body::RequestBody;
use super::error::UpstreamError;
use super::exchange::{Answered, Exchange};
use super::head::Head;
use super::pool::{Lease, Pool};
use super::vouched::{Rebuilt, Vouched};
use crate::limits::Slot;
use crate::wire::headers;

/// How often a safe request is sent again after its connection ended before the answer.
const MOST_RESETS: u32 = 4;

/// How recently a connection must have answered to carry a request that must not be sent twice.
const JUST_USED: Duration = Duration::from_millis(100);

/// Whether a request is on its way, so that Django may be doing what it says. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Whether a server was given it and has not answered yet.
    pub fn is_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, sent: bool) {
        self.0.store(sent, Ordering::Relaxed);
    }
}

/// What is asked, and who is told how far it is.
#[derive(Debug, Clone, Copy)]
struct Asking<'a> {
    head: &'a Head,
    vouched: Option<&'a Vouched>,
    sent: Option<&'a Sent>,
}

/// A try that failed.
struct Failed {
    error: UpstreamError,
    /// The body, if no byte of the request was sent.
    unsent: Option<RequestBody>,
}

/// A try that was answered, and when.
type Attempt = Result<(Answered, Instant), Failed>;

impl Upstream {
    /// Sends a request and returns the answer once its head is there. While the upstream cannot be reached it is tried
    /// again for `retry_for`; zero means once.
    pub async fn send(
        &self,
        head: &Head,
        body: RequestBody,
        retry_for: Duration,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let asking = Asking {
            head,
            vouched: None,
            sent: None,
        };
        self.tried(asking, body, retry_for).await
    }

    /// Sends a client's request in the same way, for as long as the settings say, and tells in `sent` how far it is.
    pub async fn send_rebuilt(
        &self,
        request: &Rebuilt,
        body: RequestBody,
        sent: Option<&Sent>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let asking = Asking {
            head: &request.head,
            vouched: request.vouched.as_ref(),
            sent,
        };
        self.tried(asking, body, self.0.settings.retry_for).await
    }

    async fn tried(
        &self,
        asking: Asking<'_>,
        mut body: RequestBody,
        retry_for: Duration,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let head = asking.head;
        let turn = self.turn().await?;
        let began = Instant::now();
        let mut now = began;
        let mut backoff = Backoff::new(Duration::from_millis(25), Duration::from_millis(500));
        let mut resets = 0;
        loop {
            let copy = if head.is_safe() { body.again() } else { None };
            let failed = match self.attempt(asking, body, now).await {
                Ok((answered, at)) => return Ok(self.received(answered, turn, at)),
                Err(failed) => failed,
            };
            let next = match (&failed.error, failed.unsent) {
                (UpstreamError::Connect { source, .. }, Some(unsent)) if is_restarting(source) => {
                    Some(unsent)
                }
                (UpstreamError::Reset(_), Some(unsent)) => Some(unsent),
                (UpstreamError::Reset(_), None) if resets < MOST_RESETS => {
                    resets += 1;
                    copy
                }
                _ => None,
            };
            let pause = backoff.pause();
            match next {
                Some(next) if began.elapsed() + pause < retry_for => body = next,
                _ => return Err(failed.error),
            }
            self.0.metrics.retries.inc();
            sleep(pause).await;
            now = Instant::now();
        }
    }

    /// Waits for the request's turn, if there is a limit on those in flight.
    async fn turn(&self) -> Result<Option<Slot>, UpstreamError> {
        let Some(turns) = &self.0.turns else {
            return Ok(None);
        };
        // Who waits is served in order: a place is free only while nobody does.
        if let Some(turn) = turns.take() {
            return Ok(Some(turn));
        }
        let turn = timeout(self.0.settings.queue_timeout, turns.wait()).await;
        turn.map(Some).map_err(|_| UpstreamError::Queue)
    }

    async fn attempt(
        &self,
        asking: Asking<'_>,
        mut body: RequestBody,
        mut now: Instant,
    ) -> Attempt {
        let Some(pool) = self.choose() else {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(Failed {
                error: UpstreamError::Connect {
                    server: String::new(),
                    source,
                },
                unsent: None,
            });
        };
        let is_safe = asking.head.is_safe();
        let reuse = if is_safe {
            self.0.settings.idle_reuse
        } else {
            JUST_USED.min(self.0.settings.idle_reuse)
        };
        let mut copy = if is_safe { body.again() } else { None };
        let mut idle = pool.idle(reuse, now);
        loop {
            let was_idle = idle.is_some();
            let lease = match idle.take() {
                Some(lease) => lease,
                // Boxed, for it is rare, and larger than all the rest.
                None => match Box::pin(self.connect(pool)).await {
                    Ok(lease) => {
                        now = Instant::now();
                        lease
                    }
                    Err(error) => {
                        let unsent = Some(body);
                        return Err(Failed { error, unsent });
                    }
                },
            };
            match self.exchange(lease, asking, body, now).await {
                // The server closed an idle connection in the same moment: that says nothing about the server.
                Err(Failed {
                    error: UpstreamError::Reset(error),
                    unsent,
                }) if was_idle => match unsent.or_else(|| copy.take()) {
                    Some(again) => body = again,
                    None => {
                        return Err(Failed {
                            error: UpstreamError::Reset(error),
                            unsent: None,
                        });
                    }
                },
                done => return done,
            }
        }
    }

    /// A server that is not avoided, of those the one with the fewest requests in flight; ties take turns.
    fn choose(&self) -> Option<&Pool> {
        let pools = &self.0.pools;
        if let [only] = &**pools {
            return Some(only);
        }
        let first = self.0.next.fetch_add(1, Ordering::Relaxed) % pools.len().max(1);
        let (before, after) = pools.split_at_checked(first)?;
        after
            .iter()
            .chain(before)
            .min_by_key(|pool| (pool.is_avoided(), pool.in_flight()))
    }

    async fn connect(&self, pool: &Pool) -> Result<Lease, UpstreamError> {
        let lease = pool
            .connect(self.0.settings.connect_timeout, &self.0.open)
            .await?;
        self.0.metrics.connects.inc();
        Ok(lease)
    }

    async fn exchange(
        &self,
        lease: Lease,
        asking: Asking<'_>,
        body: RequestBody,
        started: Instant,
    ) -> Attempt {
        let Asking {
            head,
            vouched,
            sent,
        } = asking;
        let patience = self.0.settings.response_timeout;
        let mut exchange = Exchange::new(lease, head, vouched, body, started, patience);
        let tell = |on_its_way| {
            if let Some(sent) = sent {
                sent.set(on_its_way);
            }
        };
        tell(true);
        let answer = poll_fn(|cx| exchange.poll(cx)).await;
        tell(false);
        match answer {
            Ok(answer) => {
                let now = Instant::now();
                let seconds = now.saturating_duration_since(started).as_secs_f64();
                self.0.metrics.seconds.observe(seconds);
                Ok((exchange.answered(answer), now))
            }
            Err(error) => {
                let unsent = exchange.unsent();
                Err(Failed { error, unsent })
            }
        }
    }

    fn received(
        &self,
        answered: Answered,
        turn: Option<Slot>,
        now: Instant,
    ) -> Response<AnswerBody> {
        let endless = headers::is_event_stream(&answered.head.headers);
        let pause = (!endless).then_some(self.0.settings.response_timeout);
        AnswerBody::response(answered, pause, turn, now)
    }
}

/// What it looks like while gunicorn restarts: nobody listens, the socket is not there yet, or its backlog is full. We
/// ourselves may be out of descriptors for a moment.
fn is_restarting(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, WouldBlock,
    };
    let descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|code| descriptors.contains(&code))
        || matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | NotFound | WouldBlock
        )
}
