//! `[compress]`: which answers are sent in a content coding, in which one, and what their headers say then.
//!
//! `finish` calls [`Compressor::apply`] for each answer once nothing else changes it. Whatever could have been compressed
//! says so in `Vary`, also to a client that gets it as it is. Limits: [`AT_ONCE`] answers are compressed while they are
//! sent, further ones go out as they are, counted; a short one is compressed at once and needs no place.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, RANGE, SET_COOKIE, VARY,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use memchr::memmem;
use prometheus_client::metrics::counter::Counter;

use crate::base::metrics::{CounterBy, Registry};
use crate::domain::ByteSize;
use crate::limits::Slots;
use crate::stream::{Body, Compressed, Counters};
use crate::wire::accept_encoding::{Accepted, Coding};
use crate::wire::encoder::{self, Encoder};
use crate::wire::headers;
use crate::wire::media_type::MediaRange;

/// How many answers are compressed while they are sent: some 3 MiB each.
const AT_ONCE: usize = 128;
/// An answer of ours or of Django that is there as a whole, and not longer, is compressed at once.
const WHOLE: usize = 64 << 10;
/// Above this nothing is compressed whose length is known: a download should show how much of it is there.
const LONGEST: u64 = 16 << 20;

/// What of an answer is about its bytes, and would be wrong for others.
const ABOUT_BYTES: [HeaderName; 5] = [
    ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// `[compress]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// Which types. Default text, and what is text by another name.
    pub types: Vec<MediaRange>,
    /// The codings, each once; of those a client likes alike the first is taken. Default zstd, br, gzip.
    pub algorithms: Vec<Coding>,
    /// What is shorter is left alone. Default 1 KiB.
    pub min_size: ByteSize,
    /// Whether answers that set cookies are compressed as well. Default no.
    pub cookies: bool,
}

impl Default for Compress {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/json",
            "application/javascript",
            "image/svg+xml",
        ];
        let types = types.map(|text| MediaRange::parse(text).expect("a range by our own hand"));
        Self {
            types: types.into(),
            algorithms: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip],
            min_size: ByteSize::kib(1),
            cookies: false,
        }
    }
}

/// An answer that no coding is put on.
#[derive(Debug, Clone)]
struct AsItIs;

/// Has an answer sent as it is: whoever held it said what its bytes are.
pub(super) fn as_it_is(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(AsItIs);
    response
}

/// What a request says about how its answer may be sent.
#[derive(Debug)]
pub(super) struct Asked {
    accepted: Accepted,
    /// Whether it asks for a part.
    part: bool,
    head_only: bool,
    /// The first `If-None-Match`.
    known: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        // To HTTP/1.0 nothing can be sent whose length is not known, but to the end of the connection.
        let accepted = if request.version() < Version::HTTP_11 {
            Accepted::default()
        } else {
            Accepted::of_request(headers)
        };
        Self {
            accepted,
            part: headers.contains_key(RANGE),
            head_only: request.method() == Method::HEAD,
            known: headers.get(IF_NONE_MATCH).cloned(),
        }
    }
}

/// What compresses.
#[derive(Debug)]
pub(super) struct Compressor {
    slots: Slots,
    compressed: CounterBy,
    full: Counter,
    counters: Counters,
}

impl Compressor {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            slots: Slots::new(AT_ONCE),
            compressed: registry.counter_by("compressed", "Answers that were compressed"),
            full: registry.counter(
                "compress_full",
                "Answers sent as they are because too many were being compressed",
            ),
            counters: Counters {
                read: registry.counter("compress_read_bytes", "Bytes that were compressed"),
                written: registry.counter(
                    "compress_written_bytes",
                    "What they were when they were compressed",
                ),
            },
        }
    }

    /// Compresses the answer, if it may be and the client takes it.
    pub(super) fn apply(&self, rules: &Compress, asked: &Asked, response: &mut Response<Body>) {
        if response.status() == StatusCode::NOT_MODIFIED {
            repeat_weak_tag(asked, response.headers_mut());
            return;
        }
        if !rules.concerns(response) {
            return;
        }
        // A part is never compressed, but says what the whole would have said (RFC 9110, section 15.3.7).
        if response.status() == StatusCode::PARTIAL_CONTENT {
            vary(response.headers_mut());
            return;
        }
        if !rules.fits(response, asked.head_only) {
            return;
        }
        vary(response.headers_mut());
        let coding = asked.accepted.preferred(&rules.algorithms);
        let Some(coding) = coding.filter(|_| !asked.part) else {
            return;
        };
        let body = std::mem::replace(response.body_mut(), Body::empty());
        match self.body(coding, body, asked.head_only) {
            Ok((body, length)) => {
                *response.body_mut() = body;
                describe(response.headers_mut(), coding, length);
                let label = [("coding", coding.as_str())];
                self.compressed.get_or_create(&label).inc();
            }
            Err(body) => *response.body_mut() = body,
        }
    }

    /// A body in this coding, and its length, if it is known; else as it was.
    fn body(
        &self,
        coding: Coding,
        body: Body,
        head_only: bool,
    ) -> Result<(Body, Option<usize>), Body> {
        match body {
            _ if head_only => Ok((Body::empty(), None)),
            Body::Text(text) if text.len() <= WHOLE => {
                let short = self.whole(coding, &text).ok_or(Body::Text(text))?;
                let length = short.len();
                Ok((Body::Text(short), Some(length)))
            }
            body => {
                let Some(slot) = self.slots.take() else {
                    self.full.inc();
                    return Err(body);
                };
                let encoder = Encoder::new(coding, body.size_hint().exact());
                let compressed = Compressed::new(body, encoder, self.counters.clone(), slot);
                Ok((Body::Compressed(Box::new(compressed)), None))
            }
        }
    }

    /// `None` if nothing is won.
    fn whole(&self, coding: Coding, text: &[u8]) -> Option<Bytes> {
        let short = encoder::whole(coding, text).ok()?;
        if short.len() >= text.len() {
            return None;
        }
        self.counters.read.inc_by(text.len() as u64);
        self.counters.written.inc_by(short.len() as u64);
        Some(short)
    }
}

