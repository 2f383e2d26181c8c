//! `tidegate hash-password`: the hash of a password for `basic_auth`, on standard output.
//!
//! The password is a line of standard input, never an argument: those are seen by everybody on the machine. A terminal
//! does not show it while it is typed.

use std::io::{self, BufRead, IsTerminal as _};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::arguments::HashPasswordArgs;
use super::exit::Exit;
use super::terminal::{data, say};
use crate::tokens::passwords::Hash;
use crate::wire::basic;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
enum NoHash {
    /// Standard input cannot be read.
    #[error("the password cannot be read")]
    Read(#[source] io::Error),
    /// No browser could send it.
    #[error("a password is not empty, has no control characters and at most 1,000 bytes")]
    Password,
    /// A colon would end it.
    #[error("a name has neither a colon nor control characters")]
    Name,
    /// The system gives no random bits.
    #[error("there are no random bits to be had")]
    Random,
}

/// Runs the subcommand.
pub(super) fn run(args: &HashPasswordArgs) -> ExitCode {
    let terminal = Silent::begin();
    if terminal.is_some() {
        say("Password:");
    }
    let made = line_of(args.name.as_deref(), io::stdin().lock());
    drop(terminal);
    match made {
        Ok(line) => {
            data(format_args!("{line}\n"));
            Exit::Good.into()
        }
        Err(error) => {
            say(&error);
            match error {
                NoHash::Password | NoHash::Name => Exit::Usage.into(),
                NoHash::Read(_) | NoHash::Random => Exit::Failed.into(),
            }
        }
    }
}

/// The line for `users`, or the hash alone without a name.
fn line_of(name: Option<&str>, mut input: impl BufRead) -> Result<String, NoHash> {
    let name = name.unwrap_or_default();
    if name.contains(':') || name.chars().any(char::is_control) {
        return Err(NoHash::Name);
    }
    let mut line = String::new();
    input.read_line(&mut line).map_err(NoHash::Read)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() || !basic::may_be_sent(name, password) {
        return Err(NoHash::Password);
    }
    let hash = Hash::make(password.as_bytes()).ok_or(NoHash::Random)?;
    Ok(match name {
        "" => hash,
        name => format!("{name}:{hash}"),
    })
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    /// `None` if standard input is no terminal.
    fn begin() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _restored: rustix::io::Result<()> =
            tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_the_hash_of_its_text() {
        for input in ["s€cret\n", "s€cret\r\n", "s€cret"] {
            let line = line_of(Some("ann"), input.as_bytes()).unwrap();
            let hash = line.strip_prefix("ann:").unwrap();
            assert!(Hash::parse(hash).unwrap().verify("s€cret".as_bytes()));
        }
        let alone = line_of(None, "x\n".as_bytes()).unwrap();
        assert!(alone.starts_with("$argon2id$"), "{alone}");
    }

    #[test]
    fn what_no_browser_sends_is_no_password() {
        for input in ["", "\n", "a\0b\n", "a\tb\n", &"x".repeat(1025)] {
            let refused = line_of(None, input.as_bytes());
            assert!(matches!(refused, Err(NoHash::Password)), "{input:?}");
        }
        let refused = line_of(None, &b"\xff\n"[..]);
        assert!(matches!(refused, Err(NoHash::Read(_))));
        let refused = line_of(Some("a:b"), "x".as_bytes());
        assert!(matches!(refused, Err(NoHash::Name)));
    }
}
