//! The two ways out to the terminal: text for people goes to standard error, data to standard output.
//!
//! A reader that has gone away (`tidegate show | head`) is no failure of ours.

use std::fmt::Display;
use std::io::{self, Write as _};

/// A line for people.
pub(super) fn say(line: impl Display) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Data as it is.
pub(super) fn data(text: impl Display) {
    let mut out = io::stdout().lock();
    drop(write!(out, "{text}").and_then(|()| out.flush()));
}
