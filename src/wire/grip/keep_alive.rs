//! What is sent on a stream that is otherwise quiet: `Grip-Keep-Alive`.
//!
//! The data stands unquoted before its parameters. Pushpin cuts it at the first semicolon; here it goes on up to the first
//! semicolon that one of the three parameters follows, so that no heartbeat loses its end. Commas do not split it.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;

use super::fields::BASE64;
use super::parameters::{self, Unclosed};

/// After how long it is sent unless Django says otherwise.
const USUAL_TIMEOUT: Duration = Duration::from_secs(55);

const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The bytes and when they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive {
    /// At least one byte.
    pub data: Bytes,
    /// At least a second.
    pub timeout: Duration,
    /// From when the time runs.
    pub mode: KeepAliveMode,
}

/// From when the time of a keep-alive runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepAliveMode {
    /// From the last that was sent.
    #[default]
    Idle,
    /// From the last keep-alive.
    Interval,
}

/// What is wrong with a keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeepAlive {
    /// Nothing to send.
    #[error("it has no data")]
    Empty,
    /// A format that nobody knows.
    #[error("its format is none of raw, cstring and base64")]
    Format,
    /// An escape that is cut off or no hexadecimal number.
    #[error("an escape in it is broken")]
    Escape,
    /// No base64.
    #[error("its data is no base64")]
    Base64,
    /// No whole number of seconds.
    #[error("its timeout is no whole number of seconds")]
    Timeout,
    /// A mode that nobody knows.
    #[error("its mode is neither idle nor interval")]
    Mode,
    /// Quotes without an end among the parameters.
    #[error(transparent)]
    Unclosed(#[from] Unclosed),
}

impl KeepAlive {
    /// Reads the header's value.
    pub(super) fn parse(value: &str) -> Result<Self, BadKeepAlive> {
        let (text, parameters) = value.split_at_checked(end(value)).unwrap_or((value, ""));
        let (text, parameters) = (text.trim(), parameters::parameters(parameters)?);
        let (mut format, mut timeout, mut mode) = ("raw", None, KeepAliveMode::Idle);
        for (name, value) in &parameters {
            let value = value.as_deref().unwrap_or_default();
            match name.as_str() {
                "format" => format = value,
                "timeout" => {
                    let seconds: u32 = value.parse().map_err(|_| BadKeepAlive::Timeout)?;
                    timeout = Some(u64::from(seconds));
                }
                "mode" => {
                    mode = match value {
                        "idle" => KeepAliveMode::Idle,
                        "interval" => KeepAliveMode::Interval,
                        _ => return Err(BadKeepAlive::Mode),
                    }
                }
                _ => {}
            }
        }
        let data = match format {
            "raw" => text.as_bytes().to_vec(),
            "cstring" => unescaped(text).ok_or(BadKeepAlive::Escape)?,
            "base64" => decoded(text).ok_or(BadKeepAlive::Base64)?,
            _ => return Err(BadKeepAlive::Format),
        };
        Self::new(data, timeout, mode)
    }

    pub(super) fn new(
        data: Vec<u8>,
        timeout: Option<u64>,
        mode: KeepAliveMode,
    ) -> Result<Self, BadKeepAlive> {
        if data.is_empty() {
            return Err(BadKeepAlive::Empty);
        }
        let timeout = timeout.map_or(USUAL_TIMEOUT, Duration::from_secs);
        Ok(Self {
            data: data.into(),
            timeout: timeout.max(SHORTEST_TIMEOUT),
            mode,
        })
    }
}

/// Where the data ends: at the semicolon before the first parameter.
fn end(value: &str) -> usize {
    let begins = |&(at, _): &(usize, &str)| {
        let rest = value.get(at + 1..).unwrap_or_default();
        rest.split_once('=').is_some_and(|(name, _)| {
            let name = name.trim();
            ["format", "timeout", "mode"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        })
    };
    let found = value.match_indices(';').find(begins);
    found.map_or(value.len(), |(at, _)| at)
}

/// `\\`, `\r`, `\n` and `\xHH`; any other character after a backslash vanishes with it. So Pushpin reads it: of the three
/// backslashes that django-grip writes for one, two are one, and the third takes the next character along.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'\\' => out.push(b'\\'),
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'x' => out.push(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?),
            _ => {}
        }
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// django-grip writes its bytes as Python shows them: `b'…'`.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let shown = text.strip_prefix("b'").and_then(|t| t.strip_suffix('\''));
    BASE64.decode(shown.unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(value: &str) -> Result<Vec<u8>, BadKeepAlive> {
        KeepAlive::parse(value).map(|read| read.data.to_vec())
    }

    #[test]
    fn the_line_of_django_eventstream() {
        let line = r"event: keep-alive\ndata:\n\n; format=cstring; timeout=20";
        assert_eq!(
            KeepAlive::parse(line),
            Ok(KeepAlive {
                data: Bytes::from_static(b"event: keep-alive\ndata:\n\n"),
                timeout: Duration::from_secs(20),
                mode: KeepAliveMode::Idle,
            })
        );
    }

    #[test]
    fn formats() {
        assert_eq!(data(r"a\n"), Ok(br"a\n".to_vec()));
        assert_eq!(
            data(r"a\\\r\n\x0A\xfFz\qb;format=cstring"),
            Ok(b"a\\\r\n\n\xffzb".to_vec())
        );
        // What django-grip makes of `a\b`.
        assert_eq!(data(r"a\\\b; format=cstring"), Ok(br"a\".to_vec()));
        for value in ["YQo=", "YQo", "b'YQo='"] {
            let value = format!("{value}; format=base64");
            assert_eq!(data(&value), Ok(b"a\n".to_vec()), "{value}");
        }
        for broken in [r"a\", r"a\x", r"a\x1", r"a\x1g"] {
            let value = format!("{broken}; format=cstring");
            assert_eq!(data(&value), Err(BadKeepAlive::Escape), "{value}");
        }
        assert_eq!(data("*; format=base64"), Err(BadKeepAlive::Base64));
        assert_eq!(data("a; format=hex"), Err(BadKeepAlive::Format));
        for empty in [
            "",
            " ",
            ";format=raw",
            "b''; format=base64",
            r"\q;format=cstring",
        ] {
            assert_eq!(data(empty), Err(BadKeepAlive::Empty), "{empty}");
        }
    }

    #[test]
    fn data_keeps_its_commas_quotes_and_semicolons() {
        let line = r#"data: {"a": "b;c", 5"}\n\n; Format=cstring; timeout="7"; mode=interval; x"#;
        let read = KeepAlive::parse(line).unwrap();
        assert_eq!(read.data, "data: {\"a\": \"b;c\", 5\"}\n\n");
        assert_eq!(read.timeout, Duration::from_secs(7));
        assert_eq!(read.mode, KeepAliveMode::Interval);
    }

    #[test]
    fn times_and_modes() {
        let timeout = |value: &str| KeepAlive::parse(value).map(|read| read.timeout.as_secs());
        assert_eq!(timeout("a"), Ok(55));
        assert_eq!(timeout("a; timeout=0"), Ok(1));
        for odd in ["-1", "", "1.5", "99999999999"] {
            assert_eq!(
                timeout(&format!("a; timeout={odd}")),
                Err(BadKeepAlive::Timeout)
            );
        }
        assert_eq!(timeout("a; mode=x"), Err(BadKeepAlive::Mode));
        let unclosed = Err(BadKeepAlive::Unclosed(Unclosed));
        assert_eq!(timeout("a; timeout=\"4"), unclosed);
    }
}
