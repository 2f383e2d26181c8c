//! What becomes of an item: nothing, bytes for the client, the end of the stream, a question to Django.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::Held;
use super::hold::Hold;
use super::tracking::{Judged, Tracking};
use crate::domain::Frame;
use crate::wire::grip::patch::apply;
use crate::wire::grip::{
    Action, Body, Content, Encoding, Filter, Filters, ResponseFormat, Stored, StoredStream, render,
};

/// What many streams in turn are given of the same item, so that it is made once.
#[derive(Debug, Default)]
pub(in crate::stream) struct Rendered {
    /// The id that was noted last.
    id: Option<Arc<str>>,
    /// An item, the id in it and how it is written, and the bytes.
    last: Option<(Frame, String, Encoding, Frame)>,
}

/// What is to be done with an item.
#[derive(Debug)]
pub(in crate::stream) enum Taken {
    /// Nothing.
    Nothing,
    /// It is sent.
    Send(Frame),
    /// The stream ends.
    Close,
    /// Django is to be asked before anything else is read.
    Hint,
    /// Something is missing before it: the same.
    Missing,
}

impl Hold {
    /// Takes the next item of the log.
    pub(super) fn take(&mut self, frame: &Frame, rendered: &mut Rendered) -> Taken {
        let Some(item) = Stored::read(frame) else {
            return Taken::Nothing;
        };
        let share = |id: &str| rendered.share(id);
        let index = match self.tracking.judge(&item, share) {
            Judged::Nothing => return Taken::Nothing,
            Judged::Gap => return Taken::Missing,
            Judged::Next(index) => index,
        };
        let Some(stream) = item.stream else {
            return Taken::Nothing;
        };
        if !self.tracking.delivers(index, &item) {
            return Taken::Nothing;
        }
        match stream.action {
            // It was meant for those who were there.
            Action::Close if self.is_from_before(item.seq) => Taken::Nothing,
            Action::Close => Taken::Close,
            // Django was asked since, or nobody knows what.
            Action::Hint if self.was_asked_since(item.seq) || !self.has_next() => Taken::Nothing,
            Action::Hint => Taken::Hint,
            Action::Send => {
                let content = content(&self.tracking, index, &stream, frame, rendered);
                match content.filter(|content| !content.is_empty()) {
                    Some(content) => Taken::Send(content),
                    None => Taken::Nothing,
                }
            }
        }
    }
}

impl Rendered {
    fn share(&mut self, id: &str) -> Arc<str> {
        match &self.id {
            Some(known) if **known == *id => Arc::clone(known),
            _ => Arc::clone(self.id.insert(id.into())),
        }
    }
}

/// The bytes of an item for one connection; `None` if they are written for other filters than its channel has.
fn content(
    tracking: &Tracking,
    index: usize,
    stream: &StoredStream<'_>,
    frame: &Frame,
    rendered: &mut Rendered,
) -> Option<Frame> {
    let filters = tracking.filters(index)?;
    if let Some(named) = stream.content_filters()
        && !named.eq(filters.content().map(Filter::as_str))
    {
        return None;
    }
    let mut content = filters.content();
    let only_ids = match (content.next(), content.next()) {
        (None, _) => return Some(stream.content_frame(frame)),
        (Some(Filter::BuildId), None) => true,
        _ => false,
    };
    let (id, encoding) = (id(tracking), encoding(tracking));
    if only_ids
        && let Some((item, known, written, made)) = &rendered.last
        && item.is(frame)
        && (known, *written) == (&id, encoding)
    {
        return Some(made.clone());
    }
    let made = Frame::new(&filtered(tracking, &filters, &id, stream.content()));
    if only_ids {
        rendered.last = Some((frame.clone(), id, encoding, made.clone()));
    }
    Some(made)
}

fn encoding(tracking: &Tracking) -> Encoding {
    Encoding::of_meta(tracking.meta("id_encoding"))
}

/// The id that the connection's content is given now.
fn id(tracking: &Tracking) -> String {
    let mut id = String::new();
    if let Some(template) = tracking.meta("id_format") {
        render(template, |name| tracking.prev_id(name), &mut id);
    }
    id
}

fn filtered(tracking: &Tracking, filters: &Filters, id: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    for filter in filters.content() {
        bytes = match filter {
            Filter::BuildId => build_id(tracking, id, &bytes),
            Filter::VarSubst => {
                let value = |name: &str| tracking.meta(name).map(Cow::Borrowed);
                through(Content::var_subst(), &value, &bytes)
            }
            Filter::SkipSelf | Filter::SkipUsers | Filter::RequireSub => bytes,
        };
    }
    bytes
}

fn build_id(tracking: &Tracking, id: &str, content: &[u8]) -> Vec<u8> {
    let value = |_: &str| Some(Cow::Borrowed(id));
    through(Content::build_id(encoding(tracking)), &value, content)
}

fn through<'v>(
    mut filter: Content,
    value: &dyn Fn(&str) -> Option<Cow<'v, str>>,
    content: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len());
    filter.feed(content, value, &mut bytes);
    filter.finish(&mut bytes);
    bytes
}

/// The body of an answer as the channels' filters have it: ids are built, if any channel says so.
pub(super) fn body(tracking: &Tracking, held: &Held) -> Frame {
    let builds = |filters: Filters| filters.content().any(|filter| filter == Filter::BuildId);
    if tracking.all_filters().any(builds) {
        Frame::new(&build_id(tracking, &id(tracking), &held.body))
    } else {
        held.frame()
    }
}

/// The body that answers a poll; `None` if it is written for other filters, or cannot be made.
pub(super) fn response_body(
    tracking: &Tracking,
    index: usize,
    format: &ResponseFormat,
    first: &[u8],
) -> Option<Bytes> {
    let filters = tracking.filters(index)?;
    if let Some(named) = &format.content_filters
        && !named
            .iter()
            .map(|name| &**name)
            .eq(filters.content().map(Filter::as_str))
    {
        return None;
    }
    let bytes = match &format.body {
        Body::Bytes(bytes) => bytes.clone(),
        Body::Patch(patch) => apply(first, patch).ok()?.into(),
    };
    if filters.content().next().is_none() {
        return Some(bytes);
    }
    Some(filtered(tracking, &filters, &id(tracking), &bytes).into())
}
