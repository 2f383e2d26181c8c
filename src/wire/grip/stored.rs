//! An item as it stands in the log, borrowed.
//!
//! Held streams and polls read one for each item of their channels; nothing is allocated for that but where a poll is
//! answered. Bytes that are no item's are `None`, never a panic.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::item::{Action, Body, MARK, ResponseFormat};
use crate::domain::Frame;

/// An item as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its number in the log.
    pub seq: u64,
    /// Where it was published.
    pub channel: &'a str,
    /// Its id.
    pub id: Option<&'a str>,
    /// The id of the item before it.
    pub prev_id: Option<&'a str>,
    /// Whether it does not wait for that.
    pub no_seq: bool,
    /// What streams are given.
    pub stream: Option<StoredStream<'a>>,
    meta: &'a [u8],
    response: Option<&'a [u8]>,
}

/// What a stream does with a stored item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredStream<'a> {
    /// What is done.
    pub action: Action,
    chunk: &'a [u8],
    filters: Option<&'a [u8]>,
}

impl<'a> Stored<'a> {
    /// Reads what [`super::Item::frame`] wrote.
    pub fn read(frame: &'a Frame) -> Option<Self> {
        Self::of_bytes(frame.as_bytes())
    }

    fn of_bytes(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Fields(bytes.strip_prefix(&MARK)?);
        let seq = rest.number()?;
        let no_seq = rest.flag()?;
        let (channel, id, prev_id) = (rest.text()?, rest.option()?, rest.option()?);
        let meta = rest.block()?;
        let stream = if rest.flag()? {
            Some(rest.stream()?)
        } else {
            None
        };
        let response = if rest.flag()? {
            Some(rest.block()?)
        } else {
            None
        };
        rest.0.is_empty().then_some(Self {
            seq,
            channel,
            id,
            prev_id,
            no_seq,
            stream,
            meta,
            response,
        })
    }

    /// What the publisher said of this name.
    pub fn meta(&self, name: &str) -> Option<&'a str> {
        let mut rest = Fields(self.meta);
        while let (Some(own), Some(value)) = (rest.block(), rest.block()) {
            if own == name.as_bytes() {
                return std::str::from_utf8(value).ok();
            }
        }
        None
    }

    /// Whether there is something for polls.
    pub const fn has_response(&self) -> bool {
        self.response.is_some()
    }

    /// What polls are answered, copied.
    pub fn response(&self) -> Option<ResponseFormat> {
        let mut rest = Fields(self.response?);
        let action = Action::of_code(rest.byte()?)?;
        let code = u16::from_le_bytes([rest.byte()?, rest.byte()?]);
        let reason = rest.option()?.map(Into::into);
        let filters = rest.filters()?;
        let mut lines = Fields(rest.block()?);
        let mut headers = Vec::new();
        while let (Some(name), Some(value)) = (lines.block(), lines.block()) {
            let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
            headers.push((name.ok()?, value.ok()?));
        }
        let is_patch = rest.flag()?;
        let bytes = Bytes::copy_from_slice(rest.block()?);
        Some(ResponseFormat {
            action,
            code,
            reason,
            headers,
            body: if is_patch {
                Body::Patch(bytes)
            } else {
                Body::Bytes(bytes)
            },
            content_filters: filters.map(|names| texts(names).map(Into::into).collect()),
        })
    }
}

impl<'a> StoredStream<'a> {
    /// What is sent; empty unless that is done.
    pub fn content(&self) -> &'a [u8] {
        let begin = memchr::memchr(b'\n', self.chunk).map_or(0, |at| at + 1);
        let end = self.chunk.len().saturating_sub(2);
        self.chunk.get(begin..end).unwrap_or_default()
    }

    /// The content as a frame that shares the bytes of `frame`, from which this was read.
    pub fn content_frame(&self, frame: &Frame) -> Frame {
        let whole = frame.as_chunk().as_ptr_range();
        let own = self.chunk.as_ptr_range();
        let shares = whole.start <= own.start && own.end <= whole.end;
        let chunk = shares.then(|| frame.clone().into_chunk().slice_ref(self.chunk));
        // Of another frame, or no chunk after all: then it is copied.
        chunk
            .and_then(Frame::of_chunk)
            .unwrap_or_else(|| Frame::new(self.content()))
    }

    /// The filters that the content is written for; `None` if the publisher did not say.
    pub fn content_filters(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        self.filters.map(texts)
    }
}

fn texts(block: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = Fields(block);
    std::iter::from_fn(move || rest.text())
}

