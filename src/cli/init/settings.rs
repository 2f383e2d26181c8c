//! The settings of a Django project, module by module: what is assigned in the end, as far as it is plain.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
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
    /// Modules whose names are all imported, and that were not read; and why.
    pub(super) missing: Vec<(String, String)>,
    /// Words that stand somewhere in what was read.
    words: BTreeSet<&'static str>,
}

/// The settings that are looked at: what changes one of them in a way that is not read makes it unclear.
const LOOKED_AT: [&str; 15] = [
    "ALLOWED_HOSTS",
    "EVENTSTREAM_REDIS",
    "GRIP_PROXIES",
    "GRIP_URL",
    "INSTALLED_APPS",
    "MEDIA_ROOT",
    "MEDIA_URL",
    "MIDDLEWARE",
    "REDIS_SSEQUEUE_CHANEL_NAME",
    "REDIS_SSEQUEUE_CONNECTION_SETTINGS",
    "SESSION_COOKIE_NAME",
    "STATICFILES_STORAGE",
    "STATIC_ROOT",
    "STATIC_URL",
    "STORAGES",
];

/// What tells of a setting that is not clear what it may be about.
const WORDS: [&str; 3] = ["django_eventstream", "django_grip", "Manifest"];

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

    /// Whether a setting is there, and it is not clear what it is.
    pub(super) fn is_unclear(&self, name: &str) -> bool {
        self.value(name) == Some(&Value::Other)
    }

    /// Whether a word of [`WORDS`] is anywhere in what was read.
    pub(super) fn says(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    fn module(&mut self, root: &Path, name: &str) {
        let found = if self.read.len() < MOST {
            find(root, name)
        } else {
            Err("there are too many".to_owned())
        };
        let (file, text) = match found {
            Ok(found) => found,
            Err(why) => {
                if !self.missing.iter().any(|(known, _)| known == name) {
                    self.missing.push((name.to_owned(), why));
                }
                return;
            }
        };
        if self.read.contains(&file) {
            // Python as well runs a module once.
            return;
        }
        self.read.push(file.clone());
        self.words
            .extend(WORDS.iter().filter(|word| text.contains(**word)));
        for statement in statements(&text) {
            match statement {
                Statement::Else(_) => {
                    let mentioned = LOOKED_AT.iter().filter(|name| statement.mentions(name));
                    self.perhaps
                        .extend(mentioned.map(|name| (*name).to_owned()));
                }
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

/// The file of a module, and its text; or why there is none.
fn find(root: &Path, module: &str) -> Result<(PathBuf, String), String> {
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_')
    };
    let nowhere = || "it is not in the project".to_owned();
    if !module.split('.').all(is_name) {
        return Err(nowhere());
    }
    let base = root.join(module.replace('.', "/"));
    let files = [base.with_extension("py"), base.join("__init__.py")];
    let file = files
        .into_iter()
        .find(|file| file.exists())
        .ok_or_else(nowhere)?;
    match read(&file) {
        Ok(text) => Ok((file, text)),
        Err(error) => Err(error.to_string()),
    }
}

/// The text of a regular file that is not too long.
pub(super) fn text_of(file: &Path) -> Option<String> {
    read(file).ok()
}

fn read(file: &Path) -> io::Result<String> {
    let refused = |why: &'static str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    if !file.metadata()?.is_file() {
        return refused("it is no file");
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return refused("it is longer than 1 MiB");
    }
    String::from_utf8(bytes).or_else(|_| refused("it is not UTF-8"))
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
