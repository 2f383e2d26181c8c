//! The command line: arguments, subcommands, exit codes. Floor 10; besides `main` the only place that prints.
//!
//! `client` talks to a listener; `publish`, `tail`, `console` and `reload` are the commands that use it, and `remote` finds the
//! listener for them; `error` says how each of their failures leaves.

mod arguments;
mod check;
pub(crate) mod client;
mod completions;
pub(crate) mod console;
pub(crate) mod error;
mod exit;
mod explain;
mod file;
mod hash_password;
pub(crate) mod health;
mod init;
mod line;
pub(crate) mod publish;
pub(crate) mod reload;
mod remote;
mod run;
mod runtime;
#[cfg(test)]
mod scripted;
mod show;
pub(crate) mod tail;
mod terminal;
mod token;
pub(crate) mod top;
mod watchdog;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

pub use arguments::{
    Arguments, ChannelsArgs, CheckArgs, Command, CompletionsArgs, Connection, ExplainArgs,
    FileArgs, HashPasswordArgs, HealthArgs, InitArgs, KickArgs, KickWhat, PublishArgs, ReloadArgs,
    RunArgs, ShowArgs, TailArgs,
};
pub use exit::Exit;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "gateway.toml";

/// Does what the command line says; the first argument is the program's name.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => {
            let code = dispatch(arguments);
            if terminal::is_lost() {
                Exit::Failed.into()
            } else {
                code
            }
        }
        Err(error) => {
            // Help and the version are no mistakes: clap says them on standard output and exits with 0.
            drop(error.print());
            if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Good.into()
            }
        }
    }
}

fn dispatch(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Show(args)) => show::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Publish(args)) => remote::publish(args),
        Some(Command::Tail(args)) => remote::tail(&args),
        Some(Command::Top(args)) => remote::top(&args),
        Some(Command::Channels(args)) => remote::channels(&args),
        Some(Command::Kick(args)) => remote::kick(&args),
        Some(Command::HashPassword(args)) => hash_password::run(&args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Reload(args)) => remote::reload(&args),
        Some(Command::Health(args)) => remote::health(args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Version) => {
            terminal::data(concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n"));
            Exit::Good.into()
        }
        None if Path::new(DEFAULT_FILE).exists() => run::run(&RunArgs::default()),
        None => {
            terminal::say(Arguments::command().render_help());
            terminal::say(format_args!("There is no {DEFAULT_FILE} here to run with."));
            Exit::Usage.into()
        }
    }
}
