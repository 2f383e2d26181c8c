//! Looking at JSON without building a tree of it, for `read` and its parts.
//!
//! `document` checks the grammar of the whole body once, without recursion; all the others are given pieces of a
//! checked document. Memory beyond the body is bounded by the limits the callers pass.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Rejected;

/// The body as one JSON value.
pub(in crate::wire) fn document(body: &[u8]) -> Result<&RawValue, Rejected> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let (good, _) = body.split_at(error.valid_up_to());
        let (line, last) = good
            .split(|&b| b == b'\n')
            .fold((0, 0), |(line, _), text| (line + 1, text.len()));
        Rejected::BadJson {
            line,
            column: last + 1,
            detail: "not UTF-8".to_owned(),
        }
    })?;
    serde_json::from_str(text).map_err(|error| {
        let text = error.to_string();
        // serde_json repeats the place at the end of its message.
        let detail = text.rsplit_once(" at line ").map_or(&*text, |(d, _)| d);
        Rejected::BadJson {
            line: error.line(),
            column: error.column(),
            detail: detail.to_owned(),
        }
    })
}

/// A list is longer than it may be.
pub(super) struct TooMany;

/// The elements of an array, `None` if the value is none. What is beyond the limit is not stored.
pub(super) fn elements(value: &RawValue, most: usize) -> Option<Result<Vec<&RawValue>, TooMany>> {
    if !value.get().starts_with('[') {
        return None;
    }
    let visitor = Elements { most };
    let read = serde_json::Deserializer::from_str(value.get()).deserialize_seq(visitor);
    Some(read.unwrap_or(Err(TooMany)))
}

struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Result<Vec<&'de RawValue>, TooMany>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.most {
            match seq.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(Ok(elements)),
            }
        }
        if seq.next_element::<IgnoredAny>()?.is_none() {
            return Ok(Ok(elements));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(TooMany))
    }
}

/// The text of a JSON string; an error if the value is no string, or one that holds half a surrogate pair, which the
/// grammar allows but no UTF-8 can express.
pub(in crate::wire) fn text(value: &RawValue) -> Result<String, &'static str> {
    if !value.get().starts_with('"') {
        return Err("must be a string");
    }
    serde_json::from_str(value.get()).map_err(|_| "must not contain half of a surrogate pair")
}

/// The value without the white space between its tokens; every token stays as it was written.
pub(super) fn compact(value: &RawValue) -> Vec<u8> {
    let mut kept = Vec::with_capacity(value.get().len());
    let mut in_string = false;
    let mut escaped = false;
    for byte in value.get().bytes() {
        if in_string {
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
        } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        kept.push(byte);
    }
    kept
}

/// An answer as JSON.
pub(in crate::wire) fn write(answer: &impl Serialize) -> Bytes {
    serde_json::to_vec(answer)
        .expect("texts and numbers can always be written as JSON")
        .into()
}
