//! Settings of Django, as any text: taken apart and read, and what is a text reads back as one.

use std::path::Path;

use tidegate::wire::python::{Known, MOST_COPIED, Statement, Value, statements, value};

pub fn check(data: &[u8]) -> Option<()> {
    let text = std::str::from_utf8(data).ok()?;
    let file = Path::new("/srv/app/site/settings.py");
    let mut known = Known::new();
    let mut assigned = 0;
    for statement in statements(text) {
        let Statement::Assigned {
            name,
            value: written,
            ..
        } = statement
        else {
            continue;
        };
        // What is assigned was written, and nothing beside it.
        assert!(text.contains(written) && text.contains(name));
        let read = value(written, file, &known);
        assert!(read.weight() <= written.len() + MOST_COPIED);
        if let Value::Text(text) = &read {
            assert_eq!(value(&spelled(text), file, &known), read);
        }
        known.insert(name.to_owned(), read);
        assigned += 1;
    }
    (assigned > 0).then_some(())
}

fn spelled(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", escaped.replace('\n', "\\n"))
}
