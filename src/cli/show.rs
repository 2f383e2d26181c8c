//! `tidegate show`: the configuration in force, as TOML on standard output.

use std::process::ExitCode;

use super::arguments::FileArgs;
use super::exit::Exit;
use super::{file, terminal};
use crate::config;

/// Runs the subcommand.
pub(super) fn run(args: &FileArgs) -> ExitCode {
    match file::load(&args.config) {
        Ok(config) => {
            terminal::data(config::show(&config));
            Exit::Good.into()
        }
        Err(exit) => exit.into(),
    }
}
