//! `history`: what a publish appends, and what a stream reads when it is woken.

use std::collections::VecDeque;
use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use tidegate::base::metrics::Registry;
use tidegate::domain::{ChannelName, Epoch, Event, Position, StreamId};
use tidegate::history::{Cursor, Log, Settings};
use tidegate::wire::sse;

use crate::encoder::event;

const STREAM: StreamId = StreamId::from_random(1);

fn log() -> Log {
    Log::new(
        Settings::default(),
        Epoch::from_random(7),
        &Registry::default(),
    )
}

fn on(channel: usize) -> Event {
    Event {
        channels: vec![name(channel)],
        ..event(vec![b'x'; 200])
    }
}

fn name(channel: usize) -> ChannelName {
    ChannelName::parse(&format!("room-{channel}")).expect("a name")
}

fn read(cursor: &mut Cursor) -> usize {
    let mut frames = VecDeque::new();
    cursor.read(STREAM, 256, &mut frames);
    frames.len()
}

/// The cost of an append must not grow with the channels there are.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("history append");
    for channels in [1, 1_000, 100_000] {
        let log = log();
        let events: Vec<_> = (0..channels).map(|channel| [on(channel)]).collect();
        let mut next = 0;
        group.bench_function(format!("{channels} channels"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % channels;
                log.append(black_box(&events[next]), sse::event)
            });
        });
    }
    group.finish();
}

/// One new event is there: what each stream of a channel does for each publish. And 200 of them: a stream that was away.
fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("history read");
    for events in [1, 200_u64] {
        let log = log();
        for _ in 0..256 {
            log.append(&[on(1)], sse::event).expect("there is room");
        }
        let place = Position::after(log.position().seq() - events);
        group.bench_function(format!("{events} events"), |bencher| {
            bencher.iter_batched_ref(
                || log.cursor(vec![name(1)], place),
                read,
                BatchSize::SmallInput,
            );
        });
    }
    let log = log();
    let mut cursor = log.cursor(vec![name(1)], log.position());
    group.bench_function("nothing new", |bencher| bencher.iter(|| read(&mut cursor)));
    group.finish();
}

pub fn benches(criterion: &mut Criterion) {
    append(criterion);
    reading(criterion);
}
