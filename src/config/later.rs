//! Keys that belong to the file but that this version does not act upon. Using one is a mistake that is told, for a
//! setting that does nothing would be worse; writing down its default is none.

use super::reader::{Section, Value};
use toml::de::DeValue;

/// The table a key is in, the key, and the value with which it changes nothing.
const LATER: &[(&str, &str, bool)] = &[("redis", "share", false)];

/// Reports the keys of this section that do nothing yet.
pub(super) fn refuse(area: &str, section: &mut Section<'_>) {
    for (_, key, inert) in LATER.iter().filter(|(table, ..)| *table == area) {
        if let Some(value) = section.value(key)
            && !is(&value, *inert)
        {
            let hint = format!("only {inert}, its default");
            value.problem(unsupported(&format!("`{key}`")), Some(hint));
        }
    }
}

/// The message for something that is not in this version.
pub(super) fn unsupported(what: &str) -> String {
    format!("{what} is not in this version yet")
}

fn is(value: &Value<'_>, flag: bool) -> bool {
    matches!(value.tree, DeValue::Boolean(written) if *written == flag)
}
