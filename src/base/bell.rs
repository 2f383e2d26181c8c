//! What wakes a stream: a [`Bell`] for each, and an [`Inbox`] for all that one task serves.
//!
//! `hub` rings, whoever polls the stream listens: a task of its own by its waker, or, where one task serves thousands, that
//! task by an inbox of keys. A ring carries nothing. Whoever listens does so *before* it looks, whoever has
//! something to show rings *after* it is there; so one of the two sees the other, and nothing is missed.
//!
//! Bounds: a bell that rings already is not put into its inbox again, so an inbox holds each stream once; and once more for
//! its end, and where the task itself puts it off. A task that falls [`MOST_UNSERVED`] events behind is waited for by
//! publishers ([`Inbox::caught_up`]): by its own work alone, never by a client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;

use super::sync::lock;

/// Events that may be published while a round through an inbox is under way.
const MOST_UNSERVED: usize = 32;
/// Keys for which there is always room.
const ROOM: usize = 1024;

/// Rings for one stream.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicBool,
    /// Where its rings go; set once, and then no task is woken.
    inbox: OnceLock<(Inbox, u32)>,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// From now on `key` is put into `inbox`.
    pub fn attach(&self, inbox: &Inbox, key: u32) {
        let first = self.inbox.set((inbox.clone(), key));
        debug_assert!(first.is_ok(), "a stream is handed over once");
    }

    /// Has `waker` woken by the next ring, unless an inbox is told; whether it rang since it was listened to last.
    pub fn listen(&self, waker: &Waker) -> bool {
        if self.inbox.get().is_none() {
            let mut task = lock(&self.task);
            match &mut *task {
                Some(known) => known.clone_from(waker),
                None => *task = Some(waker.clone()),
            }
        }
        // Most of the time it has not rung, and to see that is cheaper.
        self.rung.load(Ordering::Acquire) && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Rings even if it rings already: somebody who has not come to listen is to hear of it as well.
    pub fn insist(&self) {
        self.ring();
        if let Some((inbox, key)) = self.inbox.get() {
            inbox.put(*key);
        }
    }

    /// Rings, once until it is listened to again.
    pub fn ring(&self) {
        let mut peal = Peal::default();
        peal.ring(self);
        peal.end();
    }
}

/// Many bells rung for the same reason: each inbox is told once.
#[derive(Debug, Default)]
pub struct Peal(Vec<(Inbox, Vec<u32>)>);

impl Peal {
    /// Rings one more.
    pub fn ring(&mut self, bell: &Bell) {
        if bell.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some((inbox, key)) = bell.inbox.get() else {
            if let Some(task) = &*lock(&bell.task) {
                task.wake_by_ref();
            }
            return;
        };
        let same = |(known, _): &&mut (Inbox, _)| known == inbox;
        match self.0.iter_mut().find(same) {
            Some((_, keys)) => keys.push(*key),
            None => self.0.push((inbox.clone(), vec![*key])),
        }
    }

    /// Tells the inboxes.
    pub fn end(self) {
        for (inbox, keys) in self.0 {
            inbox.add(&keys);
        }
    }
}

impl PartialEq for Inbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The streams of one task that were rung for. Cheap to clone; clones are equal.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    round: Mutex<Round>,
    /// Publishers wait for this.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Round {
    /// The keys of the next round.
    waiting: Vec<u32>,
    /// Whether one is under way.
    serving: bool,
    /// Events since it began, or since the first key began to wait.
    unserved: usize,
    /// Nobody takes any more.
    closed: bool,
    /// The task, while it waits for a key.
    task: Option<Waker>,
}

