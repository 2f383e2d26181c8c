//! What is assigned, read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::text::{literal, unescaped};
use super::{DEEPEST, MOST_COPIED};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A path, absolute or not.
    Path(PathBuf),
    /// A whole number.
    Number(i64),
    /// `True` or `False`.
    Flag(bool),
    /// `None`.
    Nothing,
    /// A list or a tuple.
    List(Vec<Self>),
    /// A dict whose keys are texts.
    Table(Vec<(String, Self)>),
    /// Something that was not read.
    Other,
}

/// The names that are known so far.
pub type Known = HashMap<String, Value>;

impl Value {
    /// The text, or the path as a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Path(path) => path.to_str(),
            _ => None,
        }
    }

    /// What a table has under `name`.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Table(fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    /// How much memory it takes, roughly: its bytes, and one for each value.
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 1,
            Self::Path(path) => path.as_os_str().len() + 1,
            Self::List(items) => items.iter().map(Self::weight).sum::<usize>() + 1,
            Self::Table(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| name.len() + value.weight());
                fields.sum::<usize>() + 1
            }
            Self::Number(_) | Self::Flag(_) | Self::Nothing | Self::Other => 1,
        }
    }

    /// `self + other`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Self::Text(one + &other),
            (Self::List(mut one), Self::List(other)) => {
                one.extend(other);
                Self::List(one)
            }
            _ => Self::Other,
        }
    }

    /// `self / other`, of which one is a path.
    fn below(self, other: &Self) -> Self {
        match (&self, other.text()) {
            (Self::Path(path), Some(text)) => Self::Path(path.join(text)),
            _ => Self::Other,
        }
    }
}

/// Reads a value that stands in `file`.
pub fn value(written: &str, file: &Path, known: &Known) -> Value {
    let mut reader = Reader {
        rest: written,
        depth: 0,
        room: MOST_COPIED,
        file,
        known,
    };
    let value = reader.expression();
    reader.skip();
    if reader.rest.is_empty() {
        value
    } else {
        Value::Other
    }
}

struct Reader<'r> {
    rest: &'r str,
    depth: usize,
    /// What may still be copied of known values.
    room: usize,
    file: &'r Path,
    known: &'r Known,
}

impl<'r> Reader<'r> {
    /// White space, comments, and line ends that mean nothing.
    fn skip(&mut self) {
        loop {
            let rest = self
                .rest
                .trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
            self.rest = match rest.strip_prefix('#') {
                Some(comment) => comment.split_once('\n').map_or("", |(_, after)| after),
                None if rest.len() == self.rest.len() => return,
                None => rest,
            };
        }
    }

    fn take(&mut self, c: char) -> bool {
        self.skip();
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest.chars().next()
    }

    fn expression(&mut self) -> Value {
        let mut value = self.term();
        loop {
            if self.take('+') {
                value = value.plus(self.term());
            } else if self.take('/') {
                value = value.below(&self.term());
            } else {
                return value;
            }
        }
    }

    /// An atom and what hangs on it.
    fn term(&mut self) -> Value {
        let mut value = self.atom();
        loop {
            if self.take('.') {
                let name = self.name();
                value = self.attribute(value, name);
            } else if self.rest.starts_with(['(', '[']) {
                self.arguments();
                value = Value::Other;
            } else {
                return value;
            }
        }
    }

    fn atom(&mut self) -> Value {
        match self.peek() {
            Some('"' | '\'') => self.texts(),
            Some('(') => {
                let (mut items, is_tuple) = self.items(')');
                match items.pop() {
                    Some(only) if !is_tuple => only,
                    last => {
                        items.extend(last);
                        Value::List(items)
                    }
                }
            }
            Some('[') => Value::List(self.items(']').0),
            Some('{') => self.table(),
            Some(c) if c.is_ascii_digit() => {
                let digits = self
                    .rest
                    .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                let length = self.rest.len() - digits.len();
                let (number, rest) = self.rest.split_at_checked(length).unwrap_or_default();
                self.rest = rest;
                number
                    .replace('_', "")
                    .parse()
                    .map_or(Value::Other, Value::Number)
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.named(),
            _ => Value::Other,
        }
    }

    fn name(&mut self) -> &'r str {
        self.skip();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        name
    }

    /// Literals that stand side by side are one text.
    fn texts(&mut self) -> Value {
        let mut all = String::new();
        while let Some('"' | '\'') = self.peek() {
            let Some((written, length)) = literal(self.rest) else {
                return Value::Other;
            };
            self.rest = self.rest.get(length..).unwrap_or_default();
            match unescaped(written) {
                Some(text) => all.push_str(&text),
                None => return Value::Other,
            }
        }
        Value::Text(all)
    }

