//! The log against a naive model, over random histories in simulated time.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::tests::{ALL, channel, event, log, number, read};
use super::*;
use crate::domain::{ByteSize, EventName, Keep};

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Publish { channels: Vec<usize>, close: bool },
    Doubt { channels: Vec<usize> },
    Open { channels: Vec<usize>, back: u64 },
    Read { reader: usize, most: usize },
    Leave { reader: usize },
    Wait(u64),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// One step of a history in which not everything is kept.
#[derive(Debug, Clone)]
enum KeepStep {
    Publish {
        channels: Vec<usize>,
        keep: Keep,
        name: usize,
    },
    Other(Step),
}

fn keep_step() -> impl Strategy<Value = KeepStep> {
    let channels = || prop::sample::subsequence(vec![0, 1, 2, 3], 1..=3);
    let keep = prop_oneof![Just(Keep::All), Just(Keep::Last), Just(Keep::None)];
    prop_oneof![
        2 => (channels(), keep, 0..2_usize)
            .prop_map(|(channels, keep, name)| KeepStep::Publish { channels, keep, name }),
        3 => step().prop_filter_map("published above", |step| match step {
            Step::Publish { .. } | Step::Doubt { .. } => None,
            other => Some(KeepStep::Other(other)),
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let channels = || prop::sample::subsequence(vec![0, 1, 2, 3], 1..=3);
    prop_oneof![
        5 => (channels(), prop::bool::weighted(0.1)).prop_map(|(channels, close)| Step::Publish { channels, close }),
        1 => channels().prop_map(|channels| Step::Doubt { channels }),
        2 => (channels(), 0..8_u64).prop_map(|(channels, back)| Step::Open { channels, back }),
        5 => (0..6_usize, 1..5_usize).prop_map(|(reader, most)| Step::Read { reader, most }),
        1 => (0..6_usize).prop_map(|reader| Step::Leave { reader }),
        1 => (1..8_u64).prop_map(Step::Wait),
    ]
}

/// The same log, as a list of everything that ever happened.
struct Model {
    /// A place in doubt takes a number too, as an event of no channel.
    events: Vec<(Vec<usize>, bool, Instant)>,
    /// The newest place in doubt of each channel.
    doubts: [usize; NAMES.len()],
    settings: Settings,
}

impl Model {
    /// Whether channel `c` still holds event number `n`.
    fn holds(&self, c: usize, n: usize) -> bool {
        let newer = self.events[n..]
            .iter()
            .filter(|(channels, ..)| channels.contains(&c))
            .count();
        newer < self.settings.events && self.events[n - 1].2.elapsed() < self.settings.age
    }

    fn read(&self, channels: &[usize], from: usize, most: usize) -> (Vec<u64>, Progress) {
        let mut seen = Vec::new();
        let doubt = channels.iter().map(|c| self.doubts[*c]).max().unwrap_or(0);
        let doubt = (doubt > from).then_some(doubt);
        for n in from + 1..=self.events.len() {
            let (on, close, _) = &self.events[n - 1];
            let mine: Vec<_> = on.iter().filter(|c| channels.contains(c)).collect();
            if mine.iter().any(|c| !self.holds(**c, n)) {
                return (vec![], Progress::Gap);
            }
            if !mine.is_empty() && doubt.is_none_or(|doubt| n < doubt) {
                seen.push((n as u64, *close));
            }
        }
        let end = seen
            .iter()
            .position(|(_, close)| *close)
            .map_or(usize::MAX, |at| at + 1);
        let progress = match end.min(most) {
            count if count > seen.len() && doubt.is_some() => Progress::Doubt,
            count if count > seen.len() => Progress::UpToDate,
            count if count == end => Progress::Closed,
            _ => Progress::More,
        };
        (
            seen.into_iter()
                .take(end.min(most))
                .map(|(n, _)| n)
                .collect(),
            progress,
        )
    }
}

fn run(steps: Vec<Step>, settings: &Settings, exact: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let log = log(settings.clone());
        let mut model = Model {
            events: vec![],
            doubts: [0; NAMES.len()],
            settings: settings.clone(),
        };
        let mut readers: Vec<(Vec<usize>, Cursor)> = vec![];
        for step in steps {
            match step {
                Step::Publish { channels, close } => {
                    let names: Vec<_> = channels.iter().map(|c| NAMES[*c]).collect();
                    log.append(&[event(&names, close)], number).unwrap();
                    model.events.push((channels, close, Instant::now()));
                }
                Step::Doubt { channels } => {
                    let patterns = channels
                        .iter()
                        .map(|c| ChannelPattern::parse(NAMES[*c]).unwrap());
                    log.doubt(&patterns.collect::<Vec<_>>());
                    model.events.push((vec![], false, Instant::now()));
                    for c in channels {
                        model.doubts[c] = model.events.len();
                    }
                }
                Step::Open { channels, back } if readers.len() < 6 => {
                    let names: Vec<_> = channels.iter().map(|c| channel(NAMES[*c])).collect();
                    let from = Position::after(log.position().seq().saturating_sub(back));
                    readers.push((channels, log.cursor(names, from)));
                }
                Step::Read { reader, most } if reader < readers.len() => {
                    let (channels, cursor) = &mut readers[reader];
                    let from = usize::try_from(cursor.position().seq()).unwrap();
                    let expected = model.read(channels, from, most);
                    let found = read(cursor, most);
                    // A name that was forgotten may report a gap that was none.
                    assert!(
                        found == expected || (!exact && found.1 == Progress::Gap),
                        "{found:?} {expected:?}"
                    );
                    if found.1 == Progress::Gap {
                        cursor.skip();
                    }
                }
                Step::Leave { reader } if reader < readers.len() => {
                    drop(readers.swap_remove(reader));
                }
                Step::Wait(seconds) => advance(Duration::from_secs(seconds)).await,
                Step::Open { .. } | Step::Read { .. } | Step::Leave { .. } => {}
            }
        }
    });
}

/// What was published: its channels, what is kept of it, its name, and when.
type Published = (Vec<usize>, Keep, usize, Instant);

/// Whether event `n` is the newest of its name in channel `c`.
fn is_state(events: &[Published], c: usize, n: usize) -> bool {
    let (_, _, name, _) = events[n - 1];
    let newer =
        |(on, keep, other, _): &Published| *keep == Keep::Last && *other == name && on.contains(&c);
    !events[n..].iter().any(newer)
}

/// The events that a reader of `channels` after `from` is owed, if it began when the log ended at `opened`.
fn owed(events: &[Published], channels: &[usize], from: usize, opened: usize) -> Vec<usize> {
    let is_owed = |n: &usize| {
        let (on, keep, _, _) = &events[n - 1];
        let mut mine = on.iter().filter(|c| channels.contains(c));
        match keep {
            _ if *n > opened => mine.next().is_some(),
            Keep::All => mine.next().is_some(),
            Keep::Last => mine.any(|c| is_state(events, *c, *n)),
            Keep::None => false,
        }
    };
    (from + 1..=events.len()).filter(is_owed).collect()
}

/// Whether one of the `owed` events may be gone: out of a window of four, too old, or a second too late for what passes.
fn may_be_gone(
    events: &[Published],
    channels: &[usize],
    owed: &[usize],
    settings: &Settings,
) -> bool {
    owed.iter().any(|n| {
        let (on, _, _, at) = &events[n - 1];
        let crowded = on.iter().filter(|c| channels.contains(c)).any(|c| {
            let newer = events[*n..].iter().filter(|(on, ..)| on.contains(c));
            newer.count() >= settings.events
        });
        crowded || at.elapsed() >= settings.age
    })
}

fn run_kept(steps: Vec<KeepStep>, settings: &Settings) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let log = log(settings.clone());
        let mut events: Vec<Published> = vec![];
        let mut readers: Vec<(Vec<usize>, usize, Cursor)> = vec![];
        for step in steps {
            match step {
                KeepStep::Publish {
                    channels,
                    keep,
                    name,
                } => {
                    let names: Vec<_> = channels.iter().map(|c| NAMES[*c]).collect();
                    let named = EventName::parse(["x", "y"][name]).unwrap();
                    let event = Event {
                        keep,
                        name: Some(named),
                        ..event(&names, false)
                    };
                    log.append(&[event], number).unwrap();
                    events.push((channels, keep, name, Instant::now()));
                }
                KeepStep::Other(Step::Open { channels, back }) if readers.len() < 6 => {
                    let names: Vec<_> = channels.iter().map(|c| channel(NAMES[*c])).collect();
                    let from = Position::after(log.position().seq().saturating_sub(back));
                    // As a stream does: who has a gap begins at the end instead.
                    let from = if log.has_gap(&names, from, &ALL) {
                        log.position()
                    } else {
                        from
                    };
                    readers.push((channels, events.len(), log.cursor(names, from)));
                }
                KeepStep::Other(Step::Read { reader, most }) if reader < readers.len() => {
                    let (channels, opened, cursor) = &mut readers[reader];
                    let from = usize::try_from(cursor.position().seq()).unwrap();
                    let owed = owed(&events, channels, from, *opened);
                    let (found, progress) = read(cursor, most);
                    if progress == Progress::Gap {
                        assert!(may_be_gone(&events, channels, &owed, settings), "{owed:?}");
                        cursor.skip();
                    } else {
                        let expected: Vec<_> = owed.iter().take(most).map(|n| *n as u64).collect();
                        assert_eq!(found, expected);
                        assert_eq!(progress == Progress::UpToDate, owed.len() < most);
                    }
                }
                KeepStep::Other(Step::Leave { reader }) if reader < readers.len() => {
                    drop(readers.swap_remove(reader));
                }
                KeepStep::Other(Step::Wait(seconds)) => advance(Duration::from_secs(seconds)).await,
                KeepStep::Other(_) => {}
            }
        }
    });
}

proptest! {
    #[test]
    fn a_reader_gets_what_was_kept_before_it_began_and_everything_after(steps in prop::collection::vec(keep_step(), 0..150)) {
        let settings = Settings { events: 4, age: Duration::from_secs(9), closed_for: Duration::from_secs(100_000), ..Settings::default() };
        run_kept(steps, &settings);
    }

    #[test]
    fn readers_agree_with_the_model_while_no_channel_is_forgotten(steps in prop::collection::vec(step(), 0..120)) {
        let settings = Settings { events: 4, lag: ByteSize::bytes(0), age: Duration::from_secs(9), closed_for: Duration::from_secs(100_000), ..Settings::default() };
        run(steps, &settings, true);
    }

    #[test]
    fn no_reader_misses_an_event_unawares_when_channels_are_forgotten(steps in prop::collection::vec(step(), 0..120)) {
        let settings = Settings { events: 4, lag: ByteSize::bytes(0), age: Duration::from_secs(3), closed_for: Duration::ZERO, ..Settings::default() };
        run(steps, &settings, false);
    }
}
