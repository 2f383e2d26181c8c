//! Keys that belong to the file but that this version does not act upon. Using one is a mistake that is told, for a
//! setting that does nothing would be worse; writing down its default is none.

use super::reader::{Section, Value};
use toml::de::DeValue;

/// The value with which a key changes nothing.
enum Inert {
    /// There is none.
    Never,
    Flag(bool),
}

use Inert::{Flag, Never};

/// The table a key is in, the key, and its inert value. `*` stands for a name, `[]` for a number.
const LATER: &[(&str, &str, Inert)] = &[
    ("route[].sse", "history", Never),
    ("route[].sse", "client_buffer", Never),
    ("route[].sse", "closed_for", Never),
    ("redis", "share", Flag(false)),
];

/// Reports the keys of this section that do nothing yet.
pub(super) fn refuse(area: &str, section: &mut Section<'_>) {
    for (_, key, inert) in LATER.iter().filter(|(table, ..)| *table == area) {
        if let Some(value) = section.value(key)
            && !inert.fits(&value)
        {
            value.problem(unsupported(&format!("`{key}`")), inert.hint());
        }
    }
}

/// The message for something that is not in this version.
pub(super) fn unsupported(what: &str) -> String {
    format!("{what} is not in this version yet")
}

impl Inert {
    fn fits(&self, value: &Value<'_>) -> bool {
        match (self, value.tree) {
            (Flag(inert), DeValue::Boolean(flag)) => flag == inert,
            _ => false,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Flag(inert) => Some(format!("only {inert}, its default")),
            Never => None,
        }
    }
}
