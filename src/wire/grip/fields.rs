//! What instructions and items have in common in their JSON: lists of headers, bytes as base64, a short word on a mistake.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// With or without padding, as Pushpin takes it.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The most headers of one answer.
const MOST_HEADERS: usize = 100;

/// What is repeated of the JSON reader's words, in bytes: they may quote the body.
const LONGEST_DETAIL: usize = 160;

/// `{"A": "b"}` or `[["A", "b"], …]`, which may repeat a name. At most 100.
#[derive(Debug, Default)]
pub(super) struct Headers(pub(super) Vec<(HeaderName, HeaderValue)>);

impl Headers {
    fn add<E: Error>(&mut self, name: &str, value: &str) -> Result<(), E> {
        if self.0.len() == MOST_HEADERS {
            return Err(E::custom(format!("more than {MOST_HEADERS} headers")));
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| E::custom("a header has no valid name"))?;
        let value = HeaderValue::from_bytes(value.trim_ascii().as_bytes());
        let value = value.map_err(|_| E::custom("a header has no valid value"))?;
        self.0.push((name, value));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers or a list of pairs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers = Headers::default();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            headers.add(&name, &value)?;
        }
        Ok(headers)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut headers = Headers::default();
        while let Some((name, value)) = seq.next_element::<(String, String)>()? {
            headers.add(&name, &value)?;
        }
        Ok(headers)
    }
}

/// The text of an encoded word (RFC 2047, section 2), as which Django writes a header whose value goes beyond Latin-1.
pub(super) fn encoded_word(word: &str) -> Option<String> {
    let rest = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, rest) = rest.split_once('?')?;
    let (encoding, text) = rest.split_once('?')?;
    let bytes = match encoding {
        "b" | "B" => BASE64.decode(text).ok()?,
        "q" | "Q" => quoted(text)?,
        _ => return None,
    };
    let text = String::from_utf8(bytes).ok()?;
    let is_line = charset.eq_ignore_ascii_case("utf-8") && !text.contains(char::is_control);
    is_line.then_some(text)
}

/// `_` is a blank, `=XX` a byte.
fn quoted(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(out)
}

/// The words of the JSON reader, on one line and short.
pub(super) fn detail(error: &serde_json::Error) -> Box<str> {
    let text = error.to_string();
    if text.len() <= LONGEST_DETAIL && !text.contains(char::is_control) {
        return text.into();
    }
    let (line, column) = (error.line(), error.column());
    format!("a value of the wrong type at line {line} column {column}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<(String, String)>, serde_json::Error> {
        let headers: Headers = serde_json::from_str(json)?;
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let pairs = headers.0.iter();
        Ok(pairs.map(|(n, v)| (n.to_string(), text(v))).collect())
    }

    #[test]
    fn headers_are_an_object_or_pairs() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read(r#"{"A": " b "}"#).unwrap(), [pair("a", "b")]);
        assert_eq!(
            read(r#"[["A", "b"], ["a", ""]]"#).unwrap(),
            [pair("a", "b"), pair("a", "")]
        );
        for bad in [
            r#""a""#,
            r#"{"a": 1}"#,
            r#"{"a b": "c"}"#,
            r#"{"a": "b\r\nc: d"}"#,
            r#"[["a"]]"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many = |count| format!("[{}]", vec![r#"["a","b"]"#; count].join(","));
        assert!(read(&many(100)).is_ok() && read(&many(101)).is_err());
    }

    #[test]
    fn an_encoded_word_is_one_line_of_utf_8() {
        for word in [
            "=?utf-8?b?PC/Qui8+OyByZWw9bmV4dA==?=",
            "=?UTF-8?Q?</=D0=BA/>;_rel=3Dnext?=",
        ] {
            assert_eq!(encoded_word(word).as_deref(), Some("</к/>; rel=next"));
        }
        for other in [
            "</a>",
            "=?utf-8?b?*?=",
            "=?utf-8?q?=?=",
            "=?utf-8?q?=C3?=",
            "=?utf-8?q?a=0Ab?=",
            "=?latin-1?q?a?=",
            "=?utf-8?x?a?=",
            "=?=",
        ] {
            assert_eq!(encoded_word(other), None, "{other}");
        }
    }

    #[test]
    fn a_mistake_is_told_on_one_short_line() {
        let long = format!(r#"{{"a": 1, "b": "{}"}}"#, "x".repeat(9999));
        for json in [&long, "[\n\"a\\n\"]", "{"] {
            let error = serde_json::from_str::<u8>(json).unwrap_err();
            let told = detail(&error);
            assert!(told.len() <= LONGEST_DETAIL && !told.contains('\n'));
        }
    }
}
