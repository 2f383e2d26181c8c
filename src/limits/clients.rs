//! What counts as one client, and how often each client may do a thing.
//!
//! `proxy` takes from a [`ClientLimit`] for each request. Bound: a limit tells so many clients apart; when all are in
//! use, those who have their whole burst again are forgotten, at most once a second. Newcomers for whom there is still
//! no room share one cell: they are limited together, and the clients that are known notice nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use prometheus_client::metrics::counter::Counter;

use super::rate::{Rate, RuntimeClock};
use crate::base::seldom::Seldom;
use crate::base::sync::lock;

/// The clients that one limit tells apart: about 4 MiB.
const MOST: usize = 65_536;
/// How often those who have been idle are looked for.
const SHEDDING: Duration = Duration::from_secs(1);

/// Before an IPv4 address as a translator to IPv6 writes it, of which one /64 has all (`64:ff9b::/96`; RFC 6052, section 2.1).
const TRANSLATED: u128 = 0x64_ff9b << 64;

/// The key of a client: its IPv4 address, also one that was translated, or the /64 of its IPv6 address, of which one client may
/// use all.
pub fn network(client: IpAddr) -> IpAddr {
    let IpAddr::V6(address) = client else {
        return client;
    };
    let bits = address.to_bits();
    if bits >> 32 == TRANSLATED {
        let [.., a, b, c, d] = address.octets();
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    IpAddr::V6(Ipv6Addr::from_bits(bits & !u128::from(u64::MAX)))
}

/// So many in each time for each client, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientRate {
    /// How often.
    pub rate: Rate,
    /// How many at once, of whoever was idle.
    pub burst: NonZeroU32,
}

/// Counts what each client does against a rate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limiter: RateLimiter<IpAddr, Cells, RuntimeClock, NoOpMiddleware<Duration>>,
    /// What the limiter counts in.
    table: Arc<Mutex<Table>>,
    /// How long one thing counts.
    each: Nanos,
    shedding: Seldom,
}

impl ClientLimit {
    /// A limit of which nothing is used yet. `shared` counts what newcomers do for whom there was no room.
    pub fn new(rate: ClientRate, shared: Counter) -> Self {
        let quota = rate.rate.quota().allow_burst(rate.burst);
        let table = Arc::default();
        let cells = Cells {
            table: Arc::clone(&table),
            shared,
        };
        Self(Arc::new(Inner {
            limiter: RateLimiter::new(quota, cells, RuntimeClock::default()),
            table,
            each: quota.replenish_interval().into(),
            shedding: Seldom::every(SHEDDING),
        }))
    }

    /// Counts one thing that `client` does; if that is too often, how long it has to wait.
    pub fn take(&self, client: IpAddr) -> Result<(), Duration> {
        let limiter = &self.0.limiter;
        if limiter.len() >= MOST && self.0.shedding.now() {
            limiter.retain_recent();
        }
        limiter
            .check_key(&network(client))
            .map_err(|until| until.wait_time_from(limiter.clock().now()))
    }

    /// Takes back one thing that was counted: it turned out to be none of those that are limited.
    pub fn give_back(&self, client: IpAddr) {
        let mut table = lock(&self.0.table);
        let Table { clients, newcomers } = &mut *table;
        if let Some(full) = clients.get_mut(&network(client)).or(newcomers.as_mut()) {
            *full = full.saturating_sub(self.0.each);
        }
    }
}

/// `governor`'s state, with a bound.
#[derive(Debug)]
struct Cells {
    table: Arc<Mutex<Table>>,
    shared: Counter,
}

/// When each client will have its whole burst again.
#[derive(Debug, Default)]
struct Table {
    clients: HashMap<IpAddr, Nanos>,
    /// That of all newcomers for whom there was no room.
    newcomers: Option<Nanos>,
}

impl StateStore for Cells {
    type Key = IpAddr;

    fn measure_and_replace<T, F, E>(&self, client: &IpAddr, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = lock(&self.table);
        let known = table.clients.get(client).copied();
        let has_room = known.is_some() || table.clients.len() < MOST;
        let before = if has_room { known } else { table.newcomers };
        if !has_room {
            self.shared.inc();
        }
        let (outcome, after) = decide(before)?;
        if has_room {
            table.clients.insert(*client, after);
        } else {
            table.newcomers = Some(after);
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<IpAddr> for Cells {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut table = lock(&self.table);
        table.clients.retain(|_, full| *full > drop_below);
    }

    fn len(&self) -> usize {
        lock(&self.table).clients.len()
    }

    fn is_empty(&self) -> bool {
        lock(&self.table).clients.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn limit(count: u32, burst: u32) -> ClientLimit {
        let rate = Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(60),
        };
        let burst = NonZeroU32::new(burst).unwrap();
        ClientLimit::new(ClientRate { rate, burst }, Counter::default())
    }

    fn client(number: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(number).unwrap().into())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_ipv6_client_is_its_slash_64() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("64:ff9b::10.1.2.3"), "10.1.2.3");
        assert_eq!(network("64:ff9b::1:a01:203"), "64:ff9b::");
    }