impl Compress {
    /// Whether an answer is of a kind that may be compressed.
    fn concerns(&self, response: &Response<Body>) -> bool {
        let headers = response.headers();
        !matches!(response.body(), Body::Held(..) | Body::Compressed(_))
            && response.extensions().get::<AsItIs>().is_none()
            && !headers.contains_key(CONTENT_ENCODING)
            && (self.cookies || !headers.contains_key(SET_COOKIE))
            && self.has_type(headers)
            && may_be_transformed(headers)
    }

    /// Whether this one may be, whoever has asked for it.
    fn fits(&self, response: &Response<Body>, head_only: bool) -> bool {
        has_body(response.status())
            && !response.headers().contains_key(CONTENT_RANGE)
            && self.has_length(response, head_only)
    }

    fn has_type(&self, headers: &HeaderMap) -> bool {
        let of = headers.get(CONTENT_TYPE).and_then(|of| of.to_str().ok());
        of.is_some_and(|of| self.types.iter().any(|range| range.matches(of)))
            && !headers::is_event_stream(headers)
    }

    /// An answer that streams may have any length.
    fn has_length(&self, response: &Response<Body>, head_only: bool) -> bool {
        let said = || {
            let length = response.headers().get(CONTENT_LENGTH)?;
            length.to_str().ok()?.parse::<u64>().ok()
        };
        let length = match response.body() {
            // That of what a GET would get.
            Body::Text(text) if head_only && text.is_empty() => said(),
            body => body.size_hint().exact().or_else(said),
        };
        length.is_none_or(|length| (self.min_size.get().max(1)..=LONGEST).contains(&length))
    }
}

fn has_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        )
}

fn may_be_transformed(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut words = lines.flat_map(|line| line.as_bytes().split(|&b| b == b','));
    !words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Says that another client may get something else.
fn vary(headers: &mut HeaderMap) {
    let lines = headers.get_all(VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|&b| b == b','));
    let is_said = names.any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
    });
    if !is_said {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// What is said of a body in this coding.
fn describe(headers: &mut HeaderMap, coding: Coding, length: Option<usize>) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    match length {
        Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
        None => headers.remove(CONTENT_LENGTH),
    };
    for name in &ABOUT_BYTES {
        headers.remove(name);
    }
    // The same content in other bytes (RFC 9110, section 8.8.1). What is no tag at all must not stand for them.
    match headers.get(ETAG).map(weak) {
        Some(Some(tag)) => {
            headers.insert(ETAG, tag);
        }
        Some(None) => {
            headers.remove(ETAG);
        }
        None => {}
    }
}

/// The weak form of a tag.
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    match tag.as_bytes() {
        [b'W', b'/', b'"', ..] => Some(tag.clone()),
        strong @ [b'"', ..] => HeaderValue::from_bytes(&[b"W/", strong].concat()).ok(),
        _ => None,
    }
}

/// A client that knows the weak form of a tag has it from us: what is confirmed is what it has.
fn repeat_weak_tag(asked: &Asked, headers: &mut HeaderMap) {
    let Some((known, tag)) = asked.known.as_ref().zip(headers.get(ETAG)) else {
        return;
    };
    if let Some(weak) = weak(tag).filter(|weak| weak != tag)
        && memmem::find(known.as_bytes(), weak.as_bytes()).is_some()
    {
        headers.insert(ETAG, weak);
        vary(headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encoder::tests::text;

    fn compressor(places: usize) -> Compressor {
        Compressor {
            slots: Slots::new(places),
            ..Compressor::new(&Registry::default())
        }
    }

    fn long() -> Response<Body> {
        let mut response = Response::new(Body::Text(text(WHOLE + 1).into()));
        let html = HeaderValue::from_static("text/html");
        response.headers_mut().insert(CONTENT_TYPE, html);
        response
    }

    fn asked() -> Asked {
        let request = Request::builder().header("Accept-Encoding", "gzip");
        Asked::of(&request.body(()).unwrap())
    }

    #[test]
    fn where_no_place_is_free_an_answer_is_sent_as_it_is() {
        let (compressor, rules) = (compressor(1), Compress::default());
        let (mut first, mut second, mut third) = (long(), long(), long());
        compressor.apply(&rules, &asked(), &mut first);
        assert!(matches!(first.body(), Body::Compressed(_)));
        compressor.apply(&rules, &asked(), &mut second);
        assert!(matches!(second.body(), Body::Text(text) if text.len() == WHOLE + 1));
        assert_eq!(second.headers().get(CONTENT_ENCODING), None);
        assert_eq!(second.headers()[VARY], "Accept-Encoding");
        assert_eq!(compressor.full.get(), 1);
        drop(first);
        compressor.apply(&rules, &asked(), &mut third);
        assert_eq!(third.headers()[CONTENT_ENCODING], "gzip");
    }

    #[test]
    fn a_tag_is_made_weak_once() {
        for (tag, weakened) in [
            ("\"a\"", Some("W/\"a\"")),
            ("W/\"a\"", Some("W/\"a\"")),
            ("a", None),
            ("", None),
        ] {
            let weak = weak(&HeaderValue::from_static(tag));
            assert_eq!(weak, weakened.map(HeaderValue::from_static));
        }
    }
}
