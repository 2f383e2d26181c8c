//! The house: a module imports only from floors below its own, besides its own folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each floor and the folders on it; `cli` is with `main.rs` on the uppermost.
const FLOORS: [(u8, &[&str]); 11] = [
    (0, &["domain"]),
    (1, &["base", "wire"]),
    (2, &["routes", "limits", "tls", "tokens"]),
    (3, &["acme", "files", "history", "upstream"]),
    (4, &["hub", "ask"]),
    (
        5,
        &["stream", "record", "publish", "notify", "redis", "console"],
    ),
    (6, &["proxy", "internal"]),
    (7, &["server"]),
    (8, &["config"]),
    (9, &["app"]),
    (10, &["cli"]),
];

/// Where a file ends.
const LONGEST: usize = 500;

fn floor(folder: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(_, folders)| folders.contains(&folder))
        .map(|(floor, _)| *floor)
}

struct Source {
    /// Below `src/`, or below the folder that was asked for.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The folder on the first level; `None` for `main.rs` and `lib.rs`.
    fn folder(&self) -> Option<&str> {
        let mut parts = self.path.iter();
        let first = parts.next()?.to_str()?;
        parts.next().map(|_| first)
    }
}

fn sources() -> Vec<Source> {
    sources_in("src")
}

fn sources_in(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut sources, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                sources.push(Source {
                    path: path.strip_prefix(&root).unwrap().to_owned(),
                    text,
                });
            }
        }
    }
    sources.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The text without comments and without what stands in quotes, so that only code is left.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quoted = false;
        let mut escaped = false;
        let mut before = ' ';
        for c in line.chars() {
            if quoted {
                quoted = escaped || c != '"';
                escaped = !escaped && c == '\\';
            } else if c == '"' && before != '\'' {
                quoted = true;
            } else if c == '/' && before == '/' {
                code.pop();
                break;
            } else {
                code.push(c);
            }
            before = c;
        }
        code.push('\n');
    }
    code
}

/// The first segments of all paths that begin with `root`: `crate::a`, and each of `crate::{a, b::{c, d}}`.
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let prefix = format!("{root}::");
    for (at, _) in code.match_indices(&prefix) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if code[..at].ends_with(is_word) || code[..at].ends_with("::") {
            continue;
        }
        let rest = code[at + prefix.len()..].trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_u32;
            let mut begins = true;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' => begins = depth == 0,
                    _ if c.is_whitespace() => {}
                    _ => {
                        if begins {
                            found.insert(segment(&group[at..]));
                        }
                        begins = false;
                    }
                }
            }
        } else {
            found.insert(segment(rest));
        }
    }
    found
}

fn segment(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn imports_are_found_in_any_form() {
    let code = code(
        "use crate::domain::Event; // crate::a\nuse crate::{base::{log, x}, wire,\n  ask::{self, b}};\n\
         fn f(x: crate::hub::Hub, y: &'a str) { let s = \"crate::c\"; mycrate::d(); pub(in crate::e) }",
    );
    let found: Vec<_> = imports(&code, "crate").into_iter().collect();
    assert_eq!(found, ["ask", "base", "domain", "e", "hub", "wire"]);
}

#[test]
fn every_folder_has_a_floor() {
    for source in sources() {
        if let Some(folder) = source.folder() {
            assert!(
                floor(folder).is_some(),
                "{folder} stands on no floor: add it to FLOORS"
            );
        }
    }
}

#[test]
fn a_module_imports_only_from_floors_below_its_own() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(folder) = source.folder() else {
            continue;
        };
        let own = floor(folder).unwrap();
        for import in imports(&code(&source.text), "crate") {
            let goes_down = floor(&import).is_some_and(|floor| floor < own);
            if import != folder && !goes_down {
                wrong.push(format!("src/{}: crate::{import}", source.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these do not go down:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_folder_does_not_reach_its_neighbours_by_super() {
    let mut wrong = Vec::new();
    for source in sources() {
        // How often `super` may be said before it leaves the folder: `a/mod.rs` may not at all, `a/b.rs` once.
        let depth = source.path.iter().count() - 1;
        let is_face = source.path.file_name().is_some_and(|name| name == "mod.rs");
        // Inside an inline `mod tests` there is one more.
        let inline = usize::from(source.text.contains("mod tests {"));
        let most = (depth + inline).saturating_sub(usize::from(is_face));
        let longest = (0..8)
            .rev()
            .find(|n| *n > 0 && code(&source.text).contains(&"super::".repeat(*n)));
        if source.folder().is_some() && longest.unwrap_or(0) > most {
            wrong.push(source.path.display().to_string());
        }
    }
    assert!(
        wrong.is_empty(),
        "these leave their folder:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_file_is_not_too_long_and_begins_with_what_it_is_for() {
    for root in ["src", "tests"] {
        for source in sources_in(root) {
            let path = source.path.display();
            let lines = source.text.lines().count();
            assert!(lines <= LONGEST, "{root}/{path} has {lines} lines");
            assert!(
                source.text.starts_with("//! "),
                "{root}/{path} does not begin with `//!`"
            );
        }
    }
}

#[test]
fn no_task_is_without_an_owner_and_no_queue_without_a_bound() {
    for source in sources() {
        let code = code(&source.text);
        for banned in [
            "tokio::spawn",
            "task::spawn(",
            "unbounded_channel",
            "std::thread::sleep",
            "static mut",
        ] {
            assert!(
                !code.contains(banned),
                "src/{}: {banned}",
                source.path.display()
            );
        }
    }
}

#[test]
fn formats_and_the_core_do_no_io_and_read_no_clock() {
    for source in sources() {
        let Some(folder @ ("domain" | "wire")) = source.folder() else {
            continue;
        };
        let whole = code(&source.text);
        for banned in [
            "tokio::",
            "tracing::",
            "std::fs",
            "std::net::Tcp",
            "Instant",
            "SystemTime",
            "hyper::",
        ] {
            // The tests beside the guard compare it with hyper.
            let allowed = folder == "wire" && source.path.ends_with("guard/against_hyper.rs");
            assert!(
                allowed || !whole.contains(banned),
                "src/{}: {banned}",
                source.path.display()
            );
        }
    }
}
