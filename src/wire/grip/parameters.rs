//! Header values with parameters: `first; name=value; name="quoted \" value"; flag, next; …`.
//!
//! Called for the `Grip-*` headers. Entries are split at commas outside double quotes; an entry that begins with `<` keeps
//! whatever stands before its `>` together. The first part stays as it is written, quotes included. What is opened and
//! never closed is an error, for nobody can say where it was meant to end.

/// A double quote or a `<` without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("something is quoted and has no end")]
pub struct Unclosed;

/// What stands between two commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) first: &'a str,
    /// The names in lower case; a flag has no value.
    pub(super) parameters: Vec<(String, Option<String>)>,
}

impl Entry<'_> {
    /// The first parameter of this name, if it has a value.
    pub(super) fn value(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    /// The values of all parameters of this name, in order.
    pub(super) fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let named = self.parameters.iter().filter(move |(own, _)| own == name);
        named.filter_map(|(_, value)| value.as_deref())
    }
}

/// The entries that are not empty.
pub(super) fn entries(value: &str) -> Result<Vec<Entry<'_>>, Unclosed> {
    let entries = split(value, b',')?;
    entries.into_iter().map(entry).collect()
}

/// Entries that have no first part: `name="value", other=value`. The names stay as they are written.
pub(super) fn assignments(value: &str) -> Result<Vec<(String, String)>, Unclosed> {
    let mut found = Vec::new();
    for entry in split(value, b',')? {
        for part in split(entry, b';')? {
            let (name, value) = parameter(part);
            found.push((name.to_owned(), value.unwrap_or_default()));
        }
    }
    Ok(found)
}

/// The parameters of `text`, which begins with the first of them.
pub(super) fn parameters(text: &str) -> Result<Vec<(String, Option<String>)>, Unclosed> {
    let parts = split(text, b';')?.into_iter().map(parameter);
    let lower = |(name, value): (&str, _)| (name.to_ascii_lowercase(), value);
    Ok(parts.map(lower).collect())
}

fn entry(text: &str) -> Result<Entry<'_>, Unclosed> {
    let mut parts = split(text, b';')?.into_iter();
    let first = parts.next().unwrap_or_default();
    // An entry may begin with a semicolon: then it has no first part, and the empty part was left out.
    if text.starts_with(';') {
        let parameters = parameters(text)?;
        return Ok(Entry {
            first: "",
            parameters,
        });
    }
    let lower = |(name, value): (&str, _)| (name.to_ascii_lowercase(), value);
    Ok(Entry {
        first,
        parameters: parts.map(parameter).map(lower).collect(),
    })
}

/// `name=value`, `name="value"` or `name`.
fn parameter(text: &str) -> (&str, Option<String>) {
    let Some((name, value)) = text.split_once('=') else {
        return (text, None);
    };
    let value = value.trim();
    let quoted = value.strip_prefix('"').map(unquoted);
    (name.trim(), Some(quoted.unwrap_or_else(|| value.into())))
}

/// The text up to the closing quote. A backslash stands before a quote or a backslash that belong to it; before anything
/// else it is one itself, for django-grip escapes quotes alone.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => out.push(characters.next_if(|c| matches!(c, '"' | '\\')).unwrap_or(c)),
            c => out.push(c),
        }
    }
    out
}

/// The parts between separators that count, without blanks around them and without the empty ones.
fn split(text: &str, separator: u8) -> Result<Vec<&str>, Unclosed> {
    let mut parts = Vec::new();
    let (mut begin, mut quoted, mut escaped, mut angled, mut blank) =
        (0, false, false, false, true);
    let mut push = |begin: usize, end: usize| {
        let part = text.get(begin..end).unwrap_or_default().trim();
        if !part.is_empty() {
            parts.push(part);
        }
    };
    for (at, byte) in text.bytes().enumerate() {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
        } else if angled {
            angled = byte != b'>';
        } else if byte == separator {
            push(begin, at);
            (begin, blank) = (at + 1, true);
            continue;
        } else {
            quoted = byte == b'"';
            angled = byte == b'<' && blank;
        }
        blank &= byte.is_ascii_whitespace();
    }
    push(begin, text.len());
    if quoted || angled {
        return Err(Unclosed);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Flat<'a> = Vec<(&'a str, Vec<(String, Option<String>)>)>;

    fn read(value: &str) -> Flat<'_> {
        let entries = entries(value).unwrap().into_iter();
        entries.map(|e| (e.first, e.parameters)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.into(), Some(value.into()))
    }

    #[test]
    fn entries_have_a_first_part_parameters_and_flags() {
        assert_eq!(
            read(r#"a b ; Prev-ID = 7;filter=x; filter="y\"\\z\q;,"; flag,, c,"#),
            [
                (
                    "a b",
                    vec![
                        pair("prev-id", "7"),
                        pair("filter", "x"),
                        pair("filter", "y\"\\z\\q;,"),
                        ("flag".into(), None)
                    ]
                ),
                ("c", vec![])
            ]
        );
        assert_eq!(read(";a=b"), [("", vec![pair("a", "b")])]);
        assert_eq!(read(" , ;; ,"), [("", vec![])]);
        assert_eq!(read("\"a,b\""), [("\"a,b\"", vec![])]);
    }

    #[test]
    fn a_link_may_hold_what_separates() {
        assert_eq!(
            read("</a?b=1;2,3\">; rel=next, x<y, <z>"),
            [
                ("</a?b=1;2,3\">", vec![pair("rel", "next")]),
                ("x<y", vec![]),
                ("<z>", vec![])
            ]
        );
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        for value in ["\"", "a, \"b", "a; b=\"c", "<a, b", "a; b=\"c\\\""] {
            assert_eq!(entries(value), Err(Unclosed), "{value}");
            assert_eq!(assignments(value), Err(Unclosed), "{value}");
        }
    }

    #[test]
    fn assignments_keep_the_case_of_their_names() {
        assert_eq!(
            assignments("id_format=\"room:%(a,b)s\", User=\"4\",x , y=a=b"),
            Ok([
                ("id_format", "room:%(a,b)s"),
                ("User", "4"),
                ("x", ""),
                ("y", "a=b")
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec())
        );
    }
}
