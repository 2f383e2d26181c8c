//! Whether a server is well, from what its requests and its health checks tell.
//!
//! Two things put a server out. Requests do: one that could not connect at once, three in a row that got no answer; it is out
//! for a pause that grows, after which one request is the trial that lets it back or not. And checks do, if there are any,
//! until as many as the settings say are passed. Answers of any status are answers: a page that fails says nothing about a
//! server. While all servers are out, all are tried.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::settings::Health;
use crate::base::metrics::Counted;
use crate::base::sync::lock;

/// Requests in a row without an answer that put a server out.
const FAILS: u32 = 3;
/// How long it is out at first.
const FIRST: Duration = Duration::from_secs(1);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(10);

/// What is known of one server.
#[derive(Debug)]
pub(super) struct Standing {
    upstream: String,
    server: String,
    /// How many are well.
    well: Gauge,
    /// Whether there is anything to forgive: else an answer changes nothing, and takes no lock.
    is_troubled: AtomicBool,
    is_out: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests in a row that got no answer.
    fails: u32,
    /// Since when requests keep it out, and until when.
    out: Option<Out>,
    /// Checks in a row that were not passed, and that were.
    checks: (u32, u32),
    /// Whether checks keep it out.
    is_down: bool,
    /// One of those that are well.
    well: Option<Counted>,
    /// Nothing is counted any more.
    is_retired: bool,
}

#[derive(Debug)]
struct Out {
    since: Instant,
    /// When the next request is a trial.
    trial: Instant,
    pauses: Backoff,
}

/// How bad it was that a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection: others need not find that out as well.
    Unreachable,
    /// No answer on a connection, which may be this request's fault.
    Unanswered,
}

