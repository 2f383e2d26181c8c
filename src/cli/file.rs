//! Loading the configuration for a subcommand, and telling why it cannot be had.

use std::path::Path;

use super::exit::Exit;
use super::terminal::say;
use crate::config::{self, Config, ConfigError};

/// The configuration; or every mistake on standard error, one a line, and the code to exit with.
pub(super) fn load(path: &Path) -> Result<Config, Exit> {
    config::load(path).map_err(|error| {
        tell(&error);
        Exit::Config
    })
}

/// Says what is wrong.
pub(super) fn tell(error: &ConfigError) {
    match error {
        ConfigError::Unreadable { source, .. } => say(format_args!("{error}: {source}")),
        ConfigError::Invalid { path, problems } => {
            for problem in problems {
                say(format_args!("{}:{problem}", path.display()));
            }
            let mistakes = match problems.len() {
                1 => "1 mistake".to_owned(),
                count => format!("{count} mistakes"),
            };
            say(format_args!("{}: {mistakes}", path.display()));
        }
    }
}
