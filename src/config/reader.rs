//! The walk over the tree of a TOML file, in which every value knows its place.
//!
//! This stands in the place of serde's derive, which stops at the first mistake and cannot say where it was. A
//! [`Section`] is asked for keys by name; it notes what it was asked for, so that at its end every other key in the file
//! is unknown by definition and no list of keys exists twice. Wrong values are reported to the [`Report`] and read as
//! absent: the walk always goes on, and the result is thrown away if there was any problem.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::later;
use super::problem::{Problem, nearest};
use super::scalar::Text;
use super::substitute::Environment;

/// Where something stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The key with all above it, as in `route[0].sse.ask`.
    pub(super) key: String,
    /// In bytes.
    pub(super) offset: usize,
}

/// Gathers the problems of one file.
pub(super) struct Report<'a> {
    pub(super) text: &'a str,
    pub(super) environment: &'a dyn Environment,
    /// Lines that TOML itself could not read, from 1.
    broken: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    /// The keys that tables were asked for, with their areas: what is unknown in one may belong in another.
    asked: RefCell<Vec<(&'static str, &'static str)>>,
    /// Unknown keys, as far as no near one was found: the key with all above it, and itself.
    strays: RefCell<Vec<(String, String)>>,
}

impl<'a> Report<'a> {
    /// Starts with the mistakes of TOML itself.
    pub(super) fn new(
        text: &'a str,
        environment: &'a dyn Environment,
        errors: &[toml::de::Error],
    ) -> Self {
        let mut problems: Vec<_> = errors
            .iter()
            .map(|error| {
                let start = error.span().unwrap_or_default().start;
                let (line, column) = position(text, start);
                let message = error.message().to_owned();
                let hint = (message == "duplicate key")
                    .then(|| "tables of a list are written [[route]], [[redis.listen]]".to_owned());
                Problem {
                    line,
                    column,
                    key: String::new(),
                    message,
                    hint,
                }
            })
            .collect();
        // The first mistake of a line brings the others along.
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup_by_key(|problem| problem.line);
        Self {
            text,
            environment,
            broken: problems.iter().map(|problem| problem.line).collect(),
            problems: RefCell::new(problems),
            asked: RefCell::default(),
            strays: RefCell::default(),
        }
    }

    /// Notes a problem; not on a line that TOML could not read, for what was recovered there is a guess.
    pub(super) fn add(&self, place: &Place, message: impl Into<String>, hint: Option<String>) {
        let (line, column) = position(self.text, place.offset);
        if !self.broken.contains(&line) {
            self.problems.borrow_mut().push(Problem {
                line,
                column,
                key: place.key.clone(),
                message: message.into(),
                hint,
            });
        }
    }

    /// Notes that something is absent; not if TOML could not read every line, for it may be there.
    pub(super) fn missing(&self, place: &Place, message: impl Into<String>, hint: Option<String>) {
        if self.broken.is_empty() {
            self.add(place, message, hint);
        }
    }

    /// All problems by their places.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let asked = self.asked.into_inner();
        for (path, name) in self.strays.into_inner() {
            let mut areas: Vec<_> = asked
                .iter()
                .filter(|(_, key)| *key == name)
                .map(|(area, _)| home(area))
                .collect();
            areas.sort_unstable();
            areas.dedup();
            // A name that many tables have says nothing.
            if (1..=2).contains(&areas.len())
                && let Some(problem) = problems
                    .iter_mut()
                    .find(|problem| problem.key == path && problem.hint.is_none())
            {
                problem.hint = Some(format!("it is a key of {}", areas.join(" and of ")));
            }
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup();
        problems
    }
}

/// How an area is called: `upstream.*` is `[upstream.NAME]`, `route[].sse` is `route.sse`.
fn home(area: &str) -> String {
    match (area.strip_suffix("[]"), area.strip_suffix(".*")) {
        (Some(list), _) => format!("[[{list}]]"),
        (_, Some(named)) => format!("[{named}.NAME]"),
        _ if area.contains("[]") => area.replace("[]", ""),
        _ => format!("[{}]", area.replace(".*", ".NAME")),
    }
}