impl Standing {
    /// A server that is well.
    pub(super) fn new(upstream: &str, server: String, well: &Gauge) -> Self {
        let state = State {
            well: Some(Counted::new(well)),
            ..State::default()
        };
        Self {
            upstream: upstream.to_owned(),
            server,
            well: well.clone(),
            is_troubled: AtomicBool::new(false),
            is_out: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Whether others are preferred.
    pub(super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Whether the request that asks this is the trial. If it tells nothing, the next is due after another pause.
    pub(super) fn is_on_trial(&self, now: Instant) -> bool {
        if !self.is_out() {
            return false;
        }
        let mut state = lock(&self.state);
        if state.is_down {
            return false;
        }
        match &mut state.out {
            Some(out) if out.trial <= now => {
                out.trial = now + out.pauses.pause();
                true
            }
            _ => false,
        }
    }

    /// A request that was sent at `started` got an answer.
    pub(super) fn answered(&self, started: Instant) {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut state = lock(&self.state);
        // What was sent before tells of the time before: a server that ends still answers what it has.
        if state.out.as_ref().is_some_and(|out| out.since > started) {
            return;
        }
        state.fails = 0;
        state.out = None;
        self.look(&mut state, None);
    }

    /// A request got no answer.
    pub(super) fn failed(&self, fault: Fault, now: Instant, error: &(dyn Error + 'static)) {
        let mut state = lock(&self.state);
        state.fails = state.fails.saturating_add(1);
        if fault == Fault::Unreachable || state.fails >= FAILS {
            let out = state.out.get_or_insert_with(|| {
                let mut pauses = Backoff::new(FIRST, LONGEST);
                let trial = now + pauses.pause();
                Out {
                    since: now,
                    trial,
                    pauses,
                }
            });
            // If it was out, the pause was set when the trial began, or with the first of those that were under way.
            out.since = now;
        }
        self.look(&mut state, Some(error));
    }

    /// What a check told.
    pub(super) fn checked<E: Error + 'static>(&self, told: Result<(), E>, health: &Health) {
        let mut state = lock(&self.state);
        match told {
            Ok(()) => {
                state.checks = (0, state.checks.1.saturating_add(1));
                if state.checks.1 >= health.passes {
                    state.is_down = false;
                    state.fails = 0;
                    state.out = None;
                }
                self.look(&mut state, None);
            }
            Err(error) => {
                state.checks = (state.checks.0.saturating_add(1), 0);
                state.is_down |= state.checks.0 >= health.fails;
                self.look(&mut state, Some(&error));
            }
        }
    }

    /// The upstream is closed: the server is not counted any more.
    pub(super) fn retire(&self) {
        let mut state = lock(&self.state);
        state.is_retired = true;
        state.well = None;
    }

    /// Makes what was found out known, once.
    fn look(&self, state: &mut State, error: Option<&(dyn Error + 'static)>) {
        let is_out = state.is_down || state.out.is_some();
        let is_troubled = is_out || state.fails > 0;
        self.is_troubled.store(is_troubled, Ordering::Relaxed);
        if self.is_out.swap(is_out, Ordering::Relaxed) == is_out || state.is_retired {
            return;
        }
        let (upstream, server) = (&*self.upstream, &*self.server);
        if is_out {
            state.well = None;
            tracing::warn!(upstream, server, error, "Server is out");
        } else {
            state.well = Some(Counted::new(&self.well));
            tracing::info!(upstream, server, "Server is back");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn standing() -> (Standing, Gauge) {
        let well = Gauge::default();
        let standing = Standing::new("django", "127.0.0.1:1".to_owned(), &well);
        (standing, well)
    }

    fn error() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_reached_is_out_until_a_trial_is_answered() {
        let (standing, well) = standing();
        let began = Instant::now();
        assert_eq!((standing.is_out(), well.get()), (false, 1));
        standing.failed(Fault::Unreachable, began, &error());
        assert_eq!((standing.is_out(), well.get()), (true, 0));
        // What was sent before is still answered.
        standing.answered(began - SECOND);
        assert!(standing.is_out() && !standing.is_on_trial(began));
        let later = began + 2 * SECOND;
        assert!(standing.is_on_trial(later), "the pause is over");
        assert!(!standing.is_on_trial(later), "one is enough");
        standing.failed(Fault::Unreachable, later, &error());
        assert!(!standing.is_on_trial(later + SECOND), "the pause has grown");
        let later = later + 3 * SECOND;
        assert!(standing.is_on_trial(later));
        standing.answered(later);
        assert_eq!((standing.is_out(), well.get()), (false, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn only_requests_in_a_row_without_an_answer_put_a_server_out() {
        let (standing, _) = standing();
        let now = Instant::now();
        for _ in 0..10 {
            standing.failed(Fault::Unanswered, now, &error());
            standing.failed(Fault::Unanswered, now, &error());
            assert!(!standing.is_out());
            standing.answered(now);
        }
        for fails in 1..=FAILS {
            standing.failed(Fault::Unanswered, now, &error());
            assert_eq!(standing.is_out(), fails == FAILS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_end() {
        let (standing, _) = standing();
        let mut now = Instant::now();
        standing.failed(Fault::Unreachable, now, &error());
        for _ in 0..20 {
            now += LONGEST.mul_f64(1.25);
            assert!(standing.is_on_trial(now));
            standing.failed(Fault::Unreachable, now, &error());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whom_checks_keep_out_no_request_lets_back() {
        let (standing, well) = standing();
        let health = Health {
            passes: 2,
            ..Health::new("/healthz/".parse().unwrap(), "a".to_owned())
        };
        let bad = || Err::<(), _>(error());
        for told in [bad(), bad(), Ok(()), bad(), bad()] {
            standing.checked(told, &health);
            assert!(!standing.is_out());
        }
        standing.checked(bad(), &health);
        let now = Instant::now();
        standing.answered(now);
        assert!(standing.is_out() && !standing.is_on_trial(now + 60 * SECOND));
        standing.checked::<io::Error>(Ok(()), &health);
        assert!(standing.is_out(), "once is not enough");
        standing.checked::<io::Error>(Ok(()), &health);
        assert_eq!((standing.is_out(), well.get()), (false, 1));

        // A check that is passed also forgives what requests told.
        standing.failed(Fault::Unreachable, now, &error());
        standing.checked::<io::Error>(Ok(()), &health);
        assert!(!standing.is_out());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_of_a_closed_upstream_is_not_counted() {
        let (standing, well) = standing();
        standing.retire();
        assert_eq!(well.get(), 0);
        standing.failed(Fault::Unreachable, Instant::now(), &error());
        standing.answered(Instant::now());
        assert_eq!(well.get(), 0);
    }
}
