//! The bounds of the log one by one.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::advance;

use super::*;
use crate::domain::{ByteSize, Keep, StreamId};

const STREAM: StreamId = StreamId::from_random(1);
/// A reader that may be given whatever the log has.
pub(super) const ALL: Reach = Reach {
    events: usize::MAX,
    age: Duration::MAX,
    lag: ByteSize::bytes(u64::MAX),
    closed_for: CLOSED_FOR,
};
/// For how long a reader wants to be told of the end of a channel.
const CLOSED_FOR: Duration = Duration::from_secs(600);

pub(super) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(super) fn event(channels: &[&str], close: bool) -> Event {
    Event {
        channels: channels.iter().map(|name| channel(name)).collect(),
        name: None,
        data: Some(Bytes::from_static(b"x")),
        id: None,
        retry: None,
        close,
        keep: Keep::All,
        except: None,
    }
}

/// A frame that holds nothing but the event's number.
pub(super) fn number(_: &Event, id: EventId) -> Frame {
    Frame::new(id.position.seq().to_string().as_bytes())
}

pub(super) fn log(settings: Settings) -> Log {
    Log::new(settings, Epoch::from_random(7), &Registry::default())
}

fn publish(log: &Log, channels: &[&str]) -> Position {
    log.append(&[event(channels, false)], number).unwrap()[0].position
}

pub(super) fn read(cursor: &mut Cursor, most: usize) -> (Vec<u64>, Progress) {
    let mut out = VecDeque::new();
    let progress = cursor.read(STREAM, most, &mut out);
    let numbers = out.iter().map(|frame| {
        std::str::from_utf8(frame.as_bytes())
            .unwrap()
            .parse()
            .unwrap()
    });
    (numbers.collect(), progress)
}

#[test]
fn an_event_of_two_channels_is_read_once_by_a_stream_on_both() {
    let log = log(Settings::default());
    let mut both = log.cursor(vec![channel("a"), channel("b")], Position::START);
    publish(&log, &["a"]);
    publish(&log, &["a", "b"]);
    publish(&log, &["c"]);
    publish(&log, &["b"]);
    assert_eq!(read(&mut both, 10), (vec![1, 2, 4], Progress::UpToDate));
    assert_eq!(both.position(), Position::after(4));
}

#[test]
fn a_place_in_doubt_is_told_once_and_costs_nothing_that_is_there() {
    let log = log(Settings::default());
    let mut live = log.cursor(vec![channel("a-1"), channel("b")], Position::START);
    let mut other = log.cursor(vec![channel("b")], Position::START);
    let before = publish(&log, &["a-1"]);
    let patterns = ["a-*", "c"].map(|text| ChannelPattern::parse(text).unwrap());
    log.doubt(&patterns);
    publish(&log, &["a-1", "b"]);
    assert_eq!(read(&mut live, 10), (vec![1], Progress::Doubt));
    assert_eq!(live.position(), before.next());
    assert_eq!(read(&mut live, 10), (vec![3], Progress::UpToDate));
    assert_eq!(read(&mut other, 10), (vec![3], Progress::UpToDate));
    // Also a channel of which the log knows nothing.
    for (name, in_doubt) in [("a-2", true), ("c", true), ("b", false)] {
        let channels = [channel(name)];
        assert_eq!(log.has_gap(&channels, before, &ALL), in_doubt, "{name}");
        assert_eq!(log.is_in_doubt(&channels, before), in_doubt);
        assert!(!log.has_gap(&channels, before.next(), &ALL));
        assert_eq!(
            log.history(&channels[0], Some(before), 10).is_none(),
            in_doubt
        );
        assert!(log.history(&channels[0], None, 10).is_some());
    }
    assert!(!log.is_whole_since(before, &ALL) && log.is_whole_since(before.next(), &ALL));
    // Only the newest place is kept for each pattern.
    log.doubt(&patterns);
    assert_eq!(read(&mut live, 10), (vec![], Progress::Doubt));
    assert_eq!(live.position(), log.position());
    // Nobody outside publishes to the channel of a user.
    let user = ChannelName::of_user(&crate::domain::UserId::parse("a-1").unwrap());
    log.doubt(&[ChannelPattern::parse("*").unwrap()]);
    assert!(!log.has_gap(&[user], Position::START, &ALL));
}

