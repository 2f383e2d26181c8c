//! `routes`: which route answers a path, once for each request.

use std::hint::black_box;

use criterion::Criterion;
use tidegate::routes::{Entry, PathPattern, Table};

fn table(paths: &[&str]) -> Table<usize> {
    let entry = |(target, path): (usize, &&str)| {
        Entry::new(PathPattern::parse(path).expect("a pattern"), target)
    };
    Table::new(paths.iter().enumerate().map(entry).collect())
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let table = table(&[
        "/notes/events/",
        "/rooms/<slug:room>/events/",
        "/jobs/<uuid:job>/events/",
        "/shop/<int:shop>/orders/<int:order>/events/",
        "/static/<path:file>",
        "/<path:rest>",
    ]);
    for (name, path) in [
        ("the first", "/notes/events/"),
        ("one part", "/rooms/tea-and-biscuits/events/"),
        ("two parts", "/shop/12/orders/345678/events/"),
        ("the last", "/accounts/profile/edit/"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| table.find(black_box(path)).map(|(entry, _)| entry.target));
        });
    }
    group.finish();
}
