//! Fits a path to the pieces of a pattern, with the result of Django's regular expression and without its cost.
//!
//! A pattern is literals and runs of characters. Nearly always one run stands between two literals: then the literals
//! are taken off both ends and the rest is the run. Otherwise a table says, for each piece and each place in the path,
//! whether the pieces from there on fit the path from there on; with it the longest fitting run is taken at each piece,
//! which is what a greedy expression finds. Cost and memory are pieces times length, whatever the path.

use super::pattern::{Converter, Piece};

/// The captured parts in order, if the whole of `path` fits.
pub(super) fn captures<'a>(pieces: &[Piece], path: &'a str) -> Option<Vec<&'a str>> {
    let (pieces, path) = match pieces {
        [Piece::Literal(start), pieces @ ..] => (pieces, path.strip_prefix(&**start)?),
        pieces => (pieces, path),
    };
    // A path at the very end may be empty, so what stands before a literal end must know it is not at the end.
    let (pieces, path, may_be_empty) = match pieces {
        [pieces @ .., Piece::Literal(end)] => (pieces, path.strip_suffix(&**end)?, false),
        pieces => (pieces, path, true),
    };
    match pieces {
        [] => path.is_empty().then(Vec::new),
        [Piece::Capture(converter)] => fits(*converter, path, may_be_empty).then(|| vec![path]),
        pieces => Reach::new(pieces, path, may_be_empty).walk(pieces, path),
    }
}

fn fits(converter: Converter, text: &str, may_be_empty: bool) -> bool {
    match converter {
        Converter::Uuid => text.len() == UUID_LENGTH && starts_with_uuid(text),
        Converter::Path if may_be_empty => true,
        _ => !text.is_empty() && text.chars().all(|c| takes(converter, c)),
    }
}

/// Whether a run of this kind may contain `c`. A uuid is no run and has its own test.
fn takes(converter: Converter, c: char) -> bool {
    match converter {
        Converter::Int => c.is_ascii_digit(),
        Converter::Slug => c.is_ascii_alphanumeric() || c == '-' || c == '_',
        Converter::Str => c != '/',
        Converter::Path => true,
        Converter::Uuid => false,
    }
}

const UUID_LENGTH: usize = 36;

fn starts_with_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= UUID_LENGTH
        && bytes
            .iter()
            .take(UUID_LENGTH)
            .enumerate()
            .all(|(i, byte)| match i {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            })
}

/// For each piece and each byte of the path: whether the pieces from this one on fit the path from this byte on.
struct Reach {
    /// Row after row, the last row standing for "no piece is left".
    cells: Vec<bool>,
    width: usize,
}

impl Reach {
    fn new(pieces: &[Piece], path: &str, may_be_empty: bool) -> Self {
        let width = path.len() + 1;
        let mut reach = Self {
            cells: vec![false; width * (pieces.len() + 1)],
            width,
        };
        reach.set(pieces.len(), path.len());
        for (row, piece) in pieces.iter().enumerate().rev() {
            match piece {
                Piece::Literal(text) => reach.literal(row, text, path),
                Piece::Capture(Converter::Uuid) => reach.uuid(row, path),
                Piece::Capture(converter) => reach.run(row, *converter, path),
            }
            let ends_in_path = *piece == Piece::Capture(Converter::Path) && row + 1 == pieces.len();
            if ends_in_path && may_be_empty {
                reach.set(row, path.len());
            }
        }
        reach
    }

    fn literal(&mut self, row: usize, text: &str, path: &str) {
        for (at, _) in path.char_indices() {
            let here = path.get(at..).unwrap_or_default();
            if self.get(row + 1, at + text.len()) && here.starts_with(text) {
                self.set(row, at);
            }
        }
    }

    fn uuid(&mut self, row: usize, path: &str) {
        for (at, _) in path.char_indices() {
            let here = path.get(at..).unwrap_or_default();
            if self.get(row + 1, at + UUID_LENGTH) && starts_with_uuid(here) {
                self.set(row, at);
            }
        }
    }