    fn named(&mut self) -> Value {
        let name = self.name();
        if let Some('"' | '\'') = self.rest.chars().next() {
            return self.prefixed(name);
        }
        match name {
            "True" => return Value::Flag(true),
            "False" => return Value::Flag(false),
            "None" => return Value::Nothing,
            "__file__" => return self.copy(&Value::Path(self.file.to_owned())),
            _ => {}
        }
        if let Some(value) = self.known.get(name) {
            return self.copy(value);
        }
        let mut path = name.to_owned();
        while let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            path.push('.');
            path.push_str(self.name());
        }
        if !self.rest.starts_with('(') {
            return Value::Other;
        }
        let arguments = self.arguments();
        call(&path, &arguments)
    }

    /// A copy, while there is room for it: values that are made of themselves again and again grow without end.
    fn copy(&mut self, value: &Value) -> Value {
        match self.room.checked_sub(value.weight()) {
            Some(room) => {
                self.room = room;
                value.clone()
            }
            None => Value::Other,
        }
    }

    /// A literal with letters before it.
    fn prefixed(&mut self, prefix: &str) -> Value {
        let read = literal(self.rest);
        let Some((written, length)) = read else {
            return Value::Other;
        };
        match prefix {
            "r" | "R" => {
                self.rest = self.rest.get(length..).unwrap_or_default();
                Value::Text(written.to_owned())
            }
            "u" | "U" => self.texts(),
            _ => {
                self.rest = self.rest.get(length..).unwrap_or_default();
                Value::Other
            }
        }
    }

    /// What stands in parentheses or brackets that were not looked at yet.
    fn arguments(&mut self) -> Vec<Value> {
        let closing = if self.rest.starts_with('(') { ')' } else { ']' };
        self.items(closing).0
    }

    /// The items up to `closing`, whose opening is next, and whether there is a comma among them.
    fn items(&mut self, closing: char) -> (Vec<Value>, bool) {
        let mut items = Vec::new();
        let mut commas = false;
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.depth += 1;
        while self.depth <= DEEPEST {
            if self.take(closing) || self.rest.is_empty() {
                self.depth -= 1;
                // `()` is a tuple, `(x)` is not.
                let is_tuple = commas || items.is_empty();
                return (items, is_tuple);
            }
            let item = self.expression();
            items.push(self.whole(item, closing));
            commas |= self.take(',');
        }
        // Too deep: whoever is above finds something left over.
        (vec![Value::Other], true)
    }

    /// `item`, if it ends where the next begins; else what is left of it is passed over.
    fn whole(&mut self, item: Value, closing: char) -> Value {
        match self.peek() {
            Some(c) if c == ',' || c == closing => item,
            None => Value::Other,
            Some(_) => {
                self.pass_over(closing);
                Value::Other
            }
        }
    }

    fn pass_over(&mut self, closing: char) {
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                _ if depth == 0 && (c == ',' || c == closing) => return,
                '"' | '\'' => {
                    let length = literal(self.rest).map_or(1, |(_, length)| length);
                    self.rest = self.rest.get(length..).unwrap_or_default();
                    continue;
                }
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }

    fn table(&mut self) -> Value {
        let mut fields = Vec::new();
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.depth += 1;
        while self.depth <= DEEPEST {
            if self.take('}') || self.rest.is_empty() {
                self.depth -= 1;
                return Value::Table(fields);
            }
            let key = self.expression();
            let colon = self.take(':');
            let value = if colon {
                self.expression()
            } else {
                Value::Other
            };
            let value = self.whole(value, '}');
            // A set, or a key that is no text, has nothing that is looked for.
            if let (Value::Text(key), true) = (key, colon) {
                fields.push((key, value));
            }
            self.take(',');
        }
        Value::Other
    }

    /// `value.name`, which is a call or not.
    fn attribute(&mut self, value: Value, name: &str) -> Value {
        let Value::Path(path) = value else {
            if self.rest.starts_with(['(', '[']) {
                self.arguments();
            }
            return Value::Other;
        };
        let arguments = self.rest.starts_with(['(', '[']).then(|| self.arguments());
        let up = |times: usize| path.ancestors().nth(times).map(Path::to_owned);
        match (name, arguments.as_deref()) {
            ("parent", None) => up(1).map_or(Value::Other, Value::Path),
            ("parents", Some([Value::Number(place)])) => usize::try_from(*place)
                .ok()
                .and_then(|place| up(place.checked_add(1)?))
                .map_or(Value::Other, Value::Path),
            ("resolve" | "absolute" | "as_posix", Some([])) => Value::Path(path),
            ("joinpath", Some(parts)) => joined(Value::Path(path), parts),
            _ => Value::Other,
        }
    }
}

/// The functions that paths are made by.
fn call(name: &str, arguments: &[Value]) -> Value {
    let path = |value: &Value| value.text().map(PathBuf::from);
    match (name, arguments) {
        ("Path" | "pathlib.Path" | "os.path.abspath" | "os.path.realpath", [of]) => {
            path(of).map_or(Value::Other, Value::Path)
        }
        ("os.path.dirname", [of]) => path(of)
            .and_then(|path| Some(path.parent()?.to_owned()))
            .map_or(Value::Other, Value::Path),
        ("os.path.join", [first, parts @ ..]) => {
            let first = path(first).map_or(Value::Other, Value::Path);
            joined(first, parts)
        }
        ("str" | "os.fspath", [of]) => match of {
            Value::Text(_) | Value::Path(_) => of.clone(),
            _ => Value::Other,
        },
        _ => Value::Other,
    }
}

fn joined(first: Value, parts: &[Value]) -> Value {
    parts.iter().fold(first, Value::below)
}
