//! Hostile messages and valid ones, whole, byte by byte and in small pieces.

use super::*;

fn guard() -> Guard {
    Guard::new(Limits::default())
}

/// The place and kind of the violation when fed in pieces of `size`.
pub(super) fn judged(bytes: &[u8], size: usize) -> (Option<(usize, Violation)>, Guard) {
    let mut guard = guard();
    let mut passed = 0;
    for piece in bytes.chunks(size) {
        match guard.feed(piece) {
            Verdict::Pass => passed += piece.len(),
            Verdict::Poisoned { at, why } => return (Some((passed + at, why)), guard),
        }
    }
    (None, guard)
}

/// `§` stands at the first byte to be withheld.
fn refused(marked: &str, why: Violation) -> Guard {
    let at = marked.find('§').unwrap();
    let bytes = marked.replace('§', "");
    for size in [1, 2, 3, 7] {
        assert_eq!(
            judged(bytes.as_bytes(), size).0,
            Some((at, why)),
            "{marked:?}"
        );
    }
    let (found, guard) = judged(bytes.as_bytes(), usize::MAX);
    assert_eq!(found, Some((at, why)), "{marked:?}");
    guard
}

fn passes(bytes: &[u8]) -> Guard {
    for size in [1, 2, 3, 7] {
        assert_eq!(judged(bytes, size).0, None, "{}", bytes.escape_ascii());
    }
    let (found, guard) = judged(bytes, usize::MAX);
    assert_eq!(found, None, "{}", bytes.escape_ascii());
    guard
}

#[test]
fn request_lines_have_one_form() {
    for (marked, why) in [
        ("§ GET / HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET § / HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET / § HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/1.1§ \r\n\r\n", Violation::RequestLine),
        ("GET /§\r\n\r\n", Violation::RequestLine),
        ("GET§\t/ HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET /a§\tb HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/1.§2\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/§2.0\r\n\r\n", Violation::RequestLine),
        ("GET / §http/1.1\r\n\r\n", Violation::RequestLine),
        ("G§(T / HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET /§\0 HTTP/1.1\r\n\r\n", Violation::Control),
        ("G§\0T / HTTP/1.1\r\n\r\n", Violation::Control),
        ("GET /§\x7f HTTP/1.1\r\n\r\n", Violation::Control),
        ("GET / HTTP/1.1§\n\r\n", Violation::BareLf),
        ("GET /§\n", Violation::BareLf),
        ("GET /a§#b HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET /a?b§# HTTP/1.1\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/1.1\r§\r\n", Violation::BareCr),
        ("§\nGET / HTTP/1.1\r\n\r\n", Violation::BareLf),
        ("\r§GET / HTTP/1.1\r\n\r\n", Violation::BareCr),
        ("\r\n§\r\nGET / HTTP/1.1\r\n\r\n", Violation::EmptyLines),
        ("\r\n§\nGET / HTTP/1.1\r\n\r\n", Violation::BareLf),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n§x", Violation::RequestLine),
        ("PRI * HTTP/2.0\r\n§Host: a\r\n\r\n", Violation::RequestLine),
        ("PRI * HTTP/2.§1\r\n", Violation::RequestLine),
        ("§\x16\x03\x01", Violation::Control),
    ] {
        assert!(!refused(marked, why).in_body());
    }
}