    #[tokio::test(start_paused = true)]
    async fn each_client_has_a_burst_and_then_its_rate() {
        let limit = limit(60, 3);
        let [one, near]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|a| a.parse().unwrap());
        for _ in 0..3 {
            assert_eq!(limit.take(one), Ok(()));
        }
        assert_eq!(limit.take(near), Err(SECOND), "one /64 is one client");
        assert_eq!(limit.take(client(1)), Ok(()), "another client");
        advance(SECOND).await;
        assert_eq!(limit.take(one), Ok(()));
        assert_eq!(limit.take(one), Err(SECOND));
        assert_eq!(limit.take(one), Err(SECOND), "a refusal costs nothing");
        // An idle hour saves up no more than the burst.
        advance(Duration::from_secs(3600)).await;
        for _ in 0..3 {
            assert_eq!(limit.take(one), Ok(()));
        }
        assert_eq!(limit.take(one), Err(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_does_not_count() {
        let limit = limit(60, 2);
        for _ in 0..10 {
            assert_eq!(limit.take(client(1)), Ok(()));
            limit.give_back(client(1));
        }
        assert_eq!(limit.take(client(1)), Ok(()));
        assert_eq!(limit.take(client(1)), Ok(()));
        assert_eq!(limit.take(client(1)), Err(SECOND));
        // Nobody has more than his burst by it.
        advance(Duration::from_secs(3600)).await;
        limit.give_back(client(1));
        limit.give_back(client(2));
        assert_eq!(limit.take(client(1)), Ok(()));
        assert_eq!(limit.take(client(1)), Ok(()));
        assert_eq!(limit.take(client(1)), Err(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_without_room_share_one_cell_until_others_are_forgotten() {
        let limit = limit(1, 1);
        for number in 0..MOST {
            assert_eq!(limit.take(client(number)), Ok(()));
        }
        // Nobody is idle, so nobody is forgotten: the first newcomer gets through, and the others count with it.
        assert_eq!(limit.take(client(MOST)), Ok(()));
        assert!(limit.take(client(MOST + 1)).is_err());
        assert!(limit.take(client(0)).is_err(), "who is known stays known");
        assert_eq!(limit.0.limiter.len(), MOST);
        let cells = &limit.0.limiter;
        assert!(!cells.is_empty());
        // The oldest have their whole burst again, and are forgotten for the next who come.
        advance(Duration::from_secs(121)).await;
        assert_eq!(limit.take(client(MOST + 1)), Ok(()));
        assert_eq!(limit.take(client(MOST + 2)), Ok(()));
        assert_eq!(cells.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_is_looked_through_once_a_second() {
        let limit = limit(60, 1);
        for number in 0..MOST {
            assert_eq!(limit.take(client(number)), Ok(()));
        }
        let cells = &limit.0.limiter;
        assert_eq!(limit.take(client(MOST)), Ok(()));
        advance(Duration::from_millis(999)).await;
        assert!(
            limit.take(client(MOST + 1)).is_err(),
            "in vain a moment ago"
        );
        assert_eq!(cells.len(), MOST);
        advance(2 * SECOND).await;
        assert_eq!(limit.take(client(MOST + 1)), Ok(()));
        assert_eq!(cells.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_newcomers_share_is_counted() {
        let limit = limit(60, 1);
        let shared = Counter::default();
        let cells = Cells {
            table: Arc::default(),
            shared: shared.clone(),
        };
        for number in 0..=MOST {
            let decided =
                cells.measure_and_replace(&client(number), |_| Ok::<_, ()>(((), Nanos::new(1))));
            assert_eq!(decided, Ok(()));
        }
        assert_eq!(shared.get(), 1);
        drop(limit);
    }

    #[tokio::test(start_paused = true)]
    async fn the_extremes_are_counted_too() {
        let rate = |count: u32, seconds| Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(seconds),
        };
        for (rate, burst) in [(rate(1, 3600), 1_000_000), (rate(u32::MAX, 1), u32::MAX)] {
            let burst = NonZeroU32::new(burst).unwrap();
            let limit = ClientLimit::new(ClientRate { rate, burst }, Counter::default());
            for _ in 0..1000 {
                assert_eq!(limit.take(client(1)), Ok(()));
            }
        }
    }
}
