//! A channel name with holes, filled from the parts of a path or the fields of a message: `room-{room}`.

use std::borrow::Cow;

use super::error::{Cause, PatternError, is_name};
use super::pattern::Captures;
use crate::domain::{ChannelName, ChannelPattern, InvalidChannel};

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// This very text, never empty.
    Literal(Box<str>),
    /// What is put in, by its name.
    Variable(Box<str>),
}

/// A channel template, checked but for its variables: those must be names of the path it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTemplate {
    text: Box<str>,
    pieces: Vec<Piece>,
}

impl ChannelTemplate {
    /// Reads a template as written in the configuration, whose variables are parts of a path.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let invalid = |name: &str| (!is_name(name)).then(|| Cause::InvalidName(name.to_owned()));
        Self::parse_with(text, invalid)
    }

    /// The same, of variables that are fields of a message, also further down: `user-{user.id}`.
    pub fn of_fields(text: &str) -> Result<Self, PatternError> {
        let invalid = |name: &str| (!is_field(name)).then(|| Cause::InvalidField(name.to_owned()));
        Self::parse_with(text, invalid)
    }

    fn parse_with(
        text: &str,
        invalid: impl Fn(&str) -> Option<Cause>,
    ) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::new(0, InvalidChannel::Empty.into()));
        }
        let pieces = pieces(text, check_literal, invalid)?;
        Ok(Self {
            text: text.into(),
            pieces,
        })
    }

    /// The variables with their places in the text, in bytes.
    pub fn variables(&self) -> impl Iterator<Item = (usize, &str)> {
        variables(&self.pieces)
    }

    /// The channel for the parts of a path. Fails if a part holds what no channel name may; a variable without a part,
    /// which `config` rules out, counts as empty.
    pub fn fill(&self, captures: &Captures<'_>) -> Result<ChannelName, InvalidChannel> {
        let part = |variable: &str| Some(captures.get(variable).unwrap_or_default().into());
        let name = self.filled(part).unwrap_or_default();
        ChannelName::parse(&name)
    }

    /// The text for what `part` says of each variable; `None` if it says nothing of one.
    pub fn filled<'a>(&self, part: impl Fn(&str) -> Option<Cow<'a, str>>) -> Option<String> {
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => name.push_str(text),
                Piece::Variable(variable) => name.push_str(&part(variable)?),
            }
        }
        Some(name)
    }

    /// What every channel fits that this template can make.
    pub fn pattern(&self) -> ChannelPattern {
        let text = self.filled(|_| Some("*".into())).unwrap_or_default();
        // Two long literals may be longer together than any name, and so than any pattern.
        let every = || ChannelPattern::parse("*").expect("a star is a pattern");
        ChannelPattern::parse(&text).unwrap_or_else(|_| every())
    }

    /// The template as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Takes a template apart: text, and names in braces.
pub(super) fn pieces(
    text: &str,
    check_literal: impl Fn(&str, usize) -> Result<(), PatternError>,
    invalid: impl Fn(&str) -> Option<Cause>,
) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let literal = rest.split('{').next().unwrap_or(rest);
        check_literal(literal, at)?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        at += literal.len();
        rest = rest.get(literal.len()..).unwrap_or_default();
        let Some(opened) = rest.strip_prefix('{') else {
            break;
        };
        let Some((name, after)) = opened.split_once('}') else {
            return Err(PatternError::new(at, Cause::Unclosed('{', '}')));
        };
        if let Some(cause) = invalid(name) {
            return Err(PatternError::new(at + 1, cause));
        }
        pieces.push(Piece::Variable(name.into()));
        at += name.len() + 2;
        rest = after;
    }
    Ok(pieces)
}

/// The variables of a template with their places in its text, in bytes.
pub(super) fn variables(pieces: &[Piece]) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    pieces.iter().filter_map(move |piece| match piece {
        Piece::Literal(text) => {
            at += text.len();
            None
        }
        Piece::Variable(name) => {
            let start = at + 1;
            at += name.len() + 2;
            Some((start, &**name))
        }
    })
}

/// Names with dots between them. JSON allows any, so what is refused is only what would be hard to see.
fn is_field(path: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    path.split('.')
        .all(|name| !name.is_empty() && name.chars().all(fits))
}

fn check_literal(literal: &str, at: usize) -> Result<(), PatternError> {
    if let Some(i) = literal.find('}') {
        return Err(PatternError::new(at + i, Cause::Unopened('{', '}')));
    }
    match ChannelName::parse(literal) {
        Ok(_) | Err(InvalidChannel::Empty) => Ok(()),
        Err(InvalidChannel::Character(wrong)) => {
            let place = at + literal.find(wrong).unwrap_or(0);
            Err(PatternError::new(
                place,
                InvalidChannel::Character(wrong).into(),
            ))
        }
        Err(error @ InvalidChannel::TooLong(_)) => Err(PatternError::new(at, error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::PathPattern;

    #[test]
    fn variables_are_filled_from_the_path() {
        let pattern = PathPattern::parse("/<slug:room>/<str:who>/").unwrap();
        let template = ChannelTemplate::parse("room-{room}:{who}").unwrap();
        assert_eq!(
            template.variables().collect::<Vec<_>>(),
            [(6, "room"), (13, "who")]
        );
        let filled = template.fill(&pattern.matches("/tea/ann/").unwrap());
        assert_eq!(filled.unwrap().as_str(), "room-tea:ann");
        let strange = template.fill(&pattern.matches("/tea/a,b/").unwrap());
        assert_eq!(strange, Err(InvalidChannel::Character(',')));
    }

    #[test]
    fn fields_of_a_message_may_lie_deeper() {
        let template = ChannelTemplate::of_fields("user-{user.id}-{a-b}").unwrap();
        let part = |name: &str| (name != "a-b").then(|| name.len().to_string().into());
        assert_eq!(template.filled(part), None);
        let part = |name: &str| Some(name.len().to_string().into());
        assert_eq!(template.filled(part).as_deref(), Some("user-7-3"));
        assert_eq!(template.pattern().as_str(), "user-*-*");
        let long = format!("{0}{{a}}{0}", "n".repeat(150));
        assert_eq!(
            ChannelTemplate::of_fields(&long)
                .unwrap()
                .pattern()
                .as_str(),
            "*"
        );
        for text in ["{}", "{.a}", "{a..b}", "{a b}"] {
            assert_eq!(
                ChannelTemplate::of_fields(text).unwrap_err().offset,
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, offset) in [
            ("", 0),
            ("room {x}", 4),
            ("a{room", 1),
            ("a}b", 1),
            ("a{}b", 2),
            ("{x}é", 3),
            ("{1}", 1),
        ] {
            assert_eq!(
                ChannelTemplate::parse(text).unwrap_err().offset,
                offset,
                "{text}"
            );
        }
    }
}