/// What is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (block, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(block)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.block()?).ok()
    }

    #[expect(clippy::option_option, reason = "unreadable, not there, there")]
    fn option(&mut self) -> Option<Option<&'a str>> {
        if self.flag()? {
            self.text().map(Some)
        } else {
            Some(None)
        }
    }

    #[expect(clippy::option_option, reason = "unreadable, not there, there")]
    fn filters(&mut self) -> Option<Option<&'a [u8]>> {
        if self.flag()? {
            self.block().map(Some)
        } else {
            Some(None)
        }
    }

    fn stream(&mut self) -> Option<StoredStream<'a>> {
        Some(StoredStream {
            action: Action::of_code(self.byte()?)?,
            filters: self.filters()?,
            chunk: self.block()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::grip::{Item, StreamFormat};

    fn item() -> Item {
        Item {
            channel: "c".into(),
            id: Some("8".into()),
            prev_id: None,
            meta: vec![("a".into(), "".into()), ("skip_users".into(), "3,4".into())],
            no_seq: true,
            stream: Some(StreamFormat {
                action: Action::Send,
                content: Bytes::from_static(b"data: a\n\n"),
                content_filters: Some(vec!["build-id".into(), "".into()]),
            }),
            response: Some(ResponseFormat {
                action: Action::Send,
                code: 201,
                reason: Some("Fine".into()),
                headers: vec![(
                    http::header::VARY,
                    HeaderValue::from_bytes(b"\xe4").unwrap(),
                )],
                body: Body::Patch(Bytes::from_static(b"[]")),
                content_filters: None,
            }),
        }
    }

    #[test]
    fn an_item_is_read_as_it_was_written() {
        let (item, frame) = (item(), item().frame(7));
        let stored = Stored::read(&frame).unwrap();
        assert_eq!((stored.channel, stored.id), ("c", Some("8")));
        assert_eq!((stored.prev_id, stored.no_seq), (None, true));
        assert_eq!(stored.seq, 7);
        assert_eq!(stored.meta("skip_users"), Some("3,4"));
        assert_eq!((stored.meta("a"), stored.meta("b")), (Some(""), None));
        let stream = stored.stream.unwrap();
        assert_eq!(stream.action, Action::Send);
        assert_eq!(stream.content(), b"data: a\n\n");
        let filters: Vec<_> = stream.content_filters().unwrap().collect();
        assert_eq!(filters, ["build-id", ""]);
        assert!(stored.has_response());
        assert_eq!(stored.response(), item.response);
    }

    #[test]
    fn the_content_is_sent_from_where_it_stands() {
        let frame = item().frame(7);
        let stream = Stored::read(&frame).unwrap().stream.unwrap();
        let content = stream.content_frame(&frame);
        assert_eq!(content, Frame::new(b"data: a\n\n"));
        let stands_in = frame.as_bytes().as_ptr_range();
        assert!(stands_in.contains(&content.as_chunk().as_ptr()));
        // Another frame than the one it was read from does no harm.
        assert_eq!(stream.content_frame(&Frame::new(b"x")), content);
    }

    #[test]
    fn an_item_may_have_nothing_to_send() {
        let mut item = item();
        (item.response, item.meta) = (None, Vec::new());
        item.stream.as_mut().unwrap().action = Action::Close;
        item.stream.as_mut().unwrap().content = Bytes::new();
        let frame = item.frame(7);
        let stored = Stored::read(&frame).unwrap();
        let stream = stored.stream.unwrap();
        assert!(stream.content().is_empty() && stream.content_frame(&frame).is_empty());
        assert!(!stored.has_response() && stored.response().is_none());
        item.stream = None;
        assert_eq!(Stored::read(&item.frame(7)).unwrap().stream, None);
    }

    #[test]
    fn an_event_is_no_item() {
        assert_eq!(Stored::read(&Frame::new(b"id: 4\ndata: a\n\n")), None);
        assert_eq!(Stored::read(&Frame::new(b"")), None);
    }

    proptest! {
        #[test]
        fn bytes_that_were_changed_are_read_without_a_panic(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = item().frame(7).as_bytes().to_vec();
            let (at, end) = (at.index(bytes.len()), end.index(bytes.len()));
            bytes[at] = byte;
            for bytes in [&bytes[..], &bytes[..end]] {
                let frame = Frame::new(bytes);
                if let Some(stored) = Stored::read(&frame) {
                    let (_meta, _response) = (stored.meta("x"), stored.response());
                    let _content = stored.stream.map(|stream| stream.content_frame(&frame));
                }
            }
        }
    }
}
