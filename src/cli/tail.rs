//! `tidegate tail`: print events as they pass through a running gateway.

use std::process::ExitCode;

use super::arguments::TailArgs;
use super::exit::Exit;
use super::terminal::say;

/// Runs the subcommand.
pub(super) fn run(_args: &TailArgs) -> ExitCode {
    say("`tail` is not in this build");
    Exit::Failed.into()
}
