//! The two ways out to the terminal: text for people goes to standard error, data to standard output.
//!
//! A reader that has gone away (`tidegate show | head`) is no failure of ours.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether data could not be written, though there is a reader.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// A line for people.
pub(super) fn say(line: impl Display) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Data as it is.
pub(super) fn data(text: impl Display) {
    let mut out = io::stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && !IS_LOST.swap(true, Ordering::Relaxed)
    {
        say(format_args!("standard output cannot be written: {error}"));
    }
}

/// Whether some of the data is lost: then the command has failed, whatever it did.
pub(super) fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}
