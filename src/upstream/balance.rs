//! Which server a request goes to.
//!
//! Invariants: a server is left out only while there is another; a request never goes twice to a server in which it failed
//! before all others had their turn.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::pool::Pool;
use super::settings::Balance;
use crate::limits::network;

/// A set of servers, by their numbers, of which there are at most [`MOST_SERVERS`](super::settings::MOST_SERVERS).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried(u64);

impl Tried {
    pub(super) const fn add(&mut self, number: usize) {
        self.0 |= Self::bit(number);
    }

    const fn has(self, number: usize) -> bool {
        self.0 & Self::bit(number) != 0
    }

    /// Whether one of so many servers is not among them.
    pub(super) fn leaves_one(self, of: usize) -> bool {
        (0..of).any(|number| !self.has(number))
    }

    const fn bit(number: usize) -> u64 {
        1 << (number % 64)
    }
}

/// The choice among the servers of one upstream.
#[derive(Debug)]
pub(super) struct Chooser {
    balance: Balance,
    /// Which server is looked at first next time.
    next: AtomicUsize,
}

impl Chooser {
    pub(super) const fn new(balance: Balance) -> Self {
        Self {
            balance,
            next: AtomicUsize::new(0),
        }
    }

    /// One of those that were not tried, and its number; `None` if there is none. Whoever is to show that it is well again
    /// comes first, though with `client-ip` only for its own clients; who is out comes last.
    pub(super) fn choose<'p>(
        &self,
        pools: &'p [Pool],
        tried: Tried,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Option<(usize, &'p Pool)> {
        if let [only] = pools {
            return (!tried.has(0)).then_some((0, only));
        }
        let left = || {
            let pools = pools.iter().enumerate();
            pools.filter(move |(number, _)| !tried.has(*number))
        };
        let is_out = |pool: &Pool| pool.standing().is_out();
        if let (Balance::ClientIp, Some(client)) = (self.balance, client) {
            let client = of_client(client);
            let weight = |pool: &Pool| mix(pool.hash() ^ client);
            let home = left().max_by_key(|(_, pool)| weight(pool));
            // Nobody else's request is the trial: a client with two homes is what this is to prevent.
            return home
                .filter(|(_, pool)| pool.standing().is_on_trial(now))
                .or_else(|| left().max_by_key(|(_, pool)| (!is_out(pool), weight(pool))));
        }
        if let Some(trial) = left().find(|(_, pool)| pool.standing().is_on_trial(now)) {
            return Some(trial);
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed) % pools.len().max(1);
        let order = |number: usize| (number + pools.len() - first) % pools.len();
        left().min_by_key(|(number, pool)| {
            let busy = match self.balance {
                Balance::RoundRobin => 0,
                Balance::LeastBusy | Balance::ClientIp => pool.in_flight(),
            };
            (is_out(pool), busy, order(*number))
        })
    }
}

/// The hash of a server's address. It is the same in every process, so that several gateways agree.
pub(super) fn of_server(address: &str) -> u64 {
    // FNV-1a.
    address.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn of_client(client: IpAddr) -> u64 {
    match network(client.to_canonical()) {
        IpAddr::V4(address) => mix(u64::from(address.to_bits())),
        // The other half is the client's own to choose.
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64;
            mix(u64::try_from(network).unwrap_or_default())
        }
    }
}

