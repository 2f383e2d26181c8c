//! The promise, tried: a stream sees the events of its channels in publish order, each exactly once, with no gap, or it
//! says so with a reset before it goes on.
//!
//! A world of channels, publishers and listeners that come, stall, leave, are kicked and come back is run step by step in
//! simulated time, in an order drawn from a seed. What each listener is owed an [`Oracle`] works out from the list of all
//! events, without looking into the log. A failure prints its seed; `CHECKER_SEED=n` runs that one alone.

mod oracle;
mod world;

use crate::domain::ByteSize;
use crate::history;
use std::time::Duration;
use world::{Counts, World};

/// Runs `steps` steps of the world of this seed, with pauses of at most `pause`.
fn run(seed: u64, history: &history::Settings, pause: Duration, steps: usize) -> Counts {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, history.clone(), pause);
        for _ in 0..steps {
            world.step().await;
        }
        world.settle();
        world.counts
    })
}

/// Runs 100 seeds, or the one that is asked for.
fn run_all(history: &history::Settings, pause: Duration, steps: usize) -> Counts {
    let asked = std::env::var("CHECKER_SEED").ok();
    let seeds = match asked.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..100,
    };
    let mut sum = Counts::default();
    for seed in seeds {
        sum.add(&run(seed, history, pause, steps));
    }
    sum
}

#[test]
fn with_room_for_everything_nobody_misses_anything_and_nobody_is_reset() {
    // No pause is long enough for what only passes to be gone.
    let history = history::Settings {
        events: 100_000,
        age: Duration::from_secs(100_000),
        ..history::Settings::default()
    };
    let counts = run_all(&history, Duration::from_millis(100), 700);
    assert_eq!(counts.resets, 0, "{counts:?}");
    assert!(
        counts.events > counts.published && counts.resumed > 1000,
        "{counts:?}"
    );
}

/// Room for a few events of each channel, for a short while.
fn little_room() -> history::Settings {
    history::Settings {
        events: 8,
        age: Duration::from_secs(20),
        lag: ByteSize::bytes(600),
        closed_for: Duration::from_secs(30),
        ..history::Settings::default()
    }
}

#[test]
fn with_little_room_nobody_misses_anything_unawares() {
    let counts = run_all(&little_room(), Duration::from_secs(12), 1000);
    assert!(counts.resets > 1000 && counts.resumed > 1000, "{counts:?}");
    assert!(
        counts.kicked > 100 && counts.slow > 100 && counts.over > 0,
        "{counts:?}"
    );
}

#[test]
fn with_next_to_no_room_nobody_misses_anything_unawares() {
    let history = history::Settings {
        events: 1,
        memory: ByteSize::kib(16),
        ..little_room()
    };
    let counts = run_all(&history, Duration::from_secs(12), 500);
    assert!(counts.resets > 1000 && counts.events > 1000, "{counts:?}");
}
