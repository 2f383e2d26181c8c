//! The settings of a Django project, module by module: what is assigned in the end, as far as it is plain.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::wire::python::{Known, Statement, Value, statements, value};

/// The longest module that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// How many modules are read.
const MOST: usize = 32;

/// How much is kept of what they assign, in bytes.
const MOST_KEPT: usize = 8 << 20;

/// Everything that is known of them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    known: Known,
    /// How much was kept of everything that was assigned, what was assigned anew included.
    kept: usize,
    /// Those that are assigned below an `if` or the like as well.
    perhaps: BTreeSet<String>,
    /// The modules, in the order they were begun.
    pub(super) read: Vec<PathBuf>,
    /// Modules whose names are all imported, and that are not in the project or too many.
    pub(super) missing: Vec<String>,
}

impl Settings {
    /// Reads a module of the project at `root`, and those it takes all names of.
    pub(super) fn of(root: &Path, module: &str) -> Self {
        let mut settings = Self::default();
        settings.module(root, module);
        settings
    }

    /// What a setting is; [`Value::Other`] if that is not clear, `None` if it is not set.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        if self.perhaps.contains(name) {
            return Some(&Value::Other);
        }
        self.known.get(name)
    }

    fn module(&mut self, root: &Path, name: &str) {
        let found = (self.read.len() < MOST).then(|| find(root, name)).flatten();
        let Some((file, text)) = found.filter(|(file, _)| !self.read.contains(file)) else {
            if !self.missing.iter().any(|known| known == name) {
                self.missing.push(name.to_owned());
            }
            return;
        };
        self.read.push(file.clone());
        for statement in statements(&text) {
            match statement {
                Statement::ImportAll(from) => {
                    if let Some(absolute) = absolute(root, &file, from) {
                        self.module(root, &absolute);
                    }
                }
                Statement::Assigned {
                    name,
                    indented: true,
                    ..
                } => {
                    self.perhaps.insert(name.to_owned());
                }
                Statement::Assigned {
                    name,
                    adds,
                    value: written,
                    indented: false,
                } => self.assign(name, adds, value(written, &file, &self.known)),
            }
        }
    }

    fn assign(&mut self, name: &str, adds: bool, new: Value) {
        let new = if adds {
            let before = self.known.remove(name);
            before.unwrap_or(Value::Other).plus(new)
        } else {
            // Whatever was there before does not matter any more.
            self.perhaps.remove(name);
            new
        };
        self.kept = self.kept.saturating_add(new.weight());
        let fits = self.kept <= MOST_KEPT;
        let kept = if fits { new } else { Value::Other };
        self.known.insert(name.to_owned(), kept);
    }
}

/// The file of a module, and its text.
fn find(root: &Path, module: &str) -> Option<(PathBuf, String)> {
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_')
    };
    if !module.split('.').all(is_name) {
        return None;
    }
    let base = root.join(module.replace('.', "/"));
    [base.with_extension("py"), base.join("__init__.py")]
        .into_iter()
        .find_map(|file| text_of(&file).map(|text| (file, text)))
}

/// The text of a regular file that is not too long.
pub(super) fn text_of(file: &Path) -> Option<String> {
    if !file.is_file() {
        return None;
    }
    let mut text = String::new();
    let opened = std::fs::File::open(file).ok()?;
    let length = opened.take(LONGEST + 1).read_to_string(&mut text).ok()?;
    (length as u64 <= LONGEST).then_some(text)
}

/// The whole name of `from`, which stands in `file`: each leading dot is a folder up, the first one its own.
fn absolute(root: &Path, file: &Path, from: &str) -> Option<String> {
    let name = from.trim_start_matches('.');
    let up = from.len() - name.len();
    if up == 0 {
        return Some(name.to_owned());
    }
    let package = file.ancestors().nth(up)?.strip_prefix(root).ok()?;
    let parts = package.iter().map(|part| part.to_str());
    let parts: Option<Vec<_>> = parts.chain([Some(name)]).collect();
    let parts = parts?.into_iter().filter(|part| !part.is_empty());
    Some(parts.collect::<Vec<_>>().join("."))
}
