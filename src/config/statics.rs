//! `static` and `internal` of a route: files of a folder.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use super::RouteKind;
use super::reader::{Section, Value};
use super::scalar::Text;
use super::show::{list, quoted};
use super::values::duration_text;
use crate::files::{DotFiles, Settings, is_segment};
use crate::routes::PathPattern;
use crate::wire::media_type::MediaRange;

/// `static`, a table.
pub(super) fn files(value: &Value<'_>, pattern: Option<&PathPattern>) -> Option<RouteKind> {
    let files = value.table("route[].static", settings).flatten();
    let variable = pattern.and_then(|pattern| variable(value, pattern));
    Some(RouteKind::Static {
        files: files?,
        variable,
    })
}

/// `internal`, which is for files alone.
pub(super) fn internal(section: &mut Section<'_>) -> bool {
    let Some(value) = section.value("internal") else {
        return false;
    };
    let internal = value.flag().unwrap_or(false);
    if internal && section.value("static").is_none() {
        let hint = "X-Accel-Redirect leads to files only".to_owned();
        value.problem("`internal` is for routes with `static`", Some(hint));
    }
    // Whoever is asked to log in by one of them would be let in by the other route without.
    for key in ["basic_auth", "cors", "compress"] {
        if internal && let Some(value) = section.value(key) {
            let hint = "put it into the route whose answers lead here".to_owned();
            let message = format!("`{key}` does nothing where `internal = true`");
            value.problem(message, Some(hint));
        }
    }
    internal
}

fn settings(section: &mut Section<'_>) -> Option<Settings> {
    let root = section.required("root").and_then(|value| value.text());
    let root = root.filter(|root| {
        let is_named = !root.value.is_empty();
        if !is_named {
            root.problem("the root is a folder", None);
        }
        is_named
    });
    let mut settings = Settings::new(PathBuf::new());
    settings.precompressed = section.flag("precompressed").unwrap_or(false);
    let mut hashed = Duration::ZERO;
    section.duration("hashed", &mut hashed);
    settings.hashed = (!hashed.is_zero()).then_some(hashed);
    section.duration("max_age", &mut settings.max_age);
    if section.flag("dotfiles").unwrap_or(false) {
        settings.dot_files = DotFiles::Served;
    }
    settings.index = section.text("index").and_then(|text| index(&text));
    settings.inline = section.value("inline").map(|value| {
        let texts = value.texts().unwrap_or_default();
        let ranges = texts
            .iter()
            .filter_map(|text| text.parse(MediaRange::parse));
        ranges.collect()
    });
    settings.root = PathBuf::from(root?.value);
    Some(settings)
}

/// The name of one file; empty, there is none.
fn index(text: &Text<'_>) -> Option<Box<str>> {
    if text.value.is_empty() {
        return None;
    }
    if !is_segment(&text.value, DotFiles::Served) {
        text.problem(
            "an index is the name of one file",
            Some("as in \"index.html\"".to_owned()),
        );
        return None;
    }
    Some(text.value.as_str().into())
}

/// The one variable that names the file.
fn variable(value: &Value<'_>, pattern: &PathPattern) -> Option<Box<str>> {
    let mut names = pattern.names();
    let (first, more) = (names.next()?, names.next());
    if more.is_some() || !pattern.as_str().ends_with('>') {
        let hint = "as in path = \"/static/<path:file>\"".to_owned();
        value.problem(
            "which file is meant is said by one variable, at the end of the path",
            Some(hint),
        );
    }
    Some(first.into())
}

/// The line that reads back as `files`.
pub(super) fn show(out: &mut String, files: &Settings) -> fmt::Result {
    let root = quoted(&files.root.to_string_lossy());
    let hashed = duration_text(files.hashed.unwrap_or_default());
    write!(
        out,
        "static = {{ root = {root}, precompressed = {}, hashed = \"{hashed}\", max_age = \"{}\"",
        files.precompressed,
        duration_text(files.max_age)
    )?;
    if let Some(index) = &files.index {
        write!(out, ", index = {}", quoted(index))?;
    }
    if let Some(inline) = &files.inline {
        write!(
            out,
            ", inline = {}",
            list(inline.iter().map(ToString::to_string))
        )?;
    }
    let dot_files = files.dot_files == DotFiles::Served;
    writeln!(out, ", dotfiles = {dot_files} }}")
}
