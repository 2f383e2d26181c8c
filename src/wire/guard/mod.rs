//! The framing guard: where each message of a client begins and ends, read more strictly than hyper reads it.
//!
//! `server` feeds it every byte of a plain HTTP/1 connection *before* hyper sees it. hyper takes a bare LF for a line
//! end, two equal `Content-Length`, and a length together with chunks; whoever stands before or behind us may frame such
//! a message differently, so it gets 400 and the connection ends. After [`Verdict::Poisoned`] nothing more of the client
//! is delivered: in a head hyper is given the fine bytes and [`POISON`], in a body ([`Guard::in_body`]) the read fails.
//! Invariants: the verdict does not depend on how the bytes were cut; a violation is found before the last LF of its
//! head has passed; no memory beyond the guard itself. How long a head may be is hyper's to say (431).
//!
//! What begins with the preface of HTTP/2 is hyper's to read; of its frames the guard counts those that carry nothing.

mod chunk;
mod http2;
mod step;

use step::State;

/// What hyper is given in place of the withheld bytes of a head. NUL is valid nowhere in a head, so hyper answers 400;
/// the blank line makes it look, for after a first partial read it parses only once it sees one.
/// Never to be given in a body: hyper takes a NUL in a chunk extension, and the blank line could complete the body.
pub const POISON: &[u8] = b"\0\r\n\r\n";

/// What hyper is given in place of further frames of HTTP/2: settings of a stream, which there are none. It is an error of
/// the connection wherever it comes (RFC 9113, section 6.5), so hyper says GOAWAY and closes.
pub const POISON_HTTP2: &[u8] = b"\0\0\0\x04\0\0\0\0\x01";

/// How much of what an HTTP/2 client has used up comes back with each second.
const EARNED_BY_A_SECOND: u32 = 10;

/// What the guard bounds itself, because it has no other bound.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes of a chunk's size line, its extension included. Default: 256.
    pub chunk_line: usize,
    /// The most bytes of all trailers of a message. Default: 8 KiB.
    pub trailers: usize,
    /// The most frames of HTTP/2 that carry nothing, beyond those that answers and time have made up for. Default: 1,000.
    pub idle_frames: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_line: 256,
            trailers: 8 << 10,
            idle_frames: 1000,
        }
    }
}

/// What makes a message ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// An LF without a CR before it.
    #[error("a line ends with a bare LF")]
    BareLf,
    /// A CR without an LF after it.
    #[error("a CR without an LF")]
    BareCr,
    /// A NUL or another control character.
    #[error("a control character in the head")]
    Control,
    /// More than one empty line before a request.
    #[error("several empty lines before the request")]
    EmptyLines,
    /// Not `method SP target SP HTTP/1.0` or `1.1`, or a fragment in the target.
    #[error("the request line is not valid")]
    RequestLine,
    /// No name before the colon, or one that is no token (a space before the colon).
    #[error("a header name is not valid")]
    HeaderName,
    /// A header line begins with a space or a tab.
    #[error("a header line is folded")]
    Folding,
    /// More than one `Host`.
    #[error("several Host headers")]
    SeveralHosts,
    /// More than one `Content-Length`, equal or not.
    #[error("several Content-Length headers")]
    SeveralLengths,
    /// A `Content-Length` that is not one number below 2^63.
    #[error("the Content-Length is not valid")]
    ContentLength,
    /// A `Content-Length` and a `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A `Transfer-Encoding` other than one `chunked`, or one in HTTP/1.0.
    #[error("the Transfer-Encoding is not valid")]
    TransferEncoding,
    /// A chunk size that is not 1 to 16 hexadecimal digits, or not below 2^63.
    #[error("a chunk size is not valid")]
    ChunkSize,
    /// Something in a chunk extension that is not visible ASCII, space or tab.
    #[error("a chunk extension is not valid")]
    ChunkExtension,
    /// A size line beyond [`Limits::chunk_line`].
    #[error("a chunk size line is too long")]
    ChunkLine,
    /// The data of a chunk is not followed by CRLF.
    #[error("a chunk is longer than it says")]
    ChunkEnd,
    /// Trailers beyond [`Limits::trailers`], or one that would frame the message or name its host.
    #[error("a trailer is too long or not allowed")]
    Trailer,
    /// More frames of HTTP/2 that carry nothing than [`Limits::idle_frames`].
    #[error("too many HTTP/2 frames that carry nothing")]
    Flood,
}

