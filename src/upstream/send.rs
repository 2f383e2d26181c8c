//! Sending one request: choose a connection, wait for the head of the answer, try again where that is safe.
//!
//! A request of which nothing was sent goes on to the next server at once, whatever its method and whatever went wrong. Once
//! it was in vain with all, it is tried again after a pause, until `retry_for` has passed: if a connection was refused or a
//! socket is missing, as while gunicorn restarts. A request that was sent, and whose connection ended before the answer, is
//! tried again in the same way if its method is safe, and only a few times, so that one which kills its worker is not sent
//! for ever.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Response, StatusCode};
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::Upstream;
use super::answer::AnswerBody;
use super::backoff::Backoff;
use super::balance::Tried;
use super::body::RequestBody;
use super::error::UpstreamError;
use super::exchange::{Answered, Exchange};
use super::head::Head;
use super::pool::{Lease, Pool};
use super::settings::Balance;
use super::standing::Fault;
use super::vouched::{Rebuilt, Vouched};
use crate::limits::Slot;
use crate::tls::HandshakeError;
use crate::wire::{forwarded, headers};

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

impl Asking<'_> {
    /// Whose request it is. What stands in the head was vouched for: what a client says there is stripped.
    fn client(&self) -> Option<IpAddr> {
        if let Some(vouched) = self.vouched {
            return Some(vouched.forwarded.client);
        }
        let header = self.head.headers.get(&forwarded::REAL_IP)?;
        header.to_str().ok()?.parse().ok()
    }
}

/// What was in vain since the last pause.
#[derive(Debug, Default)]
struct Round {
    tried: Tried,
    /// Whether one of these failures may pass.
    may_pass: bool,
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
    /// Sends a request of the gateway's own and returns the answer once its head is there. While the upstream cannot be
    /// reached it is tried again for `retry_for`; zero means once. If the upstream was retired, its successor is sent it.
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
        self.current().tried(asking, body, retry_for).await
    }

    /// Sends a client's request in the same way, for as long as the settings say, and tells in `sent` how far it is. Also
    /// here the upstream may be a retired one: the body of a slow upload was gathered meanwhile.
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
        if let Some(successor) = self.0.successor.load_full() {
            let retry_for = successor.settings.retry_for;
            // Boxed, for it is rare.
            return Box::pin(Self(successor).tried(asking, body, retry_for)).await;
        }
        self.tried(asking, body, self.0.settings.retry_for).await
    }

    async fn tried(
        &self,
        asking: Asking<'_>,
        mut body: RequestBody,
        retry_for: Duration,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let (head, pools) = (asking.head, &*self.0.pools);
        let turn = self.turn().await?;
        let began = Instant::now();
        let mut now = began;
        let mut backoff = Backoff::new(Duration::from_millis(25), Duration::from_millis(500));
        let mut round = Round::default();
        let mut resets = 0;
        let by_client = self.0.settings.balance == Balance::ClientIp;
        let client = if by_client { asking.client() } else { None };
        loop {
            let chosen = self.0.chooser.choose(pools, round.tried, client, now);
            let (number, pool) = chosen.ok_or_else(nowhere)?;
            let copy = if head.is_safe() { body.again() } else { None };
            let failed = match self.attempt(pool, asking, body, now).await {
                Ok((answered, at)) => return Ok(self.received(answered, turn, at)),
                Err(failed) => failed,
            };
            let is_lasting = is_lasting(&failed.error);
            let next = match (&failed.error, failed.unsent) {
                (
                    UpstreamError::Connect { .. }
                    | UpstreamError::ConnectTimeout { .. }
                    | UpstreamError::Handshake { .. }
                    | UpstreamError::Reset(_),
                    Some(unsent),
                ) => Some(unsent),
                (UpstreamError::Reset(_), None)
                    if resets < MOST_RESETS && began.elapsed() < retry_for =>
                {
                    resets += 1;
                    copy
                }
                _ => None,
            };
            match next {
                Some(next) => body = next,
                None => return Err(failed.error),
            }
            round.tried.add(number);
            round.may_pass |= !is_lasting;
            if !round.tried.leaves_one(pools.len()) {
                let pause = backoff.pause();
                if !round.may_pass || began.elapsed() + pause >= retry_for {
                    return Err(failed.error);
                }
                round = Round::default();
                sleep(pause).await;
            }
            self.0.metrics.retries.inc();
            now = Instant::now();
        }
    }

    /// Waits for the request's turn, if there is a limit on those in flight.
    async fn turn(&self) -> Result<Option<Slot>, UpstreamError> {
        let Some(queue) = &self.0.queue else {
            return Ok(None);
        };
        queue.turn(self.0.settings.queue_timeout).await.map(Some)
    }

    async fn attempt(
        &self,
        pool: &Pool,
        asking: Asking<'_>,
        mut body: RequestBody,
        mut now: Instant,
    ) -> Attempt {
        let is_safe = asking.head.is_safe();
        let kept = self.0.settings.idle_reuse;
        let reuse = if is_safe { kept } else { JUST_USED.min(kept) };
        let mut copy = if is_safe { body.again() } else { None };
        let mut idle = pool.idle(reuse, kept, now);
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
                Err(failed) => {
                    if is_servers_fault(&failed.error) {
                        let now = Instant::now();
                        pool.standing()
                            .failed(Fault::Unanswered, now, &failed.error);
                    }
                    return Err(failed);
                }
                answered => return answered,
            }
        }
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
                let answered = exchange.answered(answer);
                answered.lease.pool().standing().answered(started);
                Ok((answered, now))
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
        let switched = answered.head.status == StatusCode::SWITCHING_PROTOCOLS;
        let endless = !switched && headers::is_event_stream(&answered.head.headers);
        if endless || switched {
            answered.lease.conn.probe();
        }
        let pause = (!endless).then_some(self.0.settings.response_timeout);
        AnswerBody::response(answered, pause, turn, now)
    }
}

/// There is no server at all.
fn nowhere() -> UpstreamError {
    UpstreamError::Connect {
        server: String::new(),
        source: io::ErrorKind::NotFound.into(),
    }
}

/// Whether a request without an answer counts against its server.
const fn is_servers_fault(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Reset(_)
            | UpstreamError::Invalid(_)
            | UpstreamError::Ambiguous
            | UpstreamError::ResponseTimeout
    )
}

/// Whether trying the same server again is in vain.
fn is_lasting(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Connect { source, .. } => !is_restarting(source),
        UpstreamError::Handshake {
            source: HandshakeError::Broken(source),
            ..
        } => !is_restarting(source) && source.kind() != io::ErrorKind::UnexpectedEof,
        UpstreamError::Reset(_) => false,
        _ => true,
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
