//! Sending one request: choose a connection, wait for the head of the answer, try again where that is safe.
//!
//! Tried again, until `retry_for` has passed: a connection that was refused or whose socket is missing, for any method,
//! because nothing was sent; a connection that ended before the answer, for safe methods only, and only a few times,
//! so that a request which kills its worker is not sent for ever.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use hyper::body::Incoming;
use rustix::io::Errno;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Upstream;
use super::answer::AnswerBody;
use super::backoff::Backoff;
use super::body::{Progress, RequestBody};
use super::error::{RequestBodyError, UpstreamError};
use super::head::Head;
use super::pool::{Lease, Pool};
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

/// A try that failed.
struct Failed {
    error: UpstreamError,
    /// The body, if no byte of the request was sent.
    unsent: Option<RequestBody>,
}

impl Upstream {
    /// Sends a request and returns the answer once its head is there. While the upstream cannot be reached it is tried
    /// again for `retry_for`; zero means once.
    pub async fn send(
        &self,
        head: &Head,
        body: RequestBody,
        retry_for: Duration,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        self.send_told(head, body, retry_for, &Sent::default())
            .await
    }

    /// The same, and tells in `sent` how far it is.
    pub async fn send_told(
        &self,
        head: &Head,
        mut body: RequestBody,
        retry_for: Duration,
        sent: &Sent,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let turn = self.turn().await?;
        let until = Instant::now() + retry_for;
        let mut backoff = Backoff::new(Duration::from_millis(25), Duration::from_millis(500));
        let mut resets = 0;
        loop {
            let copy = if head.is_safe() { body.again() } else { None };
            let failed = match self.attempt(head, body, sent).await {
                Ok(response) => return Ok(response.map(|body| body.with_turn(turn))),
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
                Some(next) if Instant::now() + pause < until => body = next,
                _ => return Err(failed.error),
            }
            self.0.metrics.retries.inc();
            sleep(pause).await;
        }
    }

    /// Waits for the request's turn, if there is a limit on those in flight.
    async fn turn(&self) -> Result<Option<Slot>, UpstreamError> {
        let Some(turns) = &self.0.turns else {
            return Ok(None);
        };
        let turn = timeout(self.0.settings.queue_timeout, turns.wait()).await;
        turn.map(Some).map_err(|_| UpstreamError::Queue)
    }

    async fn attempt(
        &self,
        head: &Head,
        body: RequestBody,
        sent: &Sent,
    ) -> Result<Response<AnswerBody>, Failed> {
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
        let reuse = if head.is_safe() {
            self.0.settings.idle_reuse
        } else {
            JUST_USED.min(self.0.settings.idle_reuse)
        };
        let mut body = body;
        if let Some(lease) = pool.idle(reuse) {
            let copy = if head.is_safe() { body.again() } else { None };
            match self.exchange(lease, head, body, sent).await {
                Err(Failed {
                    error: UpstreamError::Reset(error),
                    unsent,
                }) => match unsent.or(copy) {
                    // The server closed an idle connection in the same moment: that says nothing about the server.
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
        match self.connect(pool).await {
            Ok(lease) => self.exchange(lease, head, body, sent).await,
            Err(error) => Err(Failed {
                error,
                unsent: Some(body),
            }),
        }
    }

    /// A server that is not avoided, of those the one with the fewest requests in flight; ties take turns.
    fn choose(&self) -> Option<&Pool> {
        let pools = &self.0.pools;
        let first = self.0.next.fetch_add(1, Ordering::Relaxed) % pools.len().max(1);
        let (before, after) = pools.split_at_checked(first)?;
        after
            .iter()
            .chain(before)
            .min_by_key(|pool| (pool.is_avoided(), pool.in_flight()))
    }

    async fn connect(&self, pool: &Pool) -> Result<Lease, UpstreamError> {
        let lease = pool
            .connect(self.0.settings.connect_timeout, &self.0.drivers)
            .await?;
        self.0.metrics.connects.inc();
        Ok(lease)
    }

    async fn exchange(
        &self,
        mut lease: Lease,
        head: &Head,
        body: RequestBody,
        sent: &Sent,
    ) -> Result<Response<AnswerBody>, Failed> {
        let started = Instant::now();
        let progress = body.progress();
        sent.set(true);
        let answer = lease.sender.try_send_request(head.request(body));
        let answer = self.in_time(answer, &progress).await;
        sent.set(false);
        let Some(answer) = answer else {
            return Err(Failed {
                error: UpstreamError::ResponseTimeout,
                unsent: None,
            });
        };
        let response = answer.map_err(|mut error| {
            let unsent = error.take_message().map(http::Request::into_body);
            Failed {
                error: classify(error.into_error()),
                unsent,
            }
        })?;
        self.0
            .metrics
            .seconds
            .observe(started.elapsed().as_secs_f64());
        if is_ambiguous(response.headers()) {
            return Err(Failed {
                error: UpstreamError::Ambiguous,
                unsent: None,
            });
        }
        Ok(self.received(response, lease))
    }

    /// Waits for the answer for `response_timeout`, counted from the last move of the request's body.
    async fn in_time<T>(&self, answer: impl Future<Output = T>, progress: &Progress) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let deadline = progress.last() + self.0.settings.response_timeout;
            match timeout_at(deadline, answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_) if progress.last() + self.0.settings.response_timeout > deadline => {}
                Err(_) => return None,
            }
        }
    }

    fn received(&self, response: Response<Incoming>, lease: Lease) -> Response<AnswerBody> {
        let endless = headers::is_event_stream(response.headers());
        let pause = (!endless).then_some(self.0.settings.response_timeout);
        let status = response.status();
        response.map(|incoming| AnswerBody::new(status, incoming, lease, pause))
    }
}

/// Whether the body could be read in two ways (RFC 9112, section 6.1); hyper reads it in one, the client might in the other.
fn is_ambiguous(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return false;
    };
    let chunked = coding
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(b"chunked");
    !chunked || codings.next().is_some() || headers.contains_key(CONTENT_LENGTH)
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

fn classify(error: hyper::Error) -> UpstreamError {
    let ours = error
        .source()
        .and_then(|source| source.downcast_ref::<RequestBodyError>());
    if let Some(ours) = ours {
        return UpstreamError::RequestBody(ours.fault());
    }
    if error.is_parse() {
        UpstreamError::Invalid(error)
    } else {
        UpstreamError::Reset(error)
    }
}
