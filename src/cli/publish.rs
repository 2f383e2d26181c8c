//! `tidegate publish`: send one event, or a stream of them, to a running gateway.

use std::process::ExitCode;

use super::arguments::PublishArgs;
use super::exit::Exit;
use super::terminal::say;

/// Runs the subcommand.
pub(super) fn run(_args: &PublishArgs) -> ExitCode {
    say("`publish` is not in this build");
    Exit::Failed.into()
}
