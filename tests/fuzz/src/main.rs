//! The fuzz targets of Tidegate in one program; `FUZZ_TARGET` names the one that runs.
//!
//! Started by `tests/fuzz/run`, which knows the targets by the files in `src/targets/`. Each asserts what its format
//! promises, for any bytes; that nothing panics comes with it. libFuzzer brings `main`, the mutations and the arguments.

#![no_main]

mod cut;
mod parts;
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use targets::Target;

static CHECK: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    targets::find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET: there is no target {name:?}"))
});

fuzz_target!(|data: &[u8]| -> Corpus {
    match (*CHECK)(data) {
        Some(()) => Corpus::Keep,
        None => Corpus::Reject,
    }
});
