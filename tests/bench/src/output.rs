//! Lines of JSON on standard output, and the signals that come on standard input.

use std::io::{BufRead as _, Write as _};

use serde_json::Value;

/// Says one thing. A reader that has gone has no use for it.
pub fn say(value: &Value) {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{value}").and_then(|()| out.flush());
    if said.is_err() {
        std::process::exit(1);
    }
}

/// Waits for a line, or the end of the input.
pub fn wait_for_line() {
    let mut line = String::new();
    // An input that cannot be read has ended.
    let _ = std::io::stdin().lock().read_line(&mut line);
}

/// Waits for the end of the input.
pub fn wait_for_end() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
}