impl Inbox {
    fn add(&self, keys: &[u32]) {
        let mut round = lock(&self.0.round);
        if round.closed {
            return;
        }
        round.waiting.extend_from_slice(keys);
        let task = round.task.take();
        drop(round);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Puts one key in.
    pub fn put(&self, key: u32) {
        self.add(&[key]);
    }

    /// Counts events as unserved, if the task has not yet come to all whose keys it was given before.
    pub fn count(&self, events: usize) {
        let mut round = lock(&self.0.round);
        if round.serving || !round.waiting.is_empty() {
            round.unserved += events;
        }
    }

    /// Forgets what waits, and takes nothing any more.
    pub fn close(&self) {
        *lock(&self.0.round) = Round {
            closed: true,
            ..Round::default()
        };
        self.0.begun.notify_waiters();
    }

    /// Whether nobody takes any more.
    pub fn is_closed(&self) -> bool {
        lock(&self.0.round).closed
    }

    /// Begins the next round with the keys that wait, which become `keys`. Without any the last round is over, and the
    /// task of `cx` is woken when there are some.
    pub fn poll_take(&self, cx: &Context<'_>, keys: &mut Vec<u32>) -> Poll<()> {
        keys.clear();
        let mut round = lock(&self.0.round);
        // The room goes back and forth; after a storm it is given back.
        if keys.capacity() > ROOM && round.waiting.len() < keys.capacity() / 4 {
            *keys = Vec::new();
        }
        std::mem::swap(&mut round.waiting, keys);
        let (over, publishers) = (keys.is_empty(), round.unserved >= MOST_UNSERVED);
        round.serving = !over;
        round.unserved = 0;
        if over {
            round.task = Some(cx.waker().clone());
        }
        drop(round);
        if publishers {
            self.0.begun.notify_waiters();
        }
        if over { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether the task is so far behind that publishers should wait for it.
    pub fn is_behind(&self) -> bool {
        lock(&self.0.round).unserved >= MOST_UNSERVED
    }

    /// Waits until the task has begun a new round, if it is too far behind. For one round only, whoever else publishes.
    pub async fn caught_up(&self) {
        let mut begun = std::pin::pin!(self.0.begun.notified());
        begun.as_mut().enable();
        if self.is_behind() {
            begun.await;
        }
    }

    /// A waker that puts `key` into this inbox, once until it is taken.
    pub fn waker(&self, key: u32) -> Waker {
        let (inbox, woken) = (self.clone(), AtomicBool::new(false));
        Waker::from(Arc::new(Summons { inbox, key, woken }))
    }
}

struct Summons {
    inbox: Inbox,
    key: u32,
    woken: AtomicBool,
}

impl Wake for Summons {
    fn wake(self: Arc<Self>) {
        // Polled once, it gets a new waker for the next time.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.inbox.put(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(inbox: &Inbox) -> Vec<u32> {
        let mut keys = Vec::new();
        let taken = inbox.poll_take(&Context::from_waker(Waker::noop()), &mut keys);
        assert_eq!(taken.is_pending(), keys.is_empty());
        keys
    }

    #[test]
    fn a_bell_is_in_its_inbox_once_until_it_is_listened_to() {
        let (inbox, bells) = (Inbox::default(), [Bell::default(), Bell::default()]);
        for (key, bell) in (7..).zip(&bells) {
            bell.attach(&inbox, key);
        }
        bells[0].ring();
        bells[1].ring();
        bells[0].ring();
        assert_eq!(taken(&inbox), [7, 8]);
        bells[0].ring();
        assert_eq!(taken(&inbox), [0_u32; 0], "nobody has looked yet");
        assert!(bells[0].listen(Waker::noop()));
        assert!(!bells[0].listen(Waker::noop()));
        bells[0].ring();
        assert_eq!(taken(&inbox), [7]);
    }

    #[test]
    fn who_insists_is_heard_though_it_rings_already() {
        let (inbox, bell) = (Inbox::default(), Bell::default());
        bell.attach(&inbox, 7);
        bell.ring();
        assert_eq!(taken(&inbox), [7]);
        bell.ring();
        assert_eq!(taken(&inbox), [0_u32; 0], "nobody has listened yet");
        bell.insist();
        assert_eq!(taken(&inbox), [7]);
    }

    #[tokio::test]
    async fn nobody_waits_for_an_inbox_that_is_closed() {
        let inbox = Inbox::default();
        inbox.put(1);
        inbox.count(MOST_UNSERVED);
        assert!(inbox.is_behind() && !inbox.is_closed());
        let mut waiting = std::pin::pin!(inbox.caught_up());
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Pending);
        inbox.close();
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(()));
        inbox.put(2);
        inbox.count(MOST_UNSERVED);
        assert!(inbox.is_closed() && !inbox.is_behind());
        assert_eq!(taken(&inbox), [0_u32; 0]);
    }

    #[test]
    fn a_waker_is_woken_by_each_first_ring() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(std::sync::atomic::AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let bell = Bell::default();
        for expected in 1..3 {
            bell.listen(&waker);
            bell.ring();
            bell.ring();
            assert_eq!(count.0.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn publishers_wait_for_a_task_that_is_far_behind() {
        let (inbox, bell) = (Inbox::default(), Bell::default());
        inbox.count(1000);
        assert!(!inbox.is_behind(), "nobody is to be served");
        bell.attach(&inbox, 1);
        bell.ring();
        inbox.count(MOST_UNSERVED);
        let mut waiting = std::pin::pin!(inbox.caught_up());
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(taken(&inbox), [1]);
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(()));
        inbox.count(MOST_UNSERVED);
        assert!(inbox.is_behind(), "the round is still under way");
        assert_eq!(taken(&inbox), [0_u32; 0]);
        inbox.count(MOST_UNSERVED);
        assert!(!inbox.is_behind(), "the round is over");
    }

    #[test]
    fn a_waker_of_an_inbox_puts_its_key_there_once() {
        let inbox = Inbox::default();
        let waker = inbox.waker(3);
        waker.wake_by_ref();
        waker.wake();
        assert_eq!(taken(&inbox), [3]);
    }
}
