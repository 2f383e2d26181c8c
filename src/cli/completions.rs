//! `tidegate completions`: the script by which a shell completes the command line, on standard output.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::arguments::{Arguments, CompletionsArgs};
use super::exit::Exit;
use super::terminal;

/// Runs the subcommand.
pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    terminal::data(script(args.shell));
    Exit::Good.into()
}

fn script(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tidegate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_is_told_of_every_command() {
        for shell in clap_complete::Shell::value_variants() {
            let script = script(*shell);
            for command in Arguments::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}");
            }
        }
    }
}
