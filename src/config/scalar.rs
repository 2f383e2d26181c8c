//! Reading single values: strings with what is put into them, numbers, durations, rates, sizes, choices.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::problem::name_hint;
use super::reader::{Place, Section, Value};
use super::substitute::substitute;
use super::values::{parse_duration, parse_range, parse_rate};
use crate::domain::ByteSize;
use crate::limits::Rate;
use crate::routes::PatternError;

/// A string, everything put in.
pub(super) struct Text<'a> {
    /// The string in force. May hold a secret: problems quote [`Self::written`].
    pub(super) value: String,
    written: &'a str,
    origin: Value<'a>,
}

impl Text<'_> {
    /// The string as it stands in the file, quoted.
    pub(super) fn written(&self) -> String {
        format!("{:?}", self.written)
    }

    pub(super) const fn place(&self) -> &Place {
        &self.origin.place
    }

    pub(super) fn problem(&self, message: impl Into<String>, hint: Option<String>) {
        self.origin.problem(message, hint);
    }

    /// Notes that what the string names is absent; not if TOML could not read every line, for it may be there.
    pub(super) fn missing(&self, message: impl Into<String>, hint: Option<String>) {
        self.origin.report.missing(self.place(), message, hint);
    }

    /// The content of a file that the string names.
    pub(super) fn file(&self, path: &str) -> std::io::Result<String> {
        self.origin.report.environment.file(path)
    }

    /// Reads the string with `parse`; its error becomes a problem.
    pub(super) fn parse<T, E: fmt::Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&self.value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(format!("{}: {error}", self.written()), None);
                None
            }
        }
    }

    /// Reads a path or a channel template; the problem points into the string.
    pub(super) fn pattern<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, PatternError>,
    ) -> Option<T> {
        match parse(&self.value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem_at(error.offset, error.to_string(), error.hint());
                None
            }
        }
    }

    /// Notes a problem at a place within the string, in bytes. Where the string does not stand in the file letter by
    /// letter (escapes, several lines, variables), its beginning is the place.
    pub(super) fn problem_at(&self, at: usize, message: impl Into<String>, hint: Option<String>) {
        let mut place = self.origin.place.clone();
        place.offset += self.letters(at).unwrap_or(0);
        self.origin.report.add(&place, message, hint);
    }

    fn letters(&self, at: usize) -> Option<usize> {
        let source = self.origin.report.text.get(self.origin.span.clone())?;
        let inner = source.get(1..source.len().checked_sub(1)?)?;
        (inner == self.value).then_some(at + 1)
    }
}

impl<'a> Value<'a> {
    /// A string.
    pub(super) fn text(&self) -> Option<Text<'a>> {
        let DeValue::String(written) = self.tree else {
            self.expected("a string", None);
            return None;
        };
        let mut text = Text {
            value: written.to_string(),
            written,
            origin: self.clone(),
        };
        match substitute(written, self.report.environment) {
            Ok(filled) => {
                text.value = filled;
                Some(text)
            }
            Err(causes) => {
                for (at, cause) in causes {
                    text.problem_at(at, cause.to_string(), cause.hint());
                }
                None
            }
        }
    }

    /// A duration.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.with_unit("15s")?.parse(parse_duration)
    }

    /// A duration that is not zero.
    pub(super) fn some_time(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.problem("zero makes no sense here", None);
            return None;
        }
        Some(duration)
    }

    /// A range of durations.
    pub(super) fn range(&self) -> Option<RangeInclusive<Duration>> {
        self.with_unit("2s..6s")?.parse(parse_range)
    }

    /// A rate.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.with_unit("10/m")?.parse(parse_rate)
    }

    /// A rate, or `"0"`, which is none.
    pub(super) fn some_rate(&self) -> Option<Rate> {
        let text = self.with_unit("10/m")?;
        if text.value == "0" {
            return None;
        }
        text.parse(parse_rate)
    }

    /// A size within `limits`.
    pub(super) fn size(&self, limits: RangeInclusive<ByteSize>) -> Option<ByteSize> {
        let size = self.with_unit("256KiB")?.parse(ByteSize::parse)?;
        if !limits.contains(&size) {
            let (low, high) = limits.into_inner();
            self.problem(format!("expected a size from {low} to {high}"), None);
            return None;
        }
        Some(size)
    }

    /// A string, with a hint for those who left out the unit.
    fn with_unit(&self, example: &str) -> Option<Text<'a>> {
        if matches!(self.tree, DeValue::Integer(_) | DeValue::Float(_)) {
            let hint = format!("write it with its unit, as in {example:?}");
            self.expected("a string", Some(hint));
            return None;
        }
        self.text()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.tree {
            DeValue::Boolean(flag) => Some(*flag),
            DeValue::String(written) if written.contains("${") => {
                let text = self.text()?;
                text.choice(&[("true", true), ("false", false)])
            }
            _ => {
                self.expected("true or false", None);
                None
            }
        }
    }

    /// The version of the file's format, of which there is one.
    pub(super) fn version(&self) {
        match self.tree {
            DeValue::Integer(version) if version.as_str() == "1" => {}
            DeValue::Integer(_) => {
                self.problem(
                    "a version this program does not know",
                    Some("it knows 1".to_owned()),
                );
            }
            _ => self.expected("a whole number", None),
        }
    }

    /// A whole number within `limits`.
    pub(super) fn count(&self, limits: RangeInclusive<usize>) -> Option<usize> {
        let number = match self.tree {
            DeValue::Integer(integer) => {
                usize::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            DeValue::String(written) if written.contains("${") => self.text()?.value.parse().ok(),
            _ => {
                self.expected("a whole number", None);
                return None;
            }
        };
        let number = number.filter(|number| limits.contains(number));
        if number.is_none() {
            let (low, high) = limits.into_inner();
            self.problem(
                format!("expected a whole number from {low} to {high}"),
                None,
            );
        }
        number
    }
}

impl Text<'_> {
    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let found = choices.iter().find(|(word, _)| *word == self.value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            let hint = name_hint(&self.value, &words, "there are");
            self.problem(format!("{} is not known here", self.written()), hint);
        }
        found.map(|(_, value)| *value)
    }
}

impl<'a> Section<'a> {
    pub(super) fn text(&mut self, key: &'static str) -> Option<Text<'a>> {
        self.value(key)?.text()
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.value(key)?.flag()
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.text(key)?.choice(choices)
    }

    /// Sets `target` if the file has a duration for it.
    pub(super) fn duration(&mut self, key: &'static str, target: &mut Duration) {
        if let Some(duration) = self.value(key).and_then(|value| value.duration()) {
            *target = duration;
        }
    }

    /// The same for a duration that must not be zero.
    pub(super) fn some_time(&mut self, key: &'static str, target: &mut Duration) {
        if let Some(duration) = self.value(key).and_then(|value| value.some_time()) {
            *target = duration;
        }
    }

    /// Sets `target` if the file has a size for it.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<ByteSize>,
        target: &mut ByteSize,
    ) {
        if let Some(size) = self.value(key).and_then(|value| value.size(limits)) {
            *target = size;
        }
    }

    /// Sets `target` if the file has a number for it.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<usize>,
        target: &mut usize,
    ) {
        if let Some(number) = self.value(key).and_then(|value| value.count(limits)) {
            *target = number;
        }
    }
}