#[test]
fn field_lines_have_one_form() {
    for (marked, why) in [
        ("Host§ : a\r\n\r\n", Violation::HeaderName),
        ("Host§\t: a\r\n\r\n", Violation::HeaderName),
        ("§: a\r\n\r\n", Violation::HeaderName),
        ("Ho§(st: a\r\n\r\n", Violation::HeaderName),
        ("H§ö: a\r\n\r\n", Violation::HeaderName),
        ("Host§\r\n\r\n", Violation::HeaderName),
        ("Ho§\0st: a\r\n\r\n", Violation::Control),
        ("§ Host: a\r\n\r\n", Violation::Folding),
        ("X: a\r\n§\tb\r\n\r\n", Violation::Folding),
        ("X: a§\n\r\n", Violation::BareLf),
        ("X: a\r§X: b\r\n\r\n", Violation::BareCr),
        ("X: a\r§\0\r\n\r\n", Violation::BareCr),
        ("X: a§\0b\r\n\r\n", Violation::Control),
        ("X: a§\x01b\r\n\r\n", Violation::Control),
        ("X: a\r\n§\n", Violation::BareLf),
        ("X: a\r\n\r§\r\n", Violation::BareCr),
        ("Host: a\r\nhOST§: a\r\n\r\n", Violation::SeveralHosts),
    ] {
        let guard = refused(&format!("GET / HTTP/1.1\r\n{marked}"), why);
        assert!(guard.in_head() && !guard.in_body());
    }
}

#[test]
fn a_body_has_one_length() {
    for (marked, why) in [
        (
            "Content-Length: 5\r\ncontent-length§: 5\r\n\r\n",
            Violation::SeveralLengths,
        ),
        ("Content-Length: 5§, 5\r\n\r\n", Violation::ContentLength),
        ("Content-Length: §+5\r\n\r\n", Violation::ContentLength),
        ("Content-Length: §-5\r\n\r\n", Violation::ContentLength),
        ("Content-Length: 0§x5\r\n\r\n", Violation::ContentLength),
        ("Content-Length: 1§_0\r\n\r\n", Violation::ContentLength),
        ("Content-Length: 5 §5\r\n\r\n", Violation::ContentLength),
        ("Content-Length: §\r\n\r\n", Violation::ContentLength),
        ("Content-Length: 5§\n\r\n", Violation::BareLf),
        ("Content-Length: 5§\0\r\n\r\n", Violation::Control),
        (
            "Content-Length: 922337203685477580§8\r\n\r\n",
            Violation::ContentLength,
        ),
        (
            "Content-Length: 1844674407370955161§6\r\n\r\n",
            Violation::ContentLength,
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding§: chunked\r\n\r\n",
            Violation::LengthAndEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length§: 0\r\n\r\n",
            Violation::LengthAndEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding§: chunked\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: §identity\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: §gzip, chunked\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked§, identity\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked§;q=1\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: c§ hunked\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunk§\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked §x\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "Transfer-Encoding: §xchunked\r\n\r\n",
            Violation::TransferEncoding,
        ),
        ("Transfer-Encoding: §\r\n\r\n", Violation::TransferEncoding),
        (
            "Transfer-Encoding: §\x0bchunked\r\n\r\n",
            Violation::Control,
        ),
    ] {
        let guard = refused(&format!("POST / HTTP/1.1\r\nHost: a\r\n{marked}"), why);
        assert!(guard.in_head() && !guard.in_body());
    }
    refused(
        "POST / HTTP/1.0\r\nTransfer-Encoding§: chunked\r\n\r\n",
        Violation::TransferEncoding,
    );
}

