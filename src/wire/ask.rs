//! What Django says in its answer to an ask: the `SSE-*` headers as values.
//!
//! A value outside its grammar is the view's mistake and is never read as something weaker: a malformed `SSE-Expires`
//! must not become a permission without end, a malformed channel not a plain answer.

use std::time::Duration;

use http::HeaderMap;

use crate::domain::{ChannelName, InvalidChannel, RetryMs, UserId};

/// The most channels of one stream.
pub const MOST_CHANNELS: usize = 100;

/// What a listener is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// At least one, none twice.
    pub channels: Vec<ChannelName>,
    /// `SSE-User`.
    pub user: Option<UserId>,
    /// `SSE-Expires`: after so long Django is asked again. At least a second; of a token, the time left to it.
    pub expires: Option<Duration>,
    /// `SSE-Retry`.
    pub retry: Option<RetryMs>,
}

/// What is wrong with the view's headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// A channel outside the grammar. `SSE-Channel` holds one name and is never split at commas.
    #[error("{header} names no valid channel")]
    Channel {
        /// The header.
        header: &'static str,
        /// What is wrong.
        #[source]
        source: InvalidChannel,
    },
    /// `SSE-Channels` is no JSON list of strings.
    #[error("SSE-Channels is no JSON list of strings")]
    NoList,
    /// More channels than a stream can have.
    #[error("more than {MOST_CHANNELS} channels")]
    TooMany,
    /// Another header that cannot be read.
    #[error("{0} cannot be read")]
    Malformed(&'static str),
}

/// Reads the terms; `None` if no channel is named, so that the answer is a plain one.
pub fn terms(headers: &HeaderMap) -> Result<Option<Terms>, Mistake> {
    let mut channels = Vec::new();
    let mut add = |header, name: &str| {
        let channel =
            ChannelName::parse(name).map_err(|source| Mistake::Channel { header, source })?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
        if channels.len() > MOST_CHANNELS {
            Err(Mistake::TooMany)
        } else {
            Ok(())
        }
    };
    for value in headers.get_all("sse-channel") {
        // Bytes that are no ASCII cannot be a name either; any of them will do for the message.
        add("SSE-Channel", value.to_str().unwrap_or("\u{fffd}"))?;
    }
    for value in headers.get_all("sse-channels") {
        let names: Vec<String> =
            serde_json::from_slice(value.as_bytes()).map_err(|_| Mistake::NoList)?;
        for name in names {
            add("SSE-Channels", &name)?;
        }
    }
    if channels.is_empty() {
        return Ok(None);
    }
    let user = text(headers, "sse-user").map_err(|()| Mistake::Malformed("SSE-User"))?;
    let user = user
        .map(|user| UserId::parse(user).ok_or(Mistake::Malformed("SSE-User")))
        .transpose()?;
    let expires: Option<u32> =
        number(headers, "sse-expires").map_err(|()| Mistake::Malformed("SSE-Expires"))?;
    let retry = number(headers, "sse-retry").map_err(|()| Mistake::Malformed("SSE-Retry"))?;
    Ok(Some(Terms {
        channels,
        user,
        expires: expires.map(|seconds| Duration::from_secs(u64::from(seconds.max(1)))),
        retry: retry.map(RetryMs),
    }))
}

/// The one value of a header; an empty one counts as none.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(|text| Some(text).filter(|text| !text.is_empty()))
            .map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u32>, ()> {
    text(headers, name)?
        .map(|text| text.parse().map_err(drop))
        .transpose()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(lines: &[(&'static str, &'static str)]) -> Result<Option<Terms>, Mistake> {
        let lines = lines.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        });
        let mut headers = HeaderMap::new();
        headers.extend(lines);
        terms(&headers)
    }

    fn names(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        read(lines)
            .unwrap()
            .unwrap()
            .channels
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn channels_come_one_by_one_or_as_a_list() {
        assert_eq!(
            read(&[("content-type", "text/html"), ("sse-user", "4")]),
            Ok(None)
        );
        assert_eq!(
            names(&[
                ("sse-channel", "a"),
                ("sse-channel", "b"),
                ("sse-channel", "a")
            ]),
            ["a", "b"]
        );
        assert_eq!(
            names(&[("sse-channels", r#"["a", "b-1"]"#), ("sse-channel", "c")]),
            ["c", "a", "b-1"]
        );
        assert_eq!(read(&[("sse-channels", "[]")]), Ok(None));
    }

    #[test]
    fn a_list_in_one_name_is_a_mistake_and_not_two_channels() {
        for value in ["a,b", "a, b", "", "a b", "ä", "[\"a\"]"] {
            assert!(
                matches!(
                    read(&[("sse-channel", value)]),
                    Err(Mistake::Channel { .. })
                ),
                "{value:?}"
            );
        }
        for value in ["a", "{}", "[1]", "[\"a\"", "[[\"a\"]]"] {
            assert_eq!(
                read(&[("sse-channels", value)]),
                Err(Mistake::NoList),
                "{value:?}"
            );
        }
        let many = format!(
            "[{}]",
            (0..101)
                .map(|n| format!("\"c{n}\""))
                .collect::<Vec<_>>()
                .join(",")
        );
        let many: &'static str = many.leak();
        assert_eq!(read(&[("sse-channels", many)]), Err(Mistake::TooMany));
    }

    #[test]
    fn what_cannot_be_read_is_never_read_as_unlimited() {
        let terms = read(&[
            ("sse-channel", "a"),
            ("sse-user", "42"),
            ("sse-expires", "0"),
            ("sse-retry", "5000"),
        ]);
        let terms = terms.unwrap().unwrap();
        assert_eq!(terms.user.unwrap().as_str(), "42");
        assert_eq!(
            (terms.expires, terms.retry),
            (Some(Duration::from_secs(1)), Some(RetryMs(5000)))
        );
        for value in ["soon", "-1", "1.5", "99999999999"] {
            assert_eq!(
                read(&[("sse-channel", "a"), ("sse-expires", value)]),
                Err(Mistake::Malformed("SSE-Expires"))
            );
        }
        assert!(
            read(&[
                ("sse-channel", "a"),
                ("sse-expires", "5"),
                ("sse-expires", "9")
            ])
            .is_err()
        );
    }
}