/// What the guard thinks of the bytes it was fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of them may go on.
    Pass,
    /// The message is ambiguous, and so is all that follows it.
    Poisoned {
        /// `bytes[..at]` are fine, `bytes[at]` is the first to be withheld.
        at: usize,
        /// What is wrong.
        why: Violation,
    },
}

/// The state of one connection.
#[derive(Debug)]
pub struct Guard {
    limits: Limits,
    state: State,
    head: step::Head,
    name: step::Name,
    chunk: chunk::Chunk,
    /// The field lines read now are trailers, and may have so many bytes more.
    trailers_left: Option<usize>,
    /// Of HTTP/2; in a box, for HTTP/1 has no use for it.
    credit: Option<Box<http2::Credit>>,
    poisoned: Option<Violation>,
}

impl Guard {
    /// A guard at the start of a connection, where it also recognises HTTP/2.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Preface(0),
            head: step::Head::default(),
            name: step::Name::default(),
            chunk: chunk::Chunk::default(),
            trailers_left: None,
            credit: None,
            poisoned: None,
        }
    }

    /// Takes the next bytes of the client. Once poisoned, every byte is.
    pub fn feed(&mut self, bytes: &[u8]) -> Verdict {
        if let Some(why) = self.poisoned {
            return Verdict::Poisoned { at: 0, why };
        }
        let mut rest = bytes;
        loop {
            rest = rest.get(self.plain(rest)..).unwrap_or_default();
            let Some((&byte, after)) = rest.split_first() else {
                return Verdict::Pass;
            };
            if let State::Http2 = self.state {
                return self.feed_frames(bytes, rest);
            }
            match self.next(byte) {
                Ok(state) => self.state = state,
                Err(why) => {
                    self.poisoned = Some(why);
                    let at = bytes.len() - rest.len();
                    return Verdict::Poisoned { at, why };
                }
            }
            rest = after;
        }
    }

    /// Takes `rest`, the end of `bytes`, as frames.
    fn feed_frames(&mut self, bytes: &[u8], rest: &[u8]) -> Verdict {
        let most = self.limits.idle_frames;
        let credit = self
            .credit
            .get_or_insert_with(|| Box::new(http2::Credit::new(most)));
        let Some(at) = credit.received(rest) else {
            return Verdict::Pass;
        };
        let why = Violation::Flood;
        self.poisoned = Some(why);
        let at = bytes.len() - rest.len() + at;
        Verdict::Poisoned { at, why }
    }

    /// Takes what an HTTP/2 client is sent; of HTTP/1 nothing.
    pub fn sent(&mut self, bytes: &[u8]) {
        if let Some(credit) = &mut self.credit {
            credit.sent(bytes);
        }
    }

    /// So many seconds have passed on an HTTP/2 connection.
    pub fn passed(&mut self, seconds: u64) {
        if let Some(credit) = &mut self.credit {
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            credit.earn(seconds.saturating_mul(EARNED_BY_A_SECOND));
        }
    }

    /// Whether the last message is complete and no byte of a next one was seen (an empty line between two does not
    /// count).
    pub const fn at_message_start(&self) -> bool {
        matches!(self.state, State::Preface(0) | State::Start { .. })
    }

    /// Whether a head has begun and not ended: the time for a head runs. If poisoned: whether that is where.
    pub const fn in_head(&self) -> bool {
        !self.at_message_start()
            && !self.in_body()
            && !matches!(self.state, State::Http2 | State::Open)
    }

    /// Whether a body, its chunk lines and trailers included, has begun and not ended. If poisoned: whether that is
    /// where.
    pub const fn in_body(&self) -> bool {
        self.trailers_left.is_some()
            || matches!(
                self.state,
                State::Body(_)
                    | State::Size
                    | State::Extension
                    | State::SizeLf
                    | State::Data(_)
                    | State::DataCr
                    | State::DataLf
            )
    }

    /// Whether the connection began with the whole preface of HTTP/2; hyper reads
    /// what comes then.
    pub const fn is_http2(&self) -> bool {
        matches!(self.state, State::Http2)
    }

    /// Whether so far it may become HTTP/2 as well as HTTP/1.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.state, State::Preface(_))
    }

    /// The connection was upgraded: everything passes from here on.
    ///
    /// The guard does not know of upgrades by itself. Bytes that a client sends after a head with `Upgrade`, before the
    /// 101 and this call, are read as its next request; they mostly poison the connection, which then stays poisoned.
    /// That is meant: RFC 9931 has such early bytes refused.
    pub fn release(&mut self) {
        self.state = State::Open;
        self.trailers_left = None;
    }
}

#[cfg(test)]
mod against_hyper;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
