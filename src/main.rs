//! The `tidegate` program: everything is in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::start(std::env::args_os())
}
