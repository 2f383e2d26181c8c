//! `wire::sse`: an event becomes a frame, once for each publish.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use tidegate::domain::{ChannelName, Epoch, Event, EventId, EventName, Keep, Position};
use tidegate::wire::sse;

pub fn event(data: Vec<u8>) -> Event {
    Event {
        channels: vec![ChannelName::parse("room-1").expect("a name")],
        name: EventName::parse("tick").ok(),
        data: Some(Bytes::from(data)),
        id: None,
        retry: None,
        keep: Keep::All,
        close: false,
        except: None,
    }
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encoder");
    let own = EventId {
        epoch: Epoch::from_random(7),
        position: Position::after(123_456),
    };
    let lines = "a line of a text\n".repeat(600).into_bytes();
    for (name, data) in [("200 bytes", vec![b'x'; 200]), ("10 KiB of lines", lines)] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        let event = event(data);
        group.bench_function(name, |bencher| {
            bencher.iter(|| sse::event(black_box(&event), own));
        });
    }
    group.finish();
}