#[test]
fn a_batch_is_one_step_of_the_log() {
    let log = log(Settings::default());
    let ids = log
        .append(&[event(&["a"], false), event(&["b"], false)], number)
        .unwrap();
    assert_eq!(
        ids.iter().map(|id| id.position.seq()).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_reader_stops_at_the_closing_event_and_whoever_saw_it_has_seen_the_end() {
    let log = log(Settings::default());
    let a = [channel("a")];
    let mut cursor = log.cursor(a.to_vec(), Position::START);
    log.append(&[event(&["a"], false), event(&["a"], true)], number)
        .unwrap();
    assert_eq!(read(&mut cursor, 10), (vec![1, 2], Progress::Closed));
    assert!(
        log.has_seen_the_end(&a, Position::after(2), CLOSED_FOR)
            && !log.has_seen_the_end(&a, Position::after(1), CLOSED_FOR)
    );
    publish(&log, &["a"]);
    assert!(
        !log.has_seen_the_end(&a, Position::after(2), CLOSED_FOR),
        "publishing again opens it again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_channel_is_remembered_for_closed_for_even_without_readers() {
    let closed_for = Duration::from_secs(60);
    let log = log(Settings {
        closed_for,
        age: Duration::from_secs(1),
        ..Settings::default()
    });
    let a = [channel("a")];
    log.append(&[event(&["a"], true)], number).unwrap();
    advance(closed_for.saturating_sub(Duration::from_millis(1))).await;
    log.observe();
    assert!(log.has_seen_the_end(&a, Position::after(1), closed_for));
    advance(Duration::from_millis(1)).await;
    assert!(!log.has_seen_the_end(&a, Position::after(1), closed_for));
}

#[test]
fn an_excepted_stream_passes_over_the_event() {
    let log = log(Settings::default());
    let mut cursor = log.cursor(vec![channel("a")], Position::START);
    log.append(
        &[Event {
            except: Some(STREAM),
            ..event(&["a"], false)
        }],
        number,
    )
    .unwrap();
    publish(&log, &["a"]);
    assert_eq!(read(&mut cursor, 10), (vec![2], Progress::UpToDate));
}

#[test]
fn more_events_than_a_channel_keeps_are_a_gap_for_who_was_before_them() {
    let log = log(Settings {
        events: 3,
        lag: ByteSize::bytes(0),
        ..Settings::default()
    });
    let mut early = log.cursor(vec![channel("a")], Position::START);
    for _ in 0..4 {
        publish(&log, &["a"]);
    }
    assert_eq!(read(&mut early, 10), (vec![], Progress::Gap));
    let mut late = log.cursor(vec![channel("a")], Position::after(1));
    assert_eq!(read(&mut late, 10), (vec![2, 3, 4], Progress::UpToDate));
    assert!(
        log.is_whole_since(Position::after(1), &ALL) && !log.is_whole_since(Position::START, &ALL)
    );
    assert!(!early.skip());
    assert_eq!(read(&mut early, 10), (vec![], Progress::UpToDate));
}

#[test]
fn a_burst_longer_than_the_window_reaches_who_was_there_and_is_a_gap_for_who_comes_back() {
    let log = log(Settings {
        events: 3,
        ..Settings::default()
    });
    let a = [channel("a")];
    let mut open = log.cursor(a.to_vec(), Position::START);
    let burst: Vec<_> = (0..20).map(|_| event(&["a"], false)).collect();
    log.append(&burst, number).unwrap();
    assert!(
        log.has_gap(&a, Position::after(16), &ALL) && !log.has_gap(&a, Position::after(17), &ALL)
    );
    assert!(
        !log.is_whole_since(Position::after(16), &ALL)
            && log.is_whole_since(Position::after(17), &ALL)
    );
    assert_eq!(log.depths()[0].events, 3);
    assert_eq!(
        read(&mut open, 100),
        ((1..=20).collect(), Progress::UpToDate)
    );
}

#[test]
fn what_an_open_stream_may_lag_behind_is_bounded_in_bytes() {
    let log = log(Settings {
        events: 3,
        lag: ByteSize::bytes(4),
        ..Settings::default()
    });
    let mut slow = log.cursor(vec![channel("a")], Position::START);
    for _ in 0..7 {
        publish(&log, &["a"]);
    }
    assert_eq!(
        read(&mut slow, 2),
        (vec![1, 2], Progress::More),
        "four one-byte frames trail behind three"
    );
    publish(&log, &["a"]);
    assert_eq!(read(&mut slow, 2).0, [3, 4]);
    for _ in 0..6 {
        publish(&log, &["a"]);
    }
    assert_eq!(read(&mut slow, 2).1, Progress::Gap);
}

#[tokio::test(start_paused = true)]
async fn a_trail_goes_with_its_time_and_with_the_last_reader() {
    let log = log(Settings {
        events: 1,
        ..Settings::default()
    });
    let reader = log.cursor(vec![channel("a")], Position::START);
    for _ in 0..10 {
        publish(&log, &["a"]);
    }
    assert_eq!(log.size().events, 10);
    advance(Duration::from_secs(10)).await;
    assert_eq!(log.size().events, 1);
    for _ in 0..10 {
        publish(&log, &["a"]);
    }
    assert_eq!(log.size().events, 11);
    drop(reader);
    assert_eq!(log.size().events, 1);
}

#[tokio::test(start_paused = true)]
async fn events_leave_by_age() {
    let log = log(Settings {
        age: Duration::from_secs(10),
        ..Settings::default()
    });
    publish(&log, &["a"]);
    advance(Duration::from_secs(6)).await;
    publish(&log, &["a"]);
    advance(Duration::from_secs(6)).await;
    let mut cursor = log.cursor(vec![channel("a")], Position::START);
    assert_eq!(read(&mut cursor, 10).1, Progress::Gap);
    let mut cursor = log.cursor(vec![channel("a")], Position::after(1));
    assert_eq!(read(&mut cursor, 10), (vec![2], Progress::UpToDate));
}

#[test]
fn memory_is_bounded_and_the_oldest_events_of_all_channels_leave_first() {
    let log = log(Settings {
        memory: ByteSize::kib(8),
        ..Settings::default()
    });
    for n in 0..1000 {
        publish(&log, &[if n % 2 == 0 { "a" } else { "b" }]);
        assert!(lock(&log.0.state).bytes() <= 8 << 10);
    }
    let depths = log.depths();
    assert!(depths.iter().all(|depth| depth.events > 5), "{depths:?}");
    let huge = Event {
        data: Some(Bytes::from(vec![b'x'; 9 << 10])),
        ..event(&["a"], false)
    };
    let whole = |event: &Event, _| Frame::new(event.data.as_deref().unwrap());
    assert_eq!(
        log.append(&[event(&["a"], false), huge], whole),
        Err(AppendError::TooLarge)
    );
    assert_eq!(
        log.position(),
        Position::after(1000),
        "nothing of the batch was taken"
    );
}

#[test]
fn names_nobody_published_to_leave_nothing_behind() {
    let log = log(Settings::default());
    for n in 0..1000 {
        drop(log.cursor(vec![channel(&format!("room-{n}"))], Position::START));
    }
    let state = lock(&log.0.state);
    assert_eq!((state.channel_count(), state.bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_table_of_channels_is_bounded_and_forgetting_never_hides_a_gap() {
    let log = log(Settings {
        memory: ByteSize::kib(64),
        ..Settings::default()
    });
    for n in 0..5000 {
        publish(&log, &[&format!("job-{n}")]);
    }
    assert!(lock(&log.0.state).channel_count() < 300);
    let mut cursor = log.cursor(vec![channel("job-7")], Position::START);
    assert_eq!(read(&mut cursor, 10), (vec![], Progress::Gap));
}

#[tokio::test(start_paused = true)]
async fn a_channel_with_a_reader_knows_exactly_what_it_dropped_for_ever() {
    let log = log(Settings {
        age: Duration::from_secs(1),
        closed_for: Duration::ZERO,
        ..Settings::default()
    });
    let mut cursor = log.cursor(vec![channel("quiet")], Position::START);
    for _ in 0..100 {
        publish(&log, &["busy"]);
        advance(Duration::from_secs(2)).await;
    }
    assert_eq!(read(&mut cursor, 10), (vec![], Progress::UpToDate));
}

#[test]
fn a_quiet_channel_does_not_report_the_gaps_of_others_when_its_client_comes_back() {
    let log = log(Settings {
        memory: ByteSize::kib(512),
        ..Settings::default()
    });
    let quiet = [channel("quiet")];
    let cursor = log.cursor(quiet.to_vec(), Position::START);
    for n in 0..30_000 {
        publish(&log, &[&format!("job-{n}")]);
    }
    drop(cursor);
    assert!(!log.has_gap(&quiet, Position::START, &ALL));
}

#[test]
fn each_channel_of_an_event_counts() {
    let log = log(Settings::default());
    publish(&log, &["a", "b", "c"]);
    let three = log.size().bytes;
    publish(&log, &["a", "b", "c"]);
    let more = log.size().bytes - three;
    publish(&log, &["a"]);
    assert!(more > log.size().bytes - three - more);
}

#[test]
fn a_publishers_id_is_found_where_it_was_used_last() {
    let log = log(Settings::default());
    let id = |text| PublisherId::parse(text).unwrap();
    let with_id = |name, text| Event {
        id: Some(id(text)),
        ..event(&[name], false)
    };
    log.append(
        &[
            with_id("a", "x"),
            with_id("a", "y"),
            with_id("a", "x"),
            with_id("b", "y"),
        ],
        number,
    )
    .unwrap();
    let (a, b) = (channel("a"), channel("b"));
    assert_eq!(
        log.find(std::slice::from_ref(&a), &id("x")),
        Found::At(Position::after(3))
    );
    assert_eq!(
        log.find(std::slice::from_ref(&b), &id("x")),
        Found::Nowhere,
        "not a channel of this reader"
    );
    assert_eq!(log.find(&[a, b], &id("y")), Found::Ambiguous);
}

#[test]
fn the_tap_reads_all_channels_in_order() {
    let log = log(Settings {
        events: 2,
        ..Settings::default()
    });
    for name in ["a", "b", "a"] {
        publish(&log, &[name]);
    }
    let (events, place) = log.read_all(Position::START, 2).unwrap();
    assert_eq!(
        events
            .iter()
            .map(|(names, _)| names[0].as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    let (rest, place) = log.read_all(place, 2).unwrap();
    assert_eq!((rest.len(), place), (1, Position::after(3)));
    publish(&log, &["a"]);
    assert!(
        log.read_all(Position::START, 2).is_none(),
        "the first event has left its channel"
    );
}
