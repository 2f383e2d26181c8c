//! Criterion benches of what is done for each event and each request, apart from the kernel and the runtime.
//!
//! `cargo bench -p tidegate-bench`, or with a part of a name behind `--`. They answer whether a change of one function
//! helped it; whether that matters is for `tests/bench/compare` to say. One module for each part of the gateway.

mod encoder;
mod headers;
mod history;
mod routes;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    hot,
    encoder::benches,
    history::benches,
    routes::benches,
    headers::benches
);
criterion_main!(hot);
