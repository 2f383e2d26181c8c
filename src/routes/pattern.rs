//! A path as Django's `path()` writes it: `/rooms/<slug:room>/events/`.
//!
//! The converters are Django's with Django's expressions, and stand next to literal text as they do there
//! (`/a-<int:x>.json`). Two differences, both so that `/<path:rest>` is everything: at the end of a path
//! `<path:…>` fits the empty rest too, and it fits a line break.

use super::error::{Cause, PatternError, is_name};

/// The most converters in one path.
const MOST_CONVERTERS: usize = 16;

/// The converters by name.
pub(super) const CONVERTERS: [(&str, Converter); 5] = [
    ("int", Converter::Int),
    ("slug", Converter::Slug),
    ("uuid", Converter::Uuid),
    ("str", Converter::Str),
    ("path", Converter::Path),
];

/// What a captured part may consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Converter {
    /// `[0-9]+`
    Int,
    /// `[-a-zA-Z0-9_]+`
    Slug,
    /// `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`
    Uuid,
    /// `[^/]+`
    Str,
    /// `.+`
    Path,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// This very text, never empty; two literals are never neighbours.
    Literal(Box<str>),
    /// A captured part.
    Capture(Converter),
}

/// A path pattern, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    pieces: Vec<Piece>,
    /// The names of the captures, in their order.
    names: Vec<Box<str>>,
}

/// The named parts of a path that fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captures<'a> {
    names: &'a [Box<str>],
    values: Vec<&'a str>,
}

impl Captures<'_> {
    /// The part called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.names.iter().position(|known| **known == *name)?;
        self.values.get(index).copied()
    }

    /// All parts with their names, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .map(AsRef::as_ref)
            .zip(self.values.iter().copied())
    }
}

impl PathPattern {
    /// Reads a path as written in the configuration.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::new(0, Cause::NoSlash));
        }
        let mut pattern = Self {
            text: text.into(),
            pieces: Vec::new(),
            names: Vec::new(),
        };
        let mut at = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let literal = rest.split('<').next().unwrap_or(rest);
            pattern.add_literal(literal, at)?;
            at += literal.len();
            rest = rest.get(literal.len()..).unwrap_or_default();
            let Some(opened) = rest.strip_prefix('<') else {
                break;
            };
            let Some((inner, after)) = opened.split_once('>') else {
                return Err(PatternError::new(at, Cause::Unclosed('<', '>')));
            };
            pattern.add_capture(inner, at)?;
            at += inner.len() + 2;
            rest = after;
        }
        Ok(pattern)
    }

    fn add_literal(&mut self, literal: &str, at: usize) -> Result<(), PatternError> {
        for (i, c) in literal.char_indices() {
            let cause = match c {
                '>' => Cause::Unopened('<', '>'),
                '?' | '#' => Cause::NotAPath(c),
                '%' if is_escape(literal.get(i..).unwrap_or_default()) => Cause::Escape,
                _ => continue,
            };
            return Err(PatternError::new(at + i, cause));
        }
        if !literal.is_empty() {
            self.pieces.push(Piece::Literal(literal.into()));
        }
        Ok(())
    }

    fn add_capture(&mut self, inner: &str, at: usize) -> Result<(), PatternError> {
        let (converter, name, name_at) = match inner.split_once(':') {
            Some((converter, name)) => (converter, name, at + 2 + converter.len()),
            None => ("str", inner, at + 1),
        };
        let Some((_, converter)) = CONVERTERS.iter().find(|(known, _)| *known == converter) else {
            let cause = Cause::UnknownConverter(converter.to_owned());
            return Err(PatternError::new(at + 1, cause));
        };
        if !is_name(name) {
            return Err(PatternError::new(
                name_at,
                Cause::InvalidName(name.to_owned()),
            ));
        }
        if self.has(name) {
            return Err(PatternError::new(
                name_at,
                Cause::NameTwice(name.to_owned()),
            ));
        }
        if self.names.len() == MOST_CONVERTERS {
            return Err(PatternError::new(at, Cause::TooMany(MOST_CONVERTERS)));
        }
        self.names.push(name.into());
        self.pieces.push(Piece::Capture(*converter));
        Ok(())
    }

    /// The named parts of `path`, if it fits as a whole. `path` is percent-decoded.
    pub fn matches<'a>(&'a self, path: &'a str) -> Option<Captures<'a>> {
        let values = super::matcher::captures(&self.pieces, path)?;
        Some(Captures {
            names: &self.names,
            values,
        })
    }

    /// Whether every path that fits `later` surely fits this pattern too, so that `later` behind it is never reached.
    /// A `false` promises nothing.
    pub fn covers(&self, later: &Self) -> bool {
        if self.pieces == later.pieces {
            return true;
        }
        match (self.pieces.as_slice(), later.pieces.first()) {
            (
                [Piece::Literal(start), Piece::Capture(Converter::Path)],
                Some(Piece::Literal(first)),
            ) => first.starts_with(&**start),
            _ => false,
        }
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether a part is called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| **known == *name)
    }

    /// The names of the parts, in the order of the path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether `text` begins with `%` and two hexadecimal digits.
