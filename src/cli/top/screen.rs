//! The terminal while `top` runs: a screen of its own, put away when this is dropped.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use rustix::termios::tcgetwinsize;

/// The other screen, without a cursor.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l";
/// The cursor, and the screen there was before.
const END: &str = "\x1b[?25h\x1b[?1049l";

/// How large the terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// The screen.
#[derive(Debug)]
pub(super) struct Screen<W: Write>(W);

impl<W: Write> Screen<W> {
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        write!(out, "{BEGIN}")?;
        out.flush()?;
        Ok(Self(out))
    }

    /// Puts these lines in the place of those that are there, without a moment in which there are none.
    pub(super) fn show(&mut self, lines: &str) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        let mut between = "";
        for line in lines.lines() {
            // Each ends where the rest of the old one is wiped out; none begins a line below the last.
            text.push_str(between);
            text.push_str(line);
            text.push_str("\x1b[K");
            between = "\r\n";
        }
        text.push_str("\x1b[J");
        self.0.write_all(text.as_bytes())?;
        self.0.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        drop(write!(self.0, "{END}").and_then(|()| self.0.flush()));
    }
}

/// The size of the terminal now; the usual one if it does not say.
pub(super) fn size() -> Size {
    let out = io::stdout();
    let told = out.is_terminal().then(|| tcgetwinsize(out.as_fd()));
    match told {
        Some(Ok(told)) if told.ws_col > 0 && told.ws_row > 0 => Size {
            columns: told.ws_col.into(),
            rows: told.ws_row.into(),
        },
        _ => Size {
            columns: 80,
            rows: 24,
        },
    }
}
