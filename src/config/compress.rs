//! `[compress]`: there, even empty, it is on.

use std::fmt::{self, Write as _};

use super::reader::{Section, Value};
use super::show::list;
use super::site::MOST;
use crate::domain::ByteSize;
use crate::proxy::Compress;
use crate::wire::accept_encoding::Coding;
use crate::wire::media_type::MediaRange;

/// The words of `algorithms`.
const ALGORITHMS: [(&str, Coding); 3] = [
    ("zstd", Coding::Zstd),
    ("br", Coding::Brotli),
    ("gzip", Coding::Gzip),
];

/// `[compress]`.
pub(super) fn compress(document: &mut Section<'_>) -> Option<Compress> {
    document.table("compress", "compress", |section| {
        let mut rules = Compress::default();
        if let Some(value) = section.value("types") {
            rules.types = types(&value);
        }
        if let Some(value) = section.value("algorithms") {
            rules.algorithms = algorithms(&value);
        }
        section.size("min_size", ByteSize::bytes(0)..=MOST, &mut rules.min_size);
        rules.cookies = section.flag("cookies").unwrap_or(false);
        rules
    })
}

fn types(value: &Value<'_>) -> Vec<MediaRange> {
    if value.is_empty_list() {
        nothing(value);
    }
    let texts = value.texts().unwrap_or_default();
    let mut types = Vec::new();
    for text in &texts {
        let Some(range) = text.parse(MediaRange::parse) else {
            continue;
        };
        if text.value.eq_ignore_ascii_case("text/event-stream") {
            text.problem("an event stream is never compressed", None);
        }
        types.push(range);
    }
    types
}

fn algorithms(value: &Value<'_>) -> Vec<Coding> {
    if value.is_empty_list() {
        nothing(value);
    }
    let texts = value.texts().unwrap_or_default();
    let mut algorithms = Vec::new();
    for text in &texts {
        match text.choice(&ALGORITHMS) {
            Some(coding) if algorithms.contains(&coding) => {
                text.problem(format!("{} is there already", text.written()), None);
            }
            Some(coding) => algorithms.push(coding),
            None => {}
        }
    }
    algorithms
}

fn nothing(value: &Value<'_>) {
    let hint = "without [compress] nothing is".to_owned();
    value.problem("nothing would be compressed", Some(hint));
}

/// The same as text.
pub(super) fn show(out: &mut String, rules: Option<&Compress>) -> fmt::Result {
    let Some(rules) = rules else { return Ok(()) };
    let types = rules.types.iter().map(ToString::to_string);
    let algorithms = rules.algorithms.iter();
    let algorithms = algorithms.map(|coding| coding.as_str().to_owned());
    writeln!(out, "\n[compress]\ntypes = {}", list(types))?;
    writeln!(out, "algorithms = {}", list(algorithms))?;
    writeln!(out, "min_size = \"{}\"", rules.min_size)?;
    writeln!(out, "cookies = {}", rules.cookies)
}
