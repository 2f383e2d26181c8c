//! What Python would have made of a value.

use serde_json::Value;

/// The lines of a text, as `str.splitlines` finds them: at more places than an event stream ends a line.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((line, end)) = rest.split_once(is_line_end).map(|(line, _)| {
            let after = rest.get(line.len()..).unwrap_or_default();
            (line, after)
        }) else {
            return Some(std::mem::take(&mut rest));
        };
        let length = if end.starts_with("\r\n") {
            2
        } else {
            end.chars().next().map_or(0, char::len_utf8)
        };
        rest = end.get(length..).unwrap_or_default();
        Some(line)
    })
}

/// LF, VT, FF, CR; FS, GS, RS; NEL; the two separators of Unicode.
const fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// What `str.format` and `str()` write for a value; `None` for a list and an object, which nobody names an event.
pub(super) fn formatted(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("None".to_owned()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}
