//! One published item, and how it is written into the log.
//!
//! Made by [`super::read()`]; `publish` appends its [`Item::frame`], and [`super::Stored`] reads that without a copy. The frame
//! begins with a NUL, which begins no event stream, so that neither is ever taken for the other. Every text in it has its
//! length before it, as four bytes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::domain::Frame;

/// What the frame of an item begins with.
pub(super) const MARK: [u8; 2] = [0, b'G'];

/// One published item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it goes: 1 to 512 bytes, no control characters.
    pub channel: Box<str>,
    /// Its id: at most 1,024 bytes, no control characters.
    pub id: Option<Box<str>>,
    /// The id of the item before it in the channel.
    pub prev_id: Option<Box<str>>,
    /// What the filters look at.
    pub meta: Vec<(Box<str>, Box<str>)>,
    /// Whether it does not wait for the item before it.
    pub no_seq: bool,
    /// What streams are given.
    pub stream: Option<StreamFormat>,
    /// What polls are given.
    pub response: Option<ResponseFormat>,
}

/// What a stream does with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFormat {
    /// What is done.
    pub action: Action,
    /// What is sent; empty unless that is done.
    pub content: Bytes,
    /// The filters that the content is written for. Unset: whatever those of the channel are.
    pub content_filters: Option<Vec<Box<str>>>,
}

/// What is done with an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// It is sent.
    #[default]
    Send,
    /// The stream ends. Not of polls.
    Close,
    /// Django is asked.
    Hint,
}

/// How a poll is answered with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseFormat {
    /// What is done; never `Close`.
    pub action: Action,
    /// The status, 0 to 999.
    pub code: u16,
    /// The words after the status.
    pub reason: Option<Box<str>>,
    /// The headers; they stand in for those of the same names in Django's own answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body,
    /// The filters that the body is written for.
    pub content_filters: Option<Vec<Box<str>>>,
}

/// The body of an answer to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// As it is.
    Bytes(Bytes),
    /// A JSON Patch, which [`super::patch::apply`] applies to the body of Django's own answer.
    Patch(Bytes),
}

impl Action {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "send" => Self::Send,
            "close" => Self::Close,
            "hint" => Self::Hint,
            _ => return None,
        })
    }

    const fn code(self) -> u8 {
        match self {
            Self::Send => 0,
            Self::Close => 1,
            Self::Hint => 2,
        }
    }

    pub(super) const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Send),
            1 => Some(Self::Close),
            2 => Some(Self::Hint),
            _ => None,
        }
    }
}

impl Item {
    /// Whether it ends streams.
    pub fn closes(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(|stream| stream.action == Action::Close)
    }

    /// The item as it stands in the log under the number `seq`: bytes that only [`super::Stored`] reads. The content for
    /// streams is in them as a chunk of its own.
    pub fn frame(&self, seq: u64) -> Frame {
        let mut out = Vec::with_capacity(self.length() + 256);
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&seq.to_le_bytes());
        out.push(u8::from(self.no_seq));
        put(&mut out, self.channel.as_bytes());
        put_option(&mut out, self.id.as_deref());
        put_option(&mut out, self.prev_id.as_deref());
        put_block(&mut out, |out| {
            for (name, value) in &self.meta {
                put(out, name.as_bytes());
                put(out, value.as_bytes());
            }
        });
        out.push(self.stream.is_some().into());
        if let Some(stream) = &self.stream {
            out.push(stream.action.code());
            put_filters(&mut out, stream.content_filters.as_deref());
            put(&mut out, Frame::new(&stream.content).as_chunk());
        }
        out.push(self.response.is_some().into());
        if let Some(response) = &self.response {
            put_block(&mut out, |out| response.write(out));
        }
        Frame::new(&out)
    }

    /// The bytes of its content.
    pub fn length(&self) -> usize {
        let stream = self.stream.as_ref().map_or(0, |s| s.content.len());
        let response = self.response.as_ref().map_or(0, |r| match &r.body {
            Body::Bytes(bytes) | Body::Patch(bytes) => bytes.len(),
        });
        stream + response
    }
}

impl ResponseFormat {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.action.code());
        out.extend_from_slice(&self.code.to_le_bytes());
        put_option(out, self.reason.as_deref());
        put_filters(out, self.content_filters.as_deref());
        put_block(out, |out| {
            for (name, value) in &self.headers {
                put(out, name.as_str().as_bytes());
                put(out, value.as_bytes());
            }
        });
        let (is_patch, bytes) = match &self.body {
            Body::Bytes(bytes) => (false, bytes),
            Body::Patch(bytes) => (true, bytes),
        };
        out.push(is_patch.into());
        put(out, bytes);
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_block(out, |out| out.extend_from_slice(bytes));
}

/// Whatever `write` appends, with its length before it.
fn put_block(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let written = out.len() - at - 4;
    // A publish is far shorter than that: a length that does not fit would only make the item unreadable.
    let length = u32::try_from(written).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length);
    }
}

fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(text.is_some().into());
    if let Some(text) = text {
        put(out, text.as_bytes());
    }
}

fn put_filters(out: &mut Vec<u8>, filters: Option<&[Box<str>]>) {
    out.push(filters.is_some().into());
    if let Some(filters) = filters {
        put_block(out, |out| {
            for filter in filters {
                put(out, filter.as_bytes());
            }
        });
    }
}
