//! A reader of a shorter reach than the log is told what a log of just that reach would have told it.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::advance;

use super::tests::{channel, event, log, number, read};
use super::*;
use crate::domain::ByteSize;

const NAMES: [&str; 3] = ["a", "b", "c"];

const REACH: Reach = Reach {
    events: 4,
    age: Duration::from_secs(9),
    lag: ByteSize::kib(256),
    closed_for: Duration::from_secs(5),
};

/// What would not be forgotten in a test.
const LONG: Duration = Duration::from_secs(100_000);

#[derive(Debug, Clone)]
enum Step {
    Publish { channels: Vec<usize>, close: bool },
    Ask { channels: Vec<usize>, back: u64 },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let channels = || prop::sample::subsequence(vec![0, 1, 2], 1..=3);
    prop_oneof![
        3 => (channels(), prop::bool::weighted(0.2)).prop_map(|(channels, close)| Step::Publish { channels, close }),
        3 => (channels(), 0..8_u64).prop_map(|(channels, back)| Step::Ask { channels, back }),
        1 => (1..8_u64).prop_map(Step::Wait),
    ]
}

fn names(of: &[usize]) -> Vec<ChannelName> {
    of.iter().map(|c| channel(NAMES[*c])).collect()
}

/// A log that forgets no channel during the test, for a reader of this reach or for others.
fn log_of(reach: Reach) -> Log {
    log(Settings {
        closed_for: LONG,
        ..Settings::new(ByteSize::mib(256), reach)
    })
}

/// A reader of `a` from the first event, which may lag so many bytes.
fn reader(log: &Log, lag: u64) -> Cursor {
    let cursor = log.cursor([channel("a")], Position::START);
    cursor.lagging(ByteSize::bytes(lag))
}

async fn compare(steps: Vec<Step>) {
    let others = Reach {
        events: 1000,
        age: LONG,
        ..REACH
    };
    let (narrow, wide) = (log_of(REACH), log_of(REACH.or_more(others)));
    for step in steps {
        match step {
            Step::Publish { channels, close } => {
                let on: Vec<_> = channels.iter().map(|c| NAMES[*c]).collect();
                for log in [&narrow, &wide] {
                    log.append(&[event(&on, close)], number).unwrap();
                }
            }
            Step::Ask { channels, back } => {
                let (on, from) = (names(&channels), narrow.position().seq());
                let from = Position::after(from.saturating_sub(back));
                let gap = narrow.has_gap(&on, from, &REACH);
                assert_eq!(wide.has_gap(&on, from, &REACH), gap);
                assert!(!wide.has_gap(&on, from, &others));
                let seen = |log: &Log| log.has_seen_the_end(&on, from, REACH.closed_for);
                assert_eq!(seen(&wide), seen(&narrow));
                // It may say no where a look at each channel would say yes.
                let is_whole = |log: &Log| log.is_whole_since(from, &REACH);
                assert!(is_whole(&narrow) || !is_whole(&wide));
                assert!(wide.is_whole_since(from, &others));
            }
            Step::Wait(seconds) => advance(Duration::from_secs(seconds)).await,
        }
    }
}

proptest! {
    #[test]
    fn who_comes_back_is_told_what_a_log_of_its_reach_would_tell(steps in prop::collection::vec(step(), 0..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(compare(steps));
    }
}

#[test]
fn nothing_of_a_recording_is_beyond_reach() {
    let log = log_of(Reach { events: 1, ..REACH });
    let (own, a) = ([ChannelName::of_recording(1)], [channel("a")]);
    log.keep_whole(&own[0]);
    let both = [own[0].clone(), a[0].clone()];
    let published = Event {
        channels: both.to_vec(),
        ..event(&["a"], false)
    };
    log.append(&[published.clone(), published.clone(), published], number)
        .unwrap();
    let reach = Reach { events: 1, ..REACH };
    assert!(!log.has_gap(&own, Position::START, &reach));
    assert!(log.has_gap(&a, Position::START, &reach));
}

#[test]
fn an_open_stream_may_lag_less_than_the_log_allows_to_others() {
    let log = log(Settings {
        events: 1,
        ..Settings::default()
    });
    let of = |lag| reader(&log, lag);
    // One event is the window; two more of one byte each trail behind it.
    let mut readers = [of(1), of(2), of(1)];
    let burst = |count| vec![event(&["a"], false); count];
    log.append(&burst(2), number).unwrap();
    let first = (vec![1, 2], Progress::UpToDate);
    assert_eq!(read(&mut readers[2], 10), first, "who keeps up");
    log.append(&burst(1), number).unwrap();
    assert_eq!(read(&mut readers[0], 10), (vec![], Progress::Gap));
    let all = (vec![1, 2, 3], Progress::UpToDate);
    assert_eq!(read(&mut readers[1], 10), all);
    assert_eq!(read(&mut readers[2], 10), (vec![3], Progress::UpToDate));
}

#[test]
fn what_only_passes_counts_for_who_was_there() {
    let log = log(Settings::default());
    let passing = || Event {
        keep: crate::domain::Keep::None,
        ..event(&["a"], false)
    };
    let mut slow = reader(&log, 1);
    log.append(&[passing()], number).unwrap();
    log.append(&[passing()], number).unwrap();
    assert_eq!(read(&mut slow, 10), (vec![], Progress::Gap));
    let mut late = reader(&log, 1);
    assert_eq!(read(&mut late, 10), (vec![], Progress::UpToDate));
}

#[test]
fn a_memo_is_of_those_who_may_lag_as_far() {
    let log = log(Settings {
        events: 1,
        ..Settings::default()
    });
    let of = |lag| reader(&log, lag);
    let (mut far, mut near) = (of(9), of(0));
    log.append(&[event(&["a"], false), event(&["a"], false)], number)
        .unwrap();
    let (mut memo, mut out) = (Memo::default(), std::collections::VecDeque::new());
    let stream = StreamId::from_random(1);
    let found = far.read_alike(stream, 10, &mut out, &mut memo);
    assert_eq!((found, out.len()), (Progress::UpToDate, 2));
    let found = near.read_alike(stream, 10, &mut out, &mut memo);
    assert_eq!(found, Progress::Gap);
}
