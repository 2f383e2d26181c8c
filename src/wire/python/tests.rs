//! Settings as sites write them, and texts that are none.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn read(written: &str) -> Value {
    let known = Known::from([
        ("BASE_DIR".to_owned(), Value::Path("/srv/app".into())),
        ("NAME".to_owned(), Value::Text("x".to_owned())),
    ]);
    value(written, Path::new("/srv/app/site/settings.py"), &known)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn path(path: &str) -> Value {
    Value::Path(path.into())
}

#[test]
fn whatever_else_may_change_a_name_mentions_it() {
    for text in [
        "from .hosts import A",
        "A.append('b')",
        "A[:] = ['b']",
        "A, B = 1, 2",
        "globals()['A'] = 1",
        "for h in x: A = 1",
        "if x:\n    A.insert(0, 'b')",
        "\u{feff}B = A = 1",
        "B = 1; A = 2",
        "B = '=='; del A",
    ] {
        let mentions = |statement: &Statement<'_>| statement.mentions("A");
        let is_last = text.ends_with("del A");
        assert_eq!(statements(text).iter().any(mentions), !is_last, "{text}");
    }
    for text in [
        "B = 1",
        "# A",
        "'A'",
        "B.append('AB')",
        "B = C == A",
        "B = f('A = 1')",
        "A = 1",
    ] {
        let found = statements(text);
        assert!(
            !found.iter().any(|statement| statement.mentions("A")),
            "{text}"
        );
    }
}

#[test]
fn statements_are_found_and_lines_that_go_on_are_one() {
    let source = "from .base import *\nimport os  # A = 1\nA = [\n  'x',  # ]\n  \"#\",\n]\nB: list[str] = []\nB += ['y']\nif A == 1:\n    C = 2\n\
                  D = '''a\nE = 1\n'''\nF = 1 + \\\n  2\nos.environ['X'] = 'y'\ndef f(a=1): pass\nG == 1";
    let assigned = |name, adds, value, indented| Statement::Assigned {
        name,
        adds,
        value,
        indented,
    };
    let mut found = statements(source);
    found.retain(|statement| !matches!(statement, Statement::Else(_)));
    assert_eq!(
        found,
        [
            Statement::ImportAll(".base"),
            assigned("A", false, "[\n  'x',  # ]\n  \"#\",\n]", false),
            assigned("B", false, "[]", false),
            assigned("B", true, "['y']", false),
            assigned("C", false, "2", true),
            assigned("D", false, "'''a\nE = 1\n'''", false),
            assigned("F", false, "1 + \\\n  2", false),
        ]
    );
}

#[test]
fn plain_values_are_read() {
    for (written, value) in [
        ("'a'", text("a")),
        ("\"a\\\"b\" 'c'  # d", text("a\"bc")),
        ("r'a\\b'", text("a\\b")),
        ("NAME + 'y'", text("xy")),
        ("6_379", Value::Number(6379)),
        ("True", Value::Flag(true)),
        ("None", Value::Nothing),
        ("('a')", text("a")),
        ("('a',)", Value::List(vec![text("a")])),
        ("()", Value::List(vec![])),
        (
            "['a', # x\n NAME,]",
            Value::List(vec![text("a"), text("x")]),
        ),
        ("['a'] + ['b']", Value::List(vec![text("a"), text("b")])),
        (
            "['a', env('B', default=['c', \")\"]), 'd']",
            Value::List(vec![text("a"), Value::Other, text("d")]),
        ),
        (
            "{'a': 1, 'b': {'c': f(1)}, **more}",
            Value::Table(vec![
                ("a".to_owned(), Value::Number(1)),
                (
                    "b".to_owned(),
                    Value::Table(vec![("c".to_owned(), Value::Other)]),
                ),
            ]),
        ),
    ] {
        assert_eq!(read(written), value, "{written}");
    }
}

#[test]
fn paths_are_read_as_they_are_usually_written() {
    for (written, value) in [
        ("Path(__file__).resolve().parent.parent", "/srv/app"),
        ("pathlib.Path(__file__).resolve().parents[1]", "/srv/app"),
        (
            "os.path.dirname(os.path.dirname(os.path.abspath(__file__)))",
            "/srv/app",
        ),
        ("BASE_DIR / 'static' / NAME", "/srv/app/static/x"),
        (
            "os.path.join(BASE_DIR, 'static', 'all')",
            "/srv/app/static/all",
        ),
        ("str(BASE_DIR.parent / 'media')", "/srv/media"),
        ("BASE_DIR.joinpath('a')", "/srv/app/a"),
        ("BASE_DIR / '/var/x'", "/var/x"),
    ] {
        assert_eq!(read(written), path(value), "{written}");
    }
}

#[test]
fn what_only_a_run_would_tell_is_not_guessed() {
    for written in [
        "os.environ['X']",
        "os.environ.get('X', 'y')",
        "env.list('HOSTS', default=['a'])",
        "f'{NAME}'",
        "b'x'",
        "'a' if DEBUG else 'b'",
        "'%s' % NAME",
        "'a'.upper()",
        "UNKNOWN / 'x'",
        "BASE_DIR / UNKNOWN",
        "'unended",
        "'\\x41'",
        "1.5",
        "BASE_DIR.name",
        "BASE_DIR.parents[99999999999999999999]",
        "",
        "*",
    ] {
        assert_eq!(read(written), Value::Other, "{written}");
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(matches!(read(&deep), Value::List(_) | Value::Other));
}

#[test]
fn a_value_that_is_made_of_itself_does_not_grow_for_ever() {
    for growing in ["A + A", "[A, A]", "{'a': A, 'b': A}"] {
        let mut known = Known::from([("A".to_owned(), text("xxxxxxxx"))]);
        for _ in 0..64 {
            let grown = value(growing, Path::new("/x"), &known);
            assert!(grown.weight() <= growing.len() + MOST_COPIED);
            known.insert("A".to_owned(), grown);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_apart_without_panic(
        source in "(A = |B += |from \\.x import \\*|'|\"|\"\"\"|\\[|\\]|\\(|\\)|\\{|\\}|\\\\|\n|#|,|:|\\.|/|\\+|f|ä|Path|__file__|\\.parent|7| |\\PC){0,40}",
    ) {
        for statement in statements(&source) {
            if let Statement::Assigned { value, .. } = statement {
                read(value);
            }
        }
        read(&source);
    }
}
