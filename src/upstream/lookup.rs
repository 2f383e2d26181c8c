//! Looks up the addresses of a server that has a name, on a thread that may wait for the name service.
//!
//! Such a thread waits for as long as the system says, which is 20 s and more where a name service is silent, whoever has
//! given up meanwhile. So whoever connects waits with the others for one answer, and for another beside it only once that is
//! late: one lookup may have lost its datagram. Bound: [`AT_ONCE`] for each server; beyond, all wait for the newest. Else
//! a name service that is silent would soon take all threads there are for what waits, and uploads, logins and temp files of
//! other upstreams would stand still with it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::base::sync::lock;
use crate::limits::Slots;

/// Lookups of one name at the same time.
const AT_ONCE: usize = 4;
/// When another is begun beside one that has not ended.
const LATE: Duration = Duration::from_secs(1);

/// What a lookup found, for all who wait for it.
type Found = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

/// Where it is told; the other end is gone when the lookup has ended.
type Told = watch::Receiver<Option<Found>>;

/// What waits for the name service.
type Resolve = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The lookups of one server.
pub(super) struct Lookup {
    slots: Slots,
    /// When the newest began, and what it will tell.
    newest: Mutex<Option<(Instant, Told)>>,
    resolve: Arc<Resolve>,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

impl Default for Lookup {
    fn default() -> Self {
        Self::by(Arc::new(|address: &str| {
            Ok(address.to_socket_addrs()?.collect())
        }))
    }
}

impl Lookup {
    fn by(resolve: Arc<Resolve>) -> Self {
        Self {
            slots: Slots::new(AT_ONCE),
            newest: Mutex::default(),
            resolve,
        }
    }

    /// The addresses of `host:port`, as they are now.
    pub(super) async fn addresses(&self, address: &str) -> io::Result<Arc<[SocketAddr]>> {
        if let Ok(known) = address.parse() {
            return Ok([known].into());
        }
        let mut asked = pin!(found(self.newest(address)));
        if let Ok(found) = timeout(LATE, asked.as_mut()).await {
            return found;
        }
        tokio::select! {
            // In any order: one is as good as the other.
            biased;
            found = asked => found,
            found = found(self.newest(address)) => found,
        }
    }

    /// The lookup to wait for.
    fn newest(&self, address: &str) -> Told {
        let mut newest = lock(&self.newest);
        if let Some((since, told)) = &*newest
            && told.has_changed().is_ok()
            && since.elapsed() < LATE
        {
            return told.clone();
        }
        match (self.slots.take(), &*newest) {
            // All that are under way are late, and the newest is one of them.
            (None, Some((_, told))) => told.clone(),
            (slot, _) => {
                let (tell, told) = watch::channel(None);
                let (address, resolve) = (address.to_owned(), Arc::clone(&self.resolve));
                drop(spawn_blocking(move || {
                    let found = resolve(&address).map(Arc::from).map_err(Arc::new);
                    tell.send_replace(Some(found));
                    // Before the other end of what is told: whoever sees that this has ended may begin the next.
                    drop(slot);
                    drop(tell);
                }));
                *newest = Some((Instant::now(), told.clone()));
                told
            }
        }
    }
}

/// What a lookup tells.
async fn found(mut told: Told) -> io::Result<Arc<[SocketAddr]>> {
    let found = told.wait_for(Option::is_some).await;
    let found = found.map_err(io::Error::other)?.clone();
    found.unwrap_or_else(|| Ok([].into())).map_err(copy)
}

/// The same error once more.
fn copy(error: Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;

    type Asked<'l> = Pin<Box<dyn Future<Output = io::Result<Arc<[SocketAddr]>>> + 'l>>;

    /// Lookups that each wait for a word, or for nobody to be there who could say it; and how many began.
    fn silent() -> (Lookup, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (say, heard) = mpsc::channel();
        let (heard, begun) = (Mutex::new(heard), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        let resolve = move |_: &str| {
            count.fetch_add(1, Ordering::Relaxed);
            let _said = lock(&heard).recv();
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], 8000))])
        };
        (Lookup::by(Arc::new(resolve)), say, begun)
    }

    /// Somebody who waits.
    fn asking(lookup: &Lookup) -> Asked<'_> {
        let mut asked: Asked<'_> = Box::pin(lookup.addresses("web:8000"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(asked.as_mut().poll(&mut cx).is_pending());
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_at_the_same_time_waits_for_the_same_answer() {
        let (lookup, say, begun) = silent();
        let all: Vec<_> = (0..100).map(|_| asking(&lookup)).collect();
        say.send(()).unwrap();
        for asked in all {
            assert_eq!(asked.await.unwrap().len(), 1);
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        // What was found is not kept: a name may lead elsewhere by now. It is told before its thread has ended.
        let told = lock(&lookup.newest).as_ref().map(|(_, told)| told.clone());
        let mut told = told.unwrap();
        while told.changed().await.is_ok() {}
        say.send(()).unwrap();
        lookup.addresses("web:8000").await.unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_name_service_keeps_few_threads() {
        let (lookup, say, begun) = silent();
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(asking(&lookup));
            tokio::time::advance(LATE).await;
        }
        assert!(lookup.slots.take().is_none());
        drop(say);
        let mut ended = Vec::new();
        for _ in 0..AT_ONCE {
            ended.push(lookup.slots.wait().await);
        }
        for asked in all {
            asked.await.unwrap();
        }
        assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_one_that_is_lost_is_told_by_the_next() {
        let (say, heard) = mpsc::channel::<()>();
        let (heard, first) = (Mutex::new(Some(heard)), AtomicUsize::new(0));
        let lookup = Lookup::by(Arc::new(move |_: &str| {
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                let heard = lock(&heard).take();
                let _said = heard.map(|heard| heard.recv());
            }
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], 8000))])
        }));
        let asked = asking(&lookup);
        tokio::time::advance(LATE).await;
        assert_eq!(asked.await.unwrap().len(), 1);
        drop(say);
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_looked_up() {
        let lookup = Lookup::by(Arc::new(|_: &str| Err(io::ErrorKind::NotFound.into())));
        for address in ["127.0.0.1:8000", "[::1]:8000"] {
            let found = lookup.addresses(address).await.unwrap();
            assert_eq!(found[..], [address.parse().unwrap()]);
        }
        let error = lookup.addresses("web:8000").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