fn is_escape(text: &str) -> bool {
    let mut digits = text.bytes().skip(1).take(2);
    let both = digits.all(|b| b.is_ascii_hexdigit());
    both && text.len() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_captured_by_name() {
        let pattern = PathPattern::parse("/rooms/<slug:room>/<int:pk>.json").unwrap();
        let found = pattern.matches("/rooms/tea_1-x/42.json").unwrap();
        assert_eq!(
            (found.get("room"), found.get("pk")),
            (Some("tea_1-x"), Some("42"))
        );
        assert_eq!(found.get("other"), None);
        assert_eq!(found.iter().count(), 2);
        for other in [
            "/rooms/tea/42.jsonx",
            "/rooms//42.json",
            "/rooms/a.b/42.json",
            "/rooms/a/4x.json",
        ] {
            assert_eq!(pattern.matches(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_at_the_end_fits_the_empty_rest_and_elsewhere_does_not() {
        let all = PathPattern::parse("/<path:rest>").unwrap();
        assert_eq!(all.matches("/").unwrap().get("rest"), Some(""));
        assert_eq!(all.matches("/a/b").unwrap().get("rest"), Some("a/b"));
        let inside = PathPattern::parse("/<path:rest>/x").unwrap();
        assert_eq!(inside.matches("//x"), None);
        assert_eq!(inside.matches("/a/x/x").unwrap().get("rest"), Some("a/x"));
    }

    #[test]
    fn a_uuid_is_lower_case_and_of_the_right_shape() {
        let pattern = PathPattern::parse("/c/<uuid:id>/").unwrap();
        assert!(
            pattern
                .matches("/c/075194d3-6885-417e-a8a8-6c931e272f00/")
                .is_some()
        );
        for other in [
            "075194D3-6885-417E-A8A8-6C931E272F00",
            "075194d36885417ea8a86c931e272f00",
            "x",
            "",
        ] {
            assert_eq!(pattern.matches(&format!("/c/{other}/")), None);
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, offset, message) in [
            ("rooms/", 0, "begins with"),
            ("", 0, "begins with"),
            ("/a/<slug:room", 3, "without"),
            ("/a>b", 2, "without"),
            ("/<slg:room>/", 2, "unknown converter \"slg\""),
            ("/<slug:1a>/", 7, "no name"),
            ("/<slug: a>/", 7, "no name"),
            ("/<>/", 2, "no name"),
            ("/<a>/<int:a>/", 10, "used twice"),
            ("/é/?x=1", 4, "cannot be in a path"),
            ("/a%20b", 2, "percent"),
        ] {
            let error = PathPattern::parse(text).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {error}");
            assert!(error.to_string().contains(message), "{text}: {error}");
        }
        let near = PathPattern::parse("/<slg:room>/").unwrap_err();
        assert_eq!(near.hint().as_deref(), Some("did you mean \"slug\"?"));
        assert!(PathPattern::parse("/100%").is_ok());
        let many = (0..17).fold(String::new(), |text, i| text + &format!("/<int:n{i}>"));
        assert_eq!(
            PathPattern::parse(&many).unwrap_err().cause,
            Cause::TooMany(16)
        );
    }

    #[test]
    fn an_earlier_pattern_covers_the_same_paths_and_those_below_it() {
        let covers = |earlier: &str, later: &str| {
            PathPattern::parse(earlier)
                .unwrap()
                .covers(&PathPattern::parse(later).unwrap())
        };
        assert!(covers("/<slug:a>/", "/<slug:b>/") && covers("/<path:rest>", "/events/"));
        assert!(covers("/a/<path:rest>", "/a/<int:x>/"));
        assert!(!covers("/a/<path:rest>", "/a") && !covers("/events/", "/<path:rest>"));
        assert!(!covers("/<str:a>/", "/<int:a>/x"));
    }
}
