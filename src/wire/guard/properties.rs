//! Pipelines of valid requests, and bytes that are nearly requests, cut anywhere.

use proptest::prelude::*;

use super::tests::judged;

/// One valid request.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let fields = "(X-[a-z]{1,20}: ?[ -~]{0,20}\r\n){0,3}";
    let chunk = prop::collection::vec(any::<u8>(), 1..20);
    let body = prop_oneof![
        Just(None),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Some((false, vec![bytes]))),
        prop::collection::vec(chunk, 0..4).prop_map(|chunks| Some((true, chunks))),
    ];
    (
        "(\r\n)?[A-Z]{1,7} /[!-~&&[^#]]{0,10} HTTP/1\\.1\r\n",
        fields,
        body,
        "(;[ -~]{0,9})?",
        "(T: [ -~]{0,9}\r\n)?",
    )
        .prop_map(|(line, fields, body, extension, trailer)| {
            let mut text = format!("{line}{fields}Host: a\r\n").into_bytes();
            match body {
                None => text.extend(b"\r\n"),
                Some((false, bytes)) => {
                    let bytes = bytes.concat();
                    text.extend(format!("Content-Length: {}\r\n\r\n", bytes.len()).bytes());
                    text.extend(bytes);
                }
                Some((true, chunks)) => {
                    text.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in chunks {
                        text.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
                        text.extend(chunk);
                        text.extend(b"\r\n");
                    }
                    text.extend(format!("0{extension}\r\n{trailer}\r\n").bytes());
                }
            }
            text
        })
}

/// Bytes that are nearly messages.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "GET / HTTP/1.1",
            "PRI * HTTP/2.0\r\n\r\n",
            "SM\r\n\r\n",
            "\r\n",
            "\r\n\r\n",
            "\r",
            "\n",
            "\0",
            " ",
            ":",
            "Host: a\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "3",
            "abc",
            "0\r\n\r\n",
            ";",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn valid_pipelines_pass_however_cut(
        requests in prop::collection::vec(request(), 1..5), size in 1_usize..40,
    ) {
        let (found, guard) = judged(&requests.concat(), size);
        prop_assert_eq!(found, None);
        prop_assert!(guard.at_message_start());
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_cuts(bytes in nearly(), size in 1_usize..9) {
        prop_assert_eq!(judged(&bytes, size).0, judged(&bytes, usize::MAX).0);
    }

    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>) {
        prop_assert_eq!(judged(&bytes, 1).0, judged(&bytes, 64).0);
    }
}
