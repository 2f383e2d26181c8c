//! The `tidegate` program: everything is in the library, so that tests can reach it.

use std::process::ExitCode;

/// Chosen by measurement: see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::start(std::env::args_os())
}