#[test]
fn chunks_are_exact() {
    let long_line = format!("5;{}§x\r\n", "x".repeat(254));
    let long_trailer = format!("0\r\nX: {}§x\r\n\r\n", "x".repeat((8 << 10) - 3));
    for (marked, why) in [
        ("§\r\n", Violation::ChunkSize),
        ("§;x\r\n", Violation::ChunkSize),
        ("§ 5\r\nhello\r\n", Violation::ChunkSize),
        ("5§ \r\nhello\r\n", Violation::ChunkSize),
        ("5§\t;x\r\nhello\r\n", Violation::ChunkSize),
        ("0§x5\r\nhello\r\n", Violation::ChunkSize),
        ("§+5\r\nhello\r\n", Violation::ChunkSize),
        ("§-1\r\n", Violation::ChunkSize),
        ("0000000000000000§5\r\nhello\r\n", Violation::ChunkSize),
        ("7fffffffffffffff§f\r\n", Violation::ChunkSize),
        ("800000000000000§0\r\n", Violation::ChunkSize),
        ("5§\nhello\r\n", Violation::BareLf),
        ("5;a§\nhello\r\n", Violation::BareLf),
        ("5;a\r§xhello\r\n", Violation::BareCr),
        ("5;a§\0\r\nhello\r\n", Violation::Control),
        ("5;a=§ä\r\nhello\r\n", Violation::ChunkExtension),
        (&long_line, Violation::ChunkLine),
        ("5\r\nhello§x", Violation::ChunkEnd),
        ("5\r\nhello§\n0\r\n\r\n", Violation::ChunkEnd),
        ("5\r\nhello\r§\r\n", Violation::ChunkEnd),
        ("5\r\nhell\r§\n0\r\n\r\n", Violation::ChunkEnd),
        ("0\r\n§\n", Violation::BareLf),
        ("0\r\n\r§x", Violation::BareCr),
        ("0\r\nX§ : a\r\n\r\n", Violation::HeaderName),
        ("0\r\n§ X: a\r\n\r\n", Violation::Folding),
        ("0\r\nX: a§\n\r\n", Violation::BareLf),
        ("0\r\nContent-Length§: 5\r\n\r\n", Violation::Trailer),
        (
            "0\r\ntransfer-encoding§: chunked\r\n\r\n",
            Violation::Trailer,
        ),
        ("0\r\nHost§: a\r\n\r\n", Violation::Trailer),
        (&long_trailer, Violation::Trailer),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let guard = refused(&format!("{head}{marked}"), why);
        assert!(guard.in_body() && !guard.in_head());
    }
}

#[test]
fn once_poisoned_nothing_passes() {
    let mut guard = refused("GET /§\n", Violation::BareLf);
    let poisoned = Verdict::Poisoned {
        at: 0,
        why: Violation::BareLf,
    };
    guard.release();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b""] {
        assert_eq!(guard.feed(bytes), poisoned);
    }
}

#[test]
fn the_state_is_known_between_the_bytes() {
    let mut guard = guard();
    let mut states = String::new();
    let text = b"\r\nP / HTTP/1.1\r\nContent-Length:1\r\n\r\n.\r\nP / HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n1\r\n.\r\n0\r\nX:\r\n\r\n";
    for byte in text {
        assert_eq!(guard.feed(&[*byte]), Verdict::Pass);
        states.push(
            match (guard.at_message_start(), guard.in_head(), guard.in_body()) {
                (true, false, false) => 's',
                (false, true, false) => 'h',
                (false, false, true) => 'b',
                other => panic!("{other:?}"),
            },
        );
    }
    let mut changes: Vec<char> = states.chars().collect();
    changes.dedup();
    // An empty line counts as the head's until it is over.
    assert_eq!(String::from_iter(changes), "hshbshshbs");
}

#[test]
fn http2_and_upgraded_connections_pass_as_they_are() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\n";
    let guard = passes(preface);
    assert!(guard.is_http2() && !guard.in_head() && !guard.at_message_start());
    assert!(!passes(&preface[..23]).is_http2());
    assert!(passes(b"PRI").in_head());
    let mut guard =
        passes(b"GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    guard.release();
    assert_eq!(guard.feed(b"\x81\x05\0\n\r"), Verdict::Pass);
    assert!(!guard.in_head() && !guard.in_body() && !guard.is_http2());
}

#[test]
fn what_is_merely_unusual_passes() {
    for text in [
        "PRIVATE /PRI HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nX:\r\nY:  \t a\tb \t\r\nContent-Length:\t007 \r\n\r\n1234567",
        "POST http://a/\u{e4} HTTP/1.1\r\nTRANSFER-encoding: \tChunKED \r\n\r\n00A;a=\"b c\"\r\n0123456789\r\n000;x\r\nT: v\r\n\r\n",
        "GET / HTTP/1.1\r\nContent_Length: x\r\nX-Content-Length: y\r\nTransfer-Encoding2: z\r\nX: \u{e4}\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\n\0\n",
    ] {
        passes(text.as_bytes());
    }
}