    /// A run fits here if it takes this character, and either ends behind it or goes on there.
    fn run(&mut self, row: usize, converter: Converter, path: &str) {
        for (at, c) in path.char_indices().rev() {
            let next = at + c.len_utf8();
            if takes(converter, c) && (self.get(row + 1, next) || self.get(row, next)) {
                self.set(row, at);
            }
        }
    }

    /// Takes the longest fitting part for each piece, from the left.
    fn walk<'a>(&self, pieces: &[Piece], path: &'a str) -> Option<Vec<&'a str>> {
        if !self.get(0, 0) {
            return None;
        }
        let mut values = Vec::new();
        let mut rest = path;
        for (row, piece) in pieces.iter().enumerate() {
            let at = path.len() - rest.len();
            let taken = match piece {
                Piece::Literal(text) => text.len(),
                Piece::Capture(Converter::Uuid) => UUID_LENGTH,
                Piece::Capture(converter) => self.longest(row + 1, at, *converter, rest),
            };
            let (value, after) = rest.split_at_checked(taken)?;
            if matches!(piece, Piece::Capture(_)) {
                values.push(value);
            }
            rest = after;
        }
        Some(values)
    }

    /// The length of the longest run at the beginning of `rest` behind which row `next` fits.
    fn longest(&self, next: usize, at: usize, converter: Converter, rest: &str) -> usize {
        rest.char_indices()
            .take_while(|(_, c)| takes(converter, *c))
            .map(|(i, c)| i + c.len_utf8())
            .filter(|end| self.get(next, at + end))
            .last()
            .unwrap_or(0)
    }

    fn get(&self, row: usize, at: usize) -> bool {
        at < self.width
            && self
                .cells
                .get(row * self.width + at)
                .is_some_and(|cell| *cell)
    }

    fn set(&mut self, row: usize, at: usize) {
        if let Some(cell) = self.cells.get_mut(row * self.width + at) {
            *cell = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::PathPattern;
    use super::*;
    use proptest::prelude::*;

    /// A backtracking matcher, greedy as an expression is.
    fn naive<'a>(pieces: &[Piece], path: &'a str, captured: &mut Vec<&'a str>) -> bool {
        let Some((piece, later)) = pieces.split_first() else {
            return path.is_empty();
        };
        let converter = match piece {
            Piece::Literal(text) => {
                return path
                    .strip_prefix(&**text)
                    .is_some_and(|rest| naive(later, rest, captured));
            }
            Piece::Capture(converter) => *converter,
        };
        let ends = path.char_indices().map(|(i, _)| i).chain([path.len()]);
        for end in ends.rev() {
            let (value, rest) = path.split_at(end);
            if fits(converter, value, later.is_empty()) {
                captured.push(value);
                if naive(later, rest, captured) {
                    return true;
                }
                captured.pop();
            }
        }
        false
    }

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a1/-]{1,2}",
            prop::sample::select(vec![
                "<int:@>", "<slug:@>", "<str:@>", "<path:@>", "<uuid:@>", "<@>"
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| {
            let numbered = pieces.iter().enumerate();
            let text: String = numbered
                .map(|(i, piece)| piece.replace('@', &format!("n{i}")))
                .collect();
            format!("/{text}")
        })
    }

    fn path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            8 => "[a1/-]{1,3}",
            1 => Just("075194d3-6885-417e-a8a8-6c931e272f00".to_owned()),
            1 => "[é\n]",
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| format!("/{}", parts.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn matching_agrees_with_a_backtracking_matcher(pattern in pattern(), path in path()) {
            let pattern = PathPattern::parse(&pattern).unwrap();
            let mut captured = Vec::new();
            let expected = naive(pattern.pieces(), &path, &mut captured).then_some(captured);
            prop_assert_eq!(captures(pattern.pieces(), &path), expected);
        }
    }

    #[test]
    fn a_hostile_path_costs_no_more_than_pieces_times_length() {
        let text = (0..16).fold(String::new(), |text, i| text + &format!("<path:p{i}>a"));
        let pattern = PathPattern::parse(&format!("/{text}b")).unwrap();
        assert_eq!(pattern.matches(&format!("/{}", "a".repeat(32_000))), None);
        let hostile = format!("/{}cab", "a".repeat(32_000));
        assert!(pattern.matches(&hostile).is_some());
    }
}
