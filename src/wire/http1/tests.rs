//! Chunked bodies: back as they were written, and as the guard judges them; heads of any bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::wire::guard::{Guard, Limits, Verdict};

/// The data of a chunked body, whether it is over, and what comes after it.
fn decoded(pieces: &mut dyn Iterator<Item = &[u8]>) -> Result<(Vec<u8>, bool, Vec<u8>), BadChunk> {
    let (mut chunks, mut data) = (Chunks::default(), Vec::new());
    let mut after = Vec::new();
    for mut piece in pieces {
        loop {
            if chunks.is_over() {
                after.extend_from_slice(piece);
                break;
            }
            match chunks.next(piece)? {
                Step::Data { skip, length } => {
                    assert!(length > 0);
                    data.extend_from_slice(&piece[skip..skip + length]);
                    piece = &piece[skip + length..];
                }
                Step::More => break,
                Step::End { skip } => piece = &piece[skip..],
            }
        }
    }
    Ok((data, chunks.is_over(), after))
}

fn whole(bytes: &[u8]) -> Result<(Vec<u8>, bool, Vec<u8>), BadChunk> {
    decoded(&mut std::iter::once(bytes))
}

/// Whether the guard takes `bytes` as a chunked body of a client.
fn guard_takes(bytes: &[u8]) -> bool {
    let mut guard = Guard::new(Limits::default());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(guard.feed(head), Verdict::Pass);
    guard.feed(bytes) == Verdict::Pass
}

#[test]
fn chunks_are_exact() {
    let long = format!("5;{}\r\nhello\r\n", "x".repeat(255));
    let trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(8 << 10));
    for (bytes, bad) in [
        ("\r\n", BadChunk::Size),
        (" 5\r\nhello\r\n", BadChunk::Size),
        ("5 \r\nhello\r\n", BadChunk::Size),
        ("0x5\r\nhello\r\n", BadChunk::Size),
        ("+5\r\nhello\r\n", BadChunk::Size),
        ("00000000000000005\r\nhello\r\n", BadChunk::Size),
        ("5\nhello\r\n", BadChunk::Size),
        ("8000000000000000\r\nhello\r\n", BadChunk::Size),
        ("5;a\nhello\r\n", BadChunk::Size),
        ("5;a\rxhello\r\n", BadChunk::Size),
        ("5;a\0\r\nhello\r\n", BadChunk::Size),
        (&long, BadChunk::Line),
        ("5\r\nhellox", BadChunk::End),
        ("5\r\nhello\n0\r\n\r\n", BadChunk::End),
        ("0\r\n\n", BadChunk::Trailer),
        ("0\r\n\rx", BadChunk::Trailer),
        ("0\r\nX : a\r\n\r\n", BadChunk::Trailer),
        ("0\r\n X: a\r\n\r\n", BadChunk::Trailer),
        ("0\r\nX: a\n\r\n", BadChunk::Trailer),
        ("0\r\nX: \0\r\n\r\n", BadChunk::Trailer),
        (&trailer, BadChunk::Trailer),
    ] {
        assert_eq!(whole(bytes.as_bytes()), Err(bad), "{bytes:?}");
        assert!(!guard_takes(bytes.as_bytes()), "{bytes:?}");
    }
    let mut chunks = Chunks::default();
    for _ in 0..2 {
        assert_eq!(chunks.next(b"x"), Err(BadChunk::Size), "bad for good");
    }
}

#[test]
fn a_head_has_its_bound_also_if_it_comes_whole() {
    let head = |length| {
        let around = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!(
            "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
            "x".repeat(length - around)
        )
    };
    let end = |text: String| end_of_head(text.as_bytes(), 0);
    assert_eq!(end(head(MOST_HEAD)), Ok(Some(MOST_HEAD)));
    assert_eq!(end(head(MOST_HEAD + 1)), Err(Invalid::TooLong));
}

/// Bytes that are nearly chunks.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "3\r\n",
            "abc",
            "\r\n",
            "0\r\n",
            "0\r\n\r\n",
            "1;x=y\r\n",
            "z",
            "\r",
            "\n",
            ";",
            " ",
            "T: v\r\n",
            "0000000000000000",
            "A",
            ":",
            "\0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_was_written_in_chunks_is_read_however_cut(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..5),
        extension in "(;[ -~]{0,9})?", trailer in "(T: [ -~]{0,9}\r\n)?", after: Vec<u8>, size in 1_usize..30,
    ) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            bytes.extend(format!("{:X}{extension}\r\n", piece.len()).bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("0{extension}\r\n{trailer}\r\n").bytes());
        bytes.extend(&after);
        let expected = Ok((pieces.concat(), true, after));
        prop_assert_eq!(decoded(&mut bytes.chunks(size)), whole(&bytes));
        prop_assert_eq!(whole(&bytes), expected);
    }

    #[test]
    fn chunks_are_judged_as_the_guard_judges_those_of_a_client(bytes in nearly(), size in 1_usize..9) {
        let found = whole(&bytes);
        prop_assert_eq!(&decoded(&mut bytes.chunks(size)), &found);
        match found {
            Ok((_, _, after)) => prop_assert!(guard_takes(&bytes[..bytes.len() - after.len()])),
            Err(_) => prop_assert!(!guard_takes(&bytes)),
        }
    }

    #[test]
    fn any_head_is_read_or_refused(lines in "(HTTP/1\\.[019] [0-9]{1,3}( [ -~]{0,4})?|[!-~]{0,9}:?[ -~]{0,9}|\\PC{0,4}|\r|\n|\0)(\r\n|\n|\r\n\r\n){0,2}", to_head: bool) {
        let bytes = Bytes::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n"));
        let _any = is_no_answer(&bytes);
        let mut seen = 0;
        let cut = loop {
            match end_of_head(&bytes[..seen], seen.saturating_sub(1)) {
                Ok(None) if seen < bytes.len() => seen += 1,
                found => break found,
            }
        };
        let found = end_of_head(&bytes, 0);
        prop_assert_eq!(cut, found);
        if let Ok(Some(length)) = found
            && let Ok(head) = read(&bytes.slice(..length), to_head)
        {
            let text = head.headers.values().all(|value| !value.as_bytes().contains(&b'\n'));
            prop_assert!(text && (!to_head || head.framing == Framing::Length(0)));
        }
    }
}
