//! Answers of a server, any bytes: the cuts change nothing, no head holds what could end a line, and chunks are those the
//! guard would take from a client.

use bytes::{Buf, BytesMut};
use tidegate::wire::guard::{Guard, Limits, Verdict};
use tidegate::wire::http1::{Chunks, Framing, Head, Step, end_of_head, is_no_answer, read};

use crate::cut::same_however_cut;

pub fn check(data: &[u8]) -> Option<()> {
    let (&to_head, data) = data.split_first()?;
    let to_head = to_head & 1 == 1;
    let _any = is_no_answer(data);
    let answer = same_however_cut(data, |pieces| Answer::of(pieces, to_head));
    if let Some(head) = &answer.head {
        let values = head.headers.values();
        assert!(
            values
                .map(http::HeaderValue::as_bytes)
                .all(|value| !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)))
        );
        assert!(!to_head || head.framing == Framing::Length(0));
        if head.framing == Framing::Chunked {
            let length = data.len() - answer.rest.len();
            guard_agrees(data.get(answer.length..length)?, answer.bad);
        }
    }
    answer.head.map(drop)
}

/// What was made of the bytes.
#[derive(Debug, PartialEq, Default)]
struct Answer {
    head: Option<Head>,
    /// That of the head.
    length: usize,
    bad: bool,
    chunks: Vec<u8>,
    over: bool,
    rest: Vec<u8>,
}

impl Answer {
    fn of(pieces: &mut dyn Iterator<Item = &[u8]>, to_head: bool) -> Self {
        let (mut answer, mut buffer, mut seen) = (Self::default(), BytesMut::new(), 0);
        let mut chunks = Chunks::default();
        for piece in pieces {
            if answer.bad {
                continue;
            }
            buffer.extend_from_slice(piece);
            if answer.head.is_none() {
                match end_of_head(&buffer, seen) {
                    Ok(Some(length)) => {
                        let head = read(&buffer.split_to(length).freeze(), to_head);
                        answer.bad = head.is_err();
                        (answer.head, answer.length) = (head.ok(), length);
                    }
                    Ok(None) => seen = buffer.len(),
                    Err(_) => answer.bad = true,
                }
            }
            let framing = answer.head.as_ref().map(|head| head.framing);
            if framing == Some(Framing::Chunked) {
                answer.take(&mut chunks, &mut buffer);
            }
        }
        answer.over = chunks.is_over();
        if !answer.bad {
            answer.rest = buffer.to_vec();
        }
        answer
    }

    fn take(&mut self, chunks: &mut Chunks, buffer: &mut BytesMut) {
        while !chunks.is_over() && !buffer.is_empty() {
            match chunks.next(buffer) {
                Ok(Step::Data { skip, length }) => {
                    buffer.advance(skip);
                    self.chunks.extend_from_slice(&buffer.split_to(length));
                }
                Ok(Step::More) => buffer.clear(),
                Ok(Step::End { skip }) => buffer.advance(skip),
                Err(_) => {
                    self.bad = true;
                    return;
                }
            }
        }
    }
}

fn guard_agrees(body: &[u8], bad: bool) {
    let mut guard = Guard::new(Limits::default());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(guard.feed(head), Verdict::Pass);
    let passes = guard.feed(body) == Verdict::Pass;
    // The guard refuses some names of trailers; here all are dropped.
    assert!(!bad || !passes, "taken by the guard alone");
}
