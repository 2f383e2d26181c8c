//! What a stream waits for at its links: its turn, and an answer. Both are given up when they are dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::base::sync::lock;
use crate::limits::{Slot, Slots};
use crate::upstream::Switch;

/// How long a place waits for a stream that is not looked at.
const OFFERED: Duration = Duration::from_secs(1);

/// A place that is offered for a while.
#[derive(Debug, Default)]
pub(super) struct Offer {
    slot: Mutex<Option<Slot>>,
    waker: Mutex<Option<Waker>>,
}

/// A turn to come.
#[derive(Debug)]
pub(super) struct Turning {
    pub(super) offer: Arc<Offer>,
    pub(super) _task: Waiting<()>,
}

/// What is to come.
#[derive(Debug)]
pub(super) struct Waiting<T>(pub(super) AbortOnDropHandle<T>);

impl Offer {
    /// Offers a place of `slots` until it is taken, but none while there is maintenance.
    pub(super) async fn a_place(self: Arc<Self>, slots: Slots, maintenance: Switch) {
        loop {
            let slot = slots.wait().await;
            maintenance.over().await;
            self.make(slot);
            sleep(OFFERED).await;
            // A client that does not read does not look: others first.
            if lock(&self.slot).take().is_none() {
                return;
            }
        }
    }

    fn make(&self, slot: Slot) {
        *lock(&self.slot) = Some(slot);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Turning {
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Slot> {
        // Before the look, so that one of the two sees the other.
        *lock(&self.offer.waker) = Some(cx.waker().clone());
        lock(&self.offer.slot)
            .take()
            .map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Waiting<T> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends, and this with it.
            Err(_) => Poll::Pending,
        }
    }
}