/// Spreads every bit over all (the end of SplitMix64).
const fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 30;
    bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 27;
    bits = bits.wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::super::settings::Server;
    use super::super::standing::Fault;
    use super::*;

    fn pools(count: usize) -> Vec<Pool> {
        let server = |number| Server::Tcp(format!("10.0.0.{number}:8000"));
        (0..count)
            .map(|number| Pool::for_tests(server(number)))
            .collect()
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..3000_u32).map(|number| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)))
    }

    fn fail(pool: &Pool) {
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        let now = Instant::now();
        pool.standing().failed(Fault::Unreachable, now, &error);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_stays_where_it_is_unless_its_server_is_out() {
        let (pools, chooser) = (pools(3), Chooser::new(Balance::ClientIp));
        let now = Instant::now();
        let of = |client, tried| chooser.choose(&pools, tried, Some(client), now).unwrap().0;
        let before: HashMap<_, _> = clients().map(|c| (c, of(c, Tried::default()))).collect();
        for number in 0..3 {
            let share = before.values().filter(|at| **at == number).count();
            assert!((900..1100).contains(&share), "{share} of 3000");
        }
        fail(&pools[1]);
        for (client, at) in &before {
            let moved = of(*client, Tried::default());
            assert_eq!(
                moved == *at,
                *at != 1,
                "only the clients of the second move"
            );
        }
        // One whose request failed in its own server goes where it would go if that were out.
        let mut tried = Tried::default();
        tried.add(0);
        let elsewhere: Vec<_> = before.keys().map(|client| of(*client, tried)).collect();
        assert!(elsewhere.iter().all(|at| *at == 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_is_for_clients_of_that_server() {
        let (pools, chooser) = (pools(3), Chooser::new(Balance::ClientIp));
        let now = Instant::now();
        let of = |client, now| {
            let chosen = chooser.choose(&pools, Tried::default(), Some(client), now);
            chosen.unwrap().0
        };
        let (own, others): (Vec<_>, Vec<_>) = clients().partition(|client| of(*client, now) == 1);
        fail(&pools[1]);
        let later = now + Duration::from_secs(2);
        assert!(others.iter().all(|client| of(*client, later) != 1));
        assert_eq!(of(own[0], later), 1);
        assert_ne!(of(own[1], later), 1, "one is enough");
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_of_ipv6_is_one_client() {
        let (pools, chooser) = (pools(5), Chooser::new(Balance::ClientIp));
        let now = Instant::now();
        let of = |bits| {
            let client = IpAddr::V6(Ipv6Addr::from_bits(bits));
            let chosen = chooser.choose(&pools, Tried::default(), Some(client), now);
            chosen.unwrap().0
        };
        for network in 0..50_u128 {
            let bits = (0x2001_0db8 << 96) | (network << 64);
            assert!((0..20).all(|host| of(bits | host << 40) == of(bits)));
        }
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().to_bits();
        let v4 = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let chosen = chooser.choose(&pools, Tried::default(), v4, now);
        assert_eq!(of(mapped), chosen.unwrap().0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_out_is_tried_last_and_all_are_tried_if_all_are_out() {
        for balance in [Balance::LeastBusy, Balance::RoundRobin, Balance::ClientIp] {
            let (pools, chooser) = (pools(3), Chooser::new(balance));
            let now = Instant::now();
            let client = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let round = |now| {
                let (mut tried, mut order) = (Tried::default(), Vec::new());
                while let Some((number, _)) = chooser.choose(&pools, tried, client, now) {
                    assert!(tried.leaves_one(3));
                    tried.add(number);
                    order.push(number);
                }
                assert!(!tried.leaves_one(3));
                order
            };
            fail(&pools[1]);
            assert_eq!(round(now).pop(), Some(1), "{balance:?}");
            fail(&pools[0]);
            fail(&pools[2]);
            let mut order = round(now);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2], "{balance:?}");
            // After the pause each has a trial, which comes first.
            if balance == Balance::ClientIp {
                continue;
            }
            let later = now + Duration::from_secs(2);
            let first = chooser.choose(&pools, Tried::default(), client, later);
            assert_eq!(first.unwrap().0, 0);
            let first = chooser.choose(&pools, Tried::default(), client, later);
            assert_eq!(first.unwrap().0, 1, "the first has had it");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ties_take_turns() {
        for balance in [Balance::LeastBusy, Balance::RoundRobin, Balance::ClientIp] {
            let (pools, chooser) = (pools(3), Chooser::new(balance));
            let choose = || {
                let chosen = chooser.choose(&pools, Tried::default(), None, Instant::now());
                chosen.unwrap().0
            };
            let order: Vec<_> = (0..6).map(|_| choose()).collect();
            assert_eq!(order, [0, 1, 2, 0, 1, 2], "{balance:?}");
        }
    }
}
