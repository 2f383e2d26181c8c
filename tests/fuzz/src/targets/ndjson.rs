//! A body of lines: cuts change nothing, and each line is read as a body of its own would be.

use bytes::Bytes;
use tidegate::wire::publish::ndjson::{LineTooLong, Lines, is_blank, read_line};
use tidegate::wire::publish::{Limits, Publish, read};

use super::event::is_exactly;
use super::publish::is_told;
use crate::cut::same_however_cut;

const LIMITS: Limits = Limits {
    max_event: 200,
    max_batch: 1,
};

pub fn check(data: &[u8]) -> Option<()> {
    for longest in [8, usize::MAX] {
        let (lines, error) = same_however_cut(data, |pieces| cut(longest, pieces));
        let naive = data.split(|&b| b == b'\n');
        let naive = naive.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let same = lines
            .iter()
            .zip(naive.clone())
            .all(|(line, naive)| line == naive);
        assert!(same && lines.iter().all(|line| line.len() <= longest));
        match error {
            None => assert_eq!(lines.len(), naive.count()),
            Some(_) => assert!(naive.clone().nth(lines.len())?.len() > longest),
        }
    }
    let (lines, _) = cut(usize::MAX, &mut std::iter::once(data));
    for line in lines.iter().filter(|line| !is_blank(line)) {
        match (read_line(line, LIMITS.max_event), read(line, LIMITS)) {
            (Ok(event), Ok(Publish::One(same))) => {
                assert_eq!(event, same);
                is_exactly(&event);
            }
            (Err(rejected), Err(_) | Ok(Publish::Batch(_))) => is_told(rejected),
            differ => panic!("{differ:?}"),
        }
    }
    Some(())
}

/// The lines before the first that is too long; the last of them is what is left at the end.
fn cut(
    longest: usize,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Bytes>, Option<LineTooLong>) {
    let (mut lines, mut found) = (Lines::new(longest), Vec::new());
    for piece in pieces {
        lines.feed(piece);
        loop {
            match lines.line() {
                Ok(Some(line)) => found.push(line),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    found.push(lines.last());
    (found, None)
}
