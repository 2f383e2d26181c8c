//! The framing guard against any bytes: cuts change nothing, and what passes has the boundaries that httparse, the reader
//! behind it, sees as well.

use httparse::{EMPTY_HEADER, Request, Status};
use tidegate::wire::guard::{Guard, Limits, Verdict, Violation};

use crate::cut::same_however_cut;

pub fn check(data: &[u8]) -> Option<()> {
    let (found, ..) = same_however_cut(data, |pieces| judged(pieces));
    if let Some((at, _)) = found {
        assert!(at < data.len());
        let mut before = Guard::new(Limits::default());
        assert_eq!(before.feed(&data[..at]), Verdict::Pass);
        assert!(matches!(
            before.feed(&data[at..]),
            Verdict::Poisoned { at: 0, .. }
        ));
    }
    let passed = &data[..found.map_or(data.len(), |(at, _)| at)];
    has_the_boundaries_of_httparse(passed);
    Some(())
}

type Judged = (Option<(usize, Violation)>, [bool; 4]);

/// The place and kind of the violation, and where the guard thinks it is.
fn judged(pieces: &mut dyn Iterator<Item = &[u8]>) -> Judged {
    let mut guard = Guard::new(Limits::default());
    let (mut passed, mut found) = (0, None);
    for piece in pieces {
        match guard.feed(piece) {
            Verdict::Pass => {
                assert!(found.is_none(), "poisoned for good");
                passed += piece.len();
            }
            Verdict::Poisoned { at, why } => {
                let (_, first) = *found.get_or_insert((passed + at, why));
                assert_eq!(why, first);
            }
        }
    }
    let states = [
        guard.at_message_start(),
        guard.in_head(),
        guard.in_body(),
        guard.is_http2(),
    ];
    assert_eq!(
        states.into_iter().filter(|state| *state).count(),
        1,
        "{states:?}"
    );
    (found, states)
}

/// Where each whole message ends by httparse and RFC 9112, the guard must be at the start of a message.
fn has_the_boundaries_of_httparse(passed: &[u8]) {
    let mut guard = Guard::new(Limits::default());
    let mut rest = passed;
    while let Some(length) = message(rest) {
        let Some((message, after)) = rest.split_at_checked(length) else {
            return;
        };
        assert_eq!(guard.feed(message), Verdict::Pass);
        assert!(guard.at_message_start(), "{}", message.escape_ascii());
        rest = after;
    }
}

/// The length of the first message; `None` if it is not whole, or refused by httparse.
fn message(bytes: &[u8]) -> Option<usize> {
    let mut fields = [EMPTY_HEADER; 128];
    let mut request = Request::new(&mut fields);
    let Ok(Status::Complete(head)) = request.parse(bytes) else {
        return None;
    };
    let values = |name: &str| {
        let same = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        request
            .headers
            .iter()
            .filter(same)
            .map(|field| field.value)
            .collect::<Vec<_>>()
    };
    let (lengths, encodings) = (values("content-length"), values("transfer-encoding"));
    match (lengths.as_slice(), encodings.as_slice()) {
        ([], []) => Some(head),
        ([length], []) => {
            let length: usize = std::str::from_utf8(length)
                .ok()?
                .parse()
                .expect("the guard takes only numbers");
            head.checked_add(length)
        }
        ([], [encoding]) => {
            assert!(encoding.eq_ignore_ascii_case(b"chunked"));
            assert_eq!(request.version, Some(1));
            Some(head + chunks(bytes.get(head..)?)?)
        }
        framing => panic!("passed with {framing:?}"),
    }
}

/// The length of a chunked body with its trailers.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(bytes.get(at..)?)
        else {
            return None;
        };
        at += line;
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        let end = bytes.get(at..at.checked_add(2)?)?;
        assert_eq!(end, b"\r\n");
        at += 2;
    }
    let mut trailers = [EMPTY_HEADER; 512];
    match httparse::parse_headers(bytes.get(at..)?, &mut trailers) {
        Ok(Status::Complete((length, _))) => Some(at + length),
        _ => None,
    }
}