/// Line and column of a place in bytes, both from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A value of the file.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) place: Place,
    pub(super) span: Range<usize>,
    pub(super) tree: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    fn new(report: &'a Report<'a>, key: String, spanned: &'a Spanned<DeValue<'a>>) -> Self {
        let span = spanned.span();
        Self {
            report,
            place: Place {
                key,
                offset: span.start,
            },
            span,
            tree: spanned.get_ref(),
        }
    }

    /// Notes that this value is wrong.
    pub(super) fn problem(&self, message: impl Into<String>, hint: Option<String>) {
        self.report.add(&self.place, message, hint);
    }

    /// Notes that this value is of the wrong type.
    pub(super) fn expected(&self, what: &str, hint: Option<String>) {
        let found = match self.tree {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("expected {what}, found {found}"), hint);
    }

    pub(super) const fn is_table(&self) -> bool {
        matches!(self.tree, DeValue::Table(_))
    }

    pub(super) const fn is_list(&self) -> bool {
        matches!(self.tree, DeValue::Array(_))
    }

    pub(super) fn is_empty_list(&self) -> bool {
        matches!(self.tree, DeValue::Array(array) if array.is_empty())
    }

    /// The members of a list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.tree else {
            self.expected("a list", Some("write [ … ]".to_owned()));
            return None;
        };
        let members = array.iter().enumerate();
        let members = members
            .map(|(i, member)| Value::new(self.report, format!("{}[{i}]", self.place.key), member));
        Some(members.collect())
    }

    /// The members of a list of strings.
    pub(super) fn texts(&self) -> Option<Vec<Text<'a>>> {
        Some(self.list()?.iter().filter_map(Value::text).collect())
    }

    /// Reads a table with `read`, then reports the keys nobody asked for. `area` names it among the keys that are
    /// [`later`].
    pub(super) fn table<T>(
        &self,
        area: &'static str,
        read: impl FnOnce(&mut Section<'a>) -> T,
    ) -> Option<T> {
        let DeValue::Table(table) = self.tree else {
            self.expected("a table", Some("write { key = value }".to_owned()));
            return None;
        };
        let mut section = Section {
            report: self.report,
            place: self.place.clone(),
            table,
            known: Vec::new(),
        };
        let result = read(&mut section);
        later::refuse(area, &mut section);
        let asked = section.known.iter().map(|key| (area, *key));
        self.report.asked.borrow_mut().extend(asked);
        section.refuse_unknown();
        Some(result)
    }
}

/// A table that is being read.
pub(super) struct Section<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) place: Place,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Reads the whole file.
    pub(super) fn document<T>(
        report: &'a Report<'a>,
        table: &'a DeTable<'a>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut section = Self {
            report,
            place: Place {
                key: String::new(),
                offset: 0,
            },
            table,
            known: Vec::new(),
        };
        let result = read(&mut section);
        later::refuse("", &mut section);
        section.refuse_unknown();
        result
    }

    /// The value of `key`, if it is there.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let spanned = self.table.get(key)?;
        Some(Value::new(self.report, self.key_path(key), spanned))
    }

    /// The value of `key`, which must be there.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Value<'a>> {
        let value = self.value(key);
        if value.is_none() {
            self.missing(key, &format!("{key:?} is missing"), None);
        }
        value
    }

    /// The table under `key`, read with `read`; `None` if it is absent or no table.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        area: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        self.value(key)?.table(area, read)
    }

    /// The tables under `key` with their names, in the order of the file: `[upstream.django]`.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Value<'a>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.tree else {
            value.expected("a table", Some(format!("write [{key}.name]")));
            return Vec::new();
        };
        let mut members: Vec<_> = table
            .iter()
            .map(|(key, member)| {
                let name = key.get_ref().to_string();
                let path = format!("{}.{name}", value.place.key);
                if !is_bare(&name) {
                    let place = Place {
                        key: path.clone(),
                        offset: key.span().start,
                    };
                    let message = "a name has letters, digits, \"_\" and \"-\"";
                    self.report.add(&place, message, None);
                }
                (name, Value::new(self.report, path, member))
            })
            .collect();
        members.sort_by_key(|(_, member)| member.place.offset);
        members
    }

    /// Notes that `key` is absent from this table; an empty `key` is the table itself.
    pub(super) fn missing(&self, key: &str, message: &str, hint: Option<String>) {
        if self.has_misspelt(&[key]) {
            return;
        }
        let place = Place {
            key: self.key_path(key),
            offset: self.place.offset,
        };
        self.report.missing(&place, message, hint);
    }

    /// Whether a key was probably meant to be one of `keys`: then that is told, and not that they are missing.
    pub(super) fn has_misspelt(&self, keys: &[&str]) -> bool {
        let written = self.table.keys().map(|key| &**key.get_ref());
        written
            .filter(|name| !self.known.contains(name))
            .any(|name| nearest(name, keys.iter().copied()).is_some())
    }

    fn key_path(&self, key: &str) -> String {
        match (self.place.key.as_str(), key) {
            ("", key) => key.to_owned(),
            (section, "") => section.to_owned(),
            (section, key) => format!("{section}.{key}"),
        }
    }

    fn refuse_unknown(&self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let place = Place {
                    key: self.key_path(name),
                    offset: key.span().start,
                };
                let near = nearest(name, self.known.iter().copied());
                if near.is_none() {
                    let stray = (place.key.clone(), name.to_owned());
                    self.report.strays.borrow_mut().push(stray);
                }
                let hint = near.map(|near| format!("did you mean {near:?}?"));
                self.report
                    .add(&place, format!("unknown key {name:?}"), hint);
            }
        }
    }
}

/// Names become labels of metrics and fields of log lines.
fn is_bare(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.bytes().all(fits)
}
