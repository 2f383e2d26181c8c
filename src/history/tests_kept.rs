//! What is kept of an event: states, what only passes, recordings, and what is told and forgotten of a channel.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::advance;

use super::tests::{ALL, channel, event, log, number, read};
use super::*;
use crate::domain::{ByteSize, EventName, Keep};

const STREAM: StreamId = StreamId::from_random(1);

fn publish(log: &Log, name: &str, keep: Keep) -> Position {
    let name = Some(EventName::parse(name).unwrap());
    let event = Event {
        name,
        keep,
        ..event(&["a"], false)
    };
    log.append(&[event], number).unwrap()[0].position
}

fn states(log: &Log) -> Vec<Bytes> {
    let frames = log.states(&[channel("a")], &[], log.position(), STREAM);
    frames.iter().map(Frame::to_bytes).collect()
}

fn numbers(log: &Log, after: Option<Position>) -> Option<Vec<u64>> {
    let (kept, _) = log.history(&channel("a"), after, 100)?;
    Some(kept.iter().map(|kept| kept.place.position.seq()).collect())
}

#[test]
fn of_a_state_only_the_newest_of_each_name_stays() {
    let log = log(Settings::default());
    for name in ["x", "y", "x"] {
        publish(&log, name, Keep::Last);
    }
    assert_eq!(states(&log), ["2", "3"]);
    let mut back = log.cursor(vec![channel("a")], Position::START);
    assert_eq!(read(&mut back, 9), (vec![2, 3], Progress::UpToDate));
    assert!(!log.has_gap(&[channel("a")], Position::START, &ALL));
    assert!(log.is_whole_since(Position::START, &ALL));
}

#[test]
fn who_is_there_gets_every_state_and_all_that_passes() {
    let log = log(Settings::default());
    let mut there = log.cursor(vec![channel("a")], Position::START);
    publish(&log, "x", Keep::Last);
    publish(&log, "x", Keep::None);
    publish(&log, "x", Keep::Last);
    publish(&log, "x", Keep::All);
    assert_eq!(read(&mut there, 9), (vec![1, 2, 3, 4], Progress::UpToDate));
    let mut late = log.cursor(vec![channel("a")], Position::START);
    assert_eq!(read(&mut late, 9), (vec![3, 4], Progress::UpToDate));
}

#[tokio::test(start_paused = true)]
async fn a_state_outlives_the_age_of_history_but_not_its_memory() {
    let settings = Settings {
        memory: ByteSize::kib(8),
        ..Settings::default()
    };
    let log = log(settings);
    publish(&log, "x", Keep::Last);
    advance(Duration::from_secs(100_000)).await;
    assert_eq!(log.size().events, 1);
    assert_eq!(states(&log), ["1"]);
    for _ in 0..100 {
        publish(&log, "y", Keep::All);
    }
    assert_eq!(states(&log), Vec::<Bytes>::new());
    assert!(log.has_gap(&[channel("a")], Position::START, &ALL));
}

#[test]
fn a_channel_has_no_more_states_than_history_has_events() {
    let log = log(Settings {
        events: 3,
        ..Settings::default()
    });
    for name in ["a", "b", "c", "d"] {
        publish(&log, name, Keep::Last);
    }
    assert_eq!(states(&log), ["2", "3", "4"]);
    assert!(log.has_gap(&[channel("a")], Position::START, &ALL));
    assert!(!log.has_gap(&[channel("a")], Position::after(1), &ALL));
}

#[tokio::test(start_paused = true)]
async fn what_only_passes_is_gone_after_a_moment_and_then_a_gap_for_those_who_were_there() {
    let log = log(Settings::default());
    let mut there = log.cursor(vec![channel("a")], Position::START);
    publish(&log, "x", Keep::None);
    assert_eq!(log.size().events, 1);
    advance(Duration::from_secs(11)).await;
    assert_eq!(log.size().events, 0);
    assert_eq!(read(&mut there, 9), (vec![], Progress::Gap));
    let mut late = log.cursor(vec![channel("a")], Position::START);
    assert_eq!(read(&mut late, 9), (vec![], Progress::UpToDate));
}

#[tokio::test(start_paused = true)]
async fn what_passes_where_nobody_is_leaves_nothing_behind() {
    for lag in [ByteSize::bytes(0), ByteSize::kib(256)] {
        let log = log(Settings {
            lag,
            memory: ByteSize::kib(64),
            ..Settings::default()
        });
        for number in 0..10_000 {
            let name = format!("once-{number}");
            let event = Event {
                keep: Keep::None,
                ..event(&[name.as_str()], false)
            };
            log.append(&[event], self::number).unwrap();
        }
        assert!(log.size().bytes <= 64 * 1024, "{:?}", log.size());
        advance(Duration::from_secs(100_000)).await;
        let Size {
            bytes, channels, ..
        } = log.size();
        assert_eq!((bytes, channels), (0, 0), "{lag}");
        publish(&log, "x", Keep::All);
        assert_eq!(numbers(&log, None), Some(vec![10_001]));
    }
}

