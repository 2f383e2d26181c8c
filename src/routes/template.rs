//! A channel name with holes, filled from the parts of a path: `room-{room}`.

use super::error::{Cause, PatternError, is_name};
use super::pattern::Captures;
use crate::domain::{ChannelName, InvalidChannel};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Variable(Box<str>),
}

/// A channel template, checked but for its variables: those must be names of the path it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTemplate {
    text: Box<str>,
    pieces: Vec<Piece>,
}

impl ChannelTemplate {
    /// Reads a template as written in the configuration.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::new(0, InvalidChannel::Empty.into()));
        }
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
            if !is_name(name) {
                let cause = Cause::InvalidName(name.to_owned());
                return Err(PatternError::new(at + 1, cause));
            }
            pieces.push(Piece::Variable(name.into()));
            at += name.len() + 2;
            rest = after;
        }
        Ok(Self {
            text: text.into(),
            pieces,
        })
    }

    /// The variables with their places in the text, in bytes.
    pub fn variables(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut at = 0;
        self.pieces.iter().filter_map(move |piece| match piece {
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

    /// The channel for the parts of a path. Fails if a part holds what no channel name may; a variable without a part,
    /// which `config` rules out, counts as empty.
    pub fn fill(&self, captures: &Captures<'_>) -> Result<ChannelName, InvalidChannel> {
        let mut name = String::new();
        for piece in &self.pieces {
            name.push_str(match piece {
                Piece::Literal(text) => text,
                Piece::Variable(variable) => captures.get(variable).unwrap_or_default(),
            });
        }
        ChannelName::parse(&name)
    }

    /// The template as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
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
