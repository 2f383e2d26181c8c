//! Texts in quotes, with one quote or three at each end.

/// The text of the literal at the beginning of `source`, which begins with a quote, as it is written, and how long the literal
/// is; `None` if it does not end.
pub(super) fn literal(source: &str) -> Option<(&str, usize)> {
    let quote = source.get(..1)?;
    let triple = quote.repeat(3);
    let mark = if source.starts_with(&triple) {
        triple.as_str()
    } else {
        quote
    };
    let inner = source.get(mark.len()..)?;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if inner.get(at..)?.starts_with(mark) {
            return Some((inner.get(..at)?, at + 2 * mark.len()));
        } else if c == '\n' && mark.len() == 1 {
            return None;
        }
    }
    None
}

/// What a literal says; `None` with an escape that settings hardly have.
pub(super) fn unescaped(written: &str) -> Option<String> {
    let mut text = String::with_capacity(written.len());
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next()? {
            c @ ('\\' | '\'' | '"') => text.push(c),
            'n' => text.push('\n'),
            't' => text.push('\t'),
            '\n' => {}
            _ => return None,
        }
    }
    Some(text)
}
