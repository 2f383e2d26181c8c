//! `tidegate explain`: what would become of a request, by the file alone. No gateway need run.
//!
//! `request` reads the command line, `proxy::explain` goes the way of the request, `told` says what that came to, and `text`
//! writes it for people. However the request ends, the command has done what it was asked to: its exit code is 0.

mod request;
#[cfg(test)]
mod tests;
mod text;
mod told;

use std::process::ExitCode;

use super::arguments::ExplainArgs;
use super::error::with_causes;
use super::exit::Exit;
use super::terminal::{data, say};
use super::{file, runtime};
use crate::config::{self, Config};
use crate::{app, proxy};
use request::Wanted;
use told::Told;

/// Runs the subcommand.
pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let config = match file::load(&args.file.config) {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let wanted = match Wanted::read(args, &config) {
        Ok(wanted) => wanted,
        Err(error) => {
            say(with_causes(&error));
            return Exit::Usage.into();
        }
    };
    let lines = config::route_lines(&args.file.config);
    let told = match runtime::run(told(&config, wanted, &lines)) {
        Ok(told) => told,
        Err(error) => {
            say(format_args!("no runtime: {error}"));
            return Exit::Failed.into();
        }
    };
    if args.json {
        data(format_args!("{:#}\n", told.as_json()));
    } else {
        data(text::of(&told));
    }
    Exit::Good.into()
}

async fn told(config: &Config, wanted: Wanted, lines: &[usize]) -> Told {
    let site = app::site(config.clone());
    let Wanted {
        parts,
        conn,
        request,
    } = wanted;
    let given = parts.headers.clone();
    let explained = Box::pin(proxy::explain::explain(&site, parts, &conn)).await;
    Told::of(explained, request, &given, config, lines)
}
