//! How long a closing connection is still read from.
//!
//! What a client sends after the socket was closed the kernel answers with a reset, and an answer that was not read yet is lost
//! with it on many systems: that of 413 to an upload, which browsers read only once they have sent it. So a connection that has
//! said its last lingers for as long as its client goes on sending. Bounds: [`SILENCE`] without a byte, [`LONGEST`] in all.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(2);
/// How long it may take, whatever comes.
const LONGEST: Duration = Duration::from_secs(30);

/// The time that is left.
#[derive(Debug)]
pub(super) struct Linger {
    begun: Instant,
    /// When something came last.
    heard: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            heard: now,
            timer: Box::pin(sleep(SILENCE)),
        }
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Ready when it has been long enough. The timer is not moved with each byte, only when it has fired too early.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = (self.heard + SILENCE).min(self.begun + LONGEST);
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::time::advance;

    use super::*;

    const STEP: Duration = Duration::from_millis(1500);

    fn is_over(linger: &mut Linger) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        linger.poll(&mut cx).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn it_lasts_while_something_comes_but_not_for_ever() {
        let mut linger = Linger::begin();
        assert!(!is_over(&mut linger));
        advance(SILENCE).await;
        assert!(is_over(&mut linger), "nothing came");
        let (mut linger, mut steps) = (Linger::begin(), 0);
        while !is_over(&mut linger) {
            linger.heard();
            advance(STEP).await;
            steps += 1;
        }
        assert_eq!(STEP * steps, LONGEST);
    }
}
