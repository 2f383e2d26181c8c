//! `tidegate run`: serve until told to stop.

use std::process::ExitCode;

use super::arguments::RunArgs;
use super::exit::Exit;
use super::terminal::say;

/// Runs the subcommand.
pub(super) fn run(_args: &RunArgs) -> ExitCode {
    say("`run` is not in this build");
    Exit::Failed.into()
}
