//! How this process ends: the numbers scripts and systemd rely on, `sysexits.h` where it has one.

use std::process::ExitCode;

/// The exit codes of all subcommands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Good = 0,
    /// Failed while running.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The server, or with `check --online` an upstream, cannot be reached.
    Unreachable = 69,
    /// The server refuses the token.
    Denied = 77,
    /// The configuration is wrong or cannot be read.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
