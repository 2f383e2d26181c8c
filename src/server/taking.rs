//! Gives up an HTTP/2 stream whose client takes nothing of its answer.
//!
//! Over HTTP/1 a client that does not read stalls a write, which `io` bounds. Over HTTP/2 it keeps one window shut, while
//! all else on the connection moves; hyper has a task for each stream, which would wait for as long as that. So `conn` has
//! hyper's tasks run by [`StreamExecutor`], and an answer's body notes what it has given away. As long as hyper holds a piece
//! and asks for no other, the client's window is shut; for longer than `body_idle`, and the task is dropped, which resets the
//! stream. What the HTTP library has taken already, at most [`H2_SEND_BUFFER`](super::conn::H2_SEND_BUFFER) and a piece, may
//! lie there for as long as the connection is not silent.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Sleep, sleep};

/// The longest piece of an answer over HTTP/2: whoever takes so much within `body_idle` is slow, not gone.
pub(super) const PIECE: usize = 16 << 10;

tokio::task_local! {
    static STREAM: Taking;
}

/// What one stream's client has been offered: the number of the piece that hyper holds; 0 if it holds none.
#[derive(Debug, Clone, Default)]
pub(super) struct Taking(Arc<State>);

#[derive(Debug, Default)]
struct State {
    pieces: AtomicU64,
    held: AtomicU64,
}

impl Taking {
    /// That of the stream whose task this is; over HTTP/1 there is none.
    pub(super) fn of_this_stream() -> Option<Self> {
        STREAM.try_with(Self::clone).ok()
    }

    /// A piece was given away.
    pub(super) fn give(&self) {
        let piece = self.0.pieces.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.held.store(piece, Ordering::Relaxed);
    }

    /// There is none to give.
    pub(super) fn wait(&self) {
        self.0.held.store(0, Ordering::Relaxed);
    }

    fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }
}

/// Runs the tasks of HTTP/2 streams.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor {
    longest: Duration,
    given_up: Counter,
}

impl StreamExecutor {
    /// Gives up a stream after `longest` without progress.
    pub(super) const fn new(longest: Duration, given_up: Counter) -> Self {
        Self { longest, given_up }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let taking = Taking::default();
        let (longest, given_up) = (self.longest, self.given_up.clone());
        let watched = watch(stream, taking.clone(), longest, given_up);
        TokioExecutor::new().execute(STREAM.scope(taking, watched));
    }
}

async fn watch<F: Future>(stream: F, taking: Taking, longest: Duration, given_up: Counter) {
    let mut stream = pin!(stream);
    let mut timer: Option<(u64, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let held = taking.held();
        if held == 0 {
            timer = None;
            return Poll::Pending;
        }
        let left = match &mut timer {
            Some((same, left)) if *same == held => left,
            other => &mut other.insert((held, Box::pin(sleep(longest)))).1,
        };
        ready!(left.as_mut().poll(cx));
        given_up.inc();
        tracing::debug!("HTTP/2 stream given up");
        Poll::Ready(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Notify;
    use tokio::time::Instant;

    const LONGEST: Duration = Duration::from_secs(30);

    /// How long a task is let live, which does this with what it is given.
    async fn lives<F: Future>(work: impl FnOnce(Taking) -> F) -> (Duration, u64) {
        let (taking, given_up) = (Taking::default(), Counter::default());
        let begin = Instant::now();
        watch(work(taking.clone()), taking, LONGEST, given_up.clone()).await;
        (begin.elapsed(), given_up.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_piece_is_not_taken_is_given_up() {
        let stalled = lives(|taking| async move {
            taking.give();
            std::future::pending::<()>().await;
        });
        assert_eq!(stalled.await, (LONGEST, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_has_its_time_and_waiting_has_no_end() {
        let slow = lives(|taking| async move {
            for _ in 0..5 {
                taking.give();
                sleep(LONGEST.saturating_sub(Duration::from_secs(1))).await;
            }
            taking.wait();
            sleep(LONGEST * 100).await;
        });
        assert_eq!(slow.await.1, 0);
    }

    #[tokio::test]
    async fn a_task_knows_its_stream() {
        assert!(Taking::of_this_stream().is_none());
        let executor = StreamExecutor::new(Duration::ZERO, Counter::default());
        let (told, known) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&known), Arc::clone(&told));
        executor.execute(async move {
            if Taking::of_this_stream().is_some() {
                tell.notify_one();
            }
            wait.notified().await;
        });
        known.notified().await;
        told.notify_one();
    }
}
