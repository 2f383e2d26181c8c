//! Python as a settings module of Django has it: assignments of plain values. It is read as text and never run.
//!
//! `tidegate init` takes a module apart by [`statements`] and reads what is assigned by [`value()`]. Read are texts, numbers,
//! lists, tables, names that are known, and paths as `startproject` and its like write them (`BASE_DIR / "static"`). Whatever
//! else there is, a call above all, is [`Value::Other`]: a value that may be another one when it runs must not be guessed.
//!
//! Bounds: time grows with the text; values are nested at most [`DEEPEST`] deep, and one is no larger than its text and
//! [`MOST_COPIED`]. What goes beyond is not read.

#[cfg(test)]
mod tests;
mod text;
mod value;

pub use value::{Known, Value, value};

/// How deep values are nested that are read.
const DEEPEST: usize = 32;

/// How much of known values goes into one, in bytes.
pub const MOST_COPIED: usize = 16 << 10;

/// A statement that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement<'t> {
    /// `NAME = value` or `NAME += value`.
    Assigned {
        /// To what.
        name: &'t str,
        /// Whether it is added.
        adds: bool,
        /// As it is written.
        value: &'t str,
        /// Whether it may not happen, for it stands below something.
        indented: bool,
    },
    /// `from … import *`; from where.
    ImportAll(&'t str),
    /// Anything else that may change a name it mentions; a text in which the names stand.
    Else(&'t str),
}

impl Statement<'_> {
    /// Whether a statement that is [`Self::Else`] mentions `name`, as a whole word.
    pub fn mentions(&self, name: &str) -> bool {
        let Self::Else(text) = self else {
            return false;
        };
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        text.match_indices(name).any(|(at, _)| {
            let (before, rest) = text.split_at(at);
            let after = rest.get(name.len()..).unwrap_or_default();
            !before.ends_with(is_part) && !after.starts_with(is_part)
        })
    }
}

/// The statements of a module in their order, without empty lines, comments and texts that stand by themselves.
pub fn statements(text: &str) -> Vec<Statement<'_>> {
    // Python takes a mark of the byte order for nothing.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for line in lines(text) {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', '"', '\'']) {
            continue;
        }
        let read = statement(line).unwrap_or(Statement::Else(bare));
        found.push(read);
        // `A = B = 1`, `A = 1; B = 2`: the first name is known, and the others are in what was taken for its value.
        if let Statement::Assigned { value, .. } = read
            && assigns(value)
        {
            found.push(Statement::Else(value));
        }
    }
    found
}

/// Whether there is a `=` in a text that is none of `==`, `<=`, `>=`, `!=`, outside of quotes.
fn assigns(text: &str) -> bool {
    let (mut at, mut before) = (0, ' ');
    while let Some(rest) = text.get(at..)
        && let Some(c) = rest.chars().next()
    {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        if let Some(length) = inert(rest) {
            at += length;
            before = c;
            continue;
        }
        match c {
            '=' if after.starts_with('=') => {
                at += 2;
                continue;
            }
            '=' if !matches!(before, '<' | '>' | '!') => return true,
            _ => {}
        }
        before = c;
        at += c.len_utf8();
    }
    false
}

/// How long the quoted text or the comment is that begins here, if one does: nothing in it has a meaning.
fn inert(rest: &str) -> Option<usize> {
    match rest.chars().next()? {
        '"' | '\'' => Some(text::literal(rest).map_or(1, |(_, length)| length)),
        '#' => Some(rest.find('\n').unwrap_or(rest.len())),
        _ => None,
    }
}

/// The lines of a module; one that goes on in the next is one.
fn lines(text: &str) -> Vec<&str> {
    let (mut lines, mut start, mut at, mut depth) = (Vec::new(), 0, 0, 0_usize);
    while let Some(rest) = text.get(at..)
        && let Some(c) = rest.chars().next()
    {
        if let Some(length) = inert(rest) {
            at += length;
            continue;
        }
        match c {
            '\\' => {
                // The character behind it, a line end above all, means nothing.
                at += 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
            }
            '\n' => {
                if depth == 0 {
                    lines.push(text.get(start..at).unwrap_or_default());
                    start = at + 1;
                }
                at += 1;
            }
            '(' | '[' | '{' => {
                depth += 1;
                at += 1;
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            c => at += c.len_utf8(),
        }
    }
    lines.push(text.get(start..).unwrap_or_default());
    lines
}

fn statement(line: &str) -> Option<Statement<'_>> {
    let indented = line.starts_with([' ', '\t']);
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("from ") {
        let (module, names) = rest.split_once(" import ")?;
        let all = names.trim().starts_with('*');
        return all.then(|| Statement::ImportAll(module.trim()));
    }
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = line.split_at_checked(end)?;
    let rest = rest.trim_start();
    // An annotation may stand between.
    let rest = match rest.strip_prefix(':') {
        Some(annotated) => annotated.find('=').and_then(|at| annotated.get(at..))?,
        None => rest,
    };
    let (adds, rest) = match rest.strip_prefix("+=") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix('=')?),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_name && !rest.starts_with('=')).then(|| Statement::Assigned {
        name,
        adds,
        value: rest.trim(),
        indented,
    })
}