#[test]
fn who_looks_at_all_channels_sees_what_passes_where_nobody_is() {
    let log = log(Settings::default());
    let start = log.position();
    publish(&log, "x", Keep::None);
    publish(&log, "y", Keep::Last);
    let (told, _) = log.read_all(start, 9).unwrap();
    assert_eq!(told.len(), 2);
}

#[test]
fn more_states_than_a_channel_has_reach_who_is_there() {
    let log = log(Settings {
        events: 2,
        ..Settings::default()
    });
    let mut there = log.cursor(vec![channel("a")], Position::START);
    for name in ["x", "y", "z"] {
        publish(&log, name, Keep::Last);
    }
    assert_eq!(read(&mut there, 9), (vec![1, 2, 3], Progress::UpToDate));
    let mut late = log.cursor(vec![channel("a")], Position::START);
    assert_eq!(read(&mut late, 9), (vec![], Progress::Gap));
}

#[test]
fn a_closing_event_is_kept_for_who_comes_back_for_it() {
    let log = log(Settings::default());
    publish(&log, "x", Keep::All);
    let close = Event {
        keep: Keep::None,
        ..event(&["a"], true)
    };
    log.append(&[close], number).unwrap();
    let mut back = log.cursor(vec![channel("a")], Position::after(1));
    assert_eq!(read(&mut back, 9), (vec![2], Progress::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_kept_whole_until_it_is_forgotten() {
    let log = log(Settings {
        events: 2,
        ..Settings::default()
    });
    log.keep_whole(&channel("a"));
    for _ in 0..5 {
        publish(&log, "x", Keep::All);
        advance(Duration::from_secs(1000)).await;
    }
    assert_eq!(numbers(&log, None), Some(vec![1, 2, 3, 4, 5]));
    log.forget(&channel("a"));
    assert_eq!(log.size().events, 0);
}

#[test]
fn history_is_told_in_pages() {
    let log = log(Settings {
        events: 3,
        ..Settings::default()
    });
    publish(&log, "x", Keep::Last);
    for _ in 0..3 {
        publish(&log, "x", Keep::All);
    }
    assert_eq!(numbers(&log, None), Some(vec![1, 2, 3, 4]));
    assert_eq!(numbers(&log, Some(Position::after(3))), Some(vec![4]));
    let (page, more) = log.history(&channel("a"), None, 2).unwrap();
    assert!(page.len() == 2 && more);
    publish(&log, "x", Keep::All);
    assert_eq!(numbers(&log, Some(Position::START)), None, "2 is gone");
    assert_eq!(numbers(&log, None), Some(vec![1, 3, 4, 5]));
    assert_eq!(log.history(&channel("b"), None, 2), Some((vec![], false)));
}

#[test]
fn whoever_was_before_a_channel_was_forgotten_has_a_gap() {
    let log = log(Settings::default());
    let mut there = log.cursor(vec![channel("a")], Position::START);
    publish(&log, "x", Keep::Last);
    publish(&log, "x", Keep::All);
    log.forget(&channel("a"));
    assert_eq!(read(&mut there, 9), (vec![], Progress::Gap));
    assert!(states(&log).is_empty() && log.has_gap(&[channel("a")], Position::after(1), &ALL));
    assert!(!log.has_gap(&[channel("a")], log.position(), &ALL));
}

#[test]
fn a_readers_lag_counts_an_event_of_two_channels_once() {
    let log = log(Settings::default());
    let both = [channel("a"), channel("b")];
    let _there = log.cursor(both.to_vec(), Position::START);
    log.append(&[event(&["a", "b"], false)], number).unwrap();
    publish(&log, "x", Keep::None);
    assert_eq!(log.lag(&both, Position::START), 2);
    assert_eq!(log.lag(&both, Position::after(1)), 1);
}

#[test]
fn a_forgotten_recording_leaves_nothing_behind() {
    let log = log(Settings::default());
    let before = log.position();
    for bits in 0..10_000 {
        let name = ChannelName::of_recording(bits);
        log.keep_whole(&name);
        let recorded = Event {
            channels: vec![name.clone()],
            ..event(&["a"], false)
        };
        log.append(&[recorded], number).unwrap();
        let reader = log.cursor(vec![name.clone()], before);
        log.forget(&name);
        drop(reader);
    }
    let empty = Size {
        events: 0,
        bytes: 0,
        channels: 0,
    };
    assert_eq!(log.size(), empty);
    assert!(
        log.is_whole_since(before, &ALL),
        "for all who can be asked for"
    );
    assert!(
        !log.has_gap(&[channel("a")], before, &ALL),
        "others missed nothing"
    );
}
