//! What Django's answer says about holding the request.
//!
//! `proxy` asks [`is_instruct`] of every answer of an upstream with `grip`, gathers the body of one that is, reads it with
//! [`Instruct::of_headers`] or [`Instruct::of_body`], and takes off what is not for the client with [`clean`]. A value outside
//! its grammar is an error and never a weaker instruction: a channel too much is not dropped, a broken link not forgotten.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::channel::Channel;
use super::fields::encoded_word;
use super::keep_alive::{BadKeepAlive, KeepAlive};
use super::parameters::{self, Unclosed};
use super::{MOST_CHANNELS, is_name};

/// The media type of an answer whose body is the instruction.
const MEDIA_TYPE: &str = "application/grip-instruct";

/// What every header of GRIP begins with.
const PREFIX: &str = "grip-";

/// Shorter ones of a poll count as this, as with Pushpin.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(5);

const MOST_META: usize = 64;

/// The most of all names and values of meta together, in bytes.
const LONGEST_META: usize = 8 << 10;

/// What Django's answer says about holding it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instruct {
    /// `Grip-Hold`. Unset: no hold.
    pub mode: Option<Mode>,
    /// `Grip-Channel`: at most 100, none twice; what was said first of one counts.
    pub channels: Vec<Channel>,
    /// `Grip-Timeout`, of polls: at least 5 s.
    pub timeout: Option<Duration>,
    /// `Grip-Keep-Alive`, of streams.
    pub keep_alive: Option<KeepAlive>,
    /// `Grip-Link` with `rel=next`: what is asked later.
    pub next: Option<Link>,
    /// `Grip-Link` with `rel=gone`: what is told that the client has left.
    pub gone: Option<Link>,
    /// `Grip-Status`: the status for the client instead of the answer's own.
    pub status: Option<StatusCode>,
    /// The words after the status. Unset: the usual ones.
    pub reason: Option<Box<str>>,
    /// `Grip-Set-Meta`: at most 64 entries and 8 KiB, no name twice.
    pub meta: Vec<(Box<str>, Box<str>)>,
    /// `Grip-Expose-Headers`: the client sees only these. Unset: all.
    pub expose: Option<Vec<HeaderName>>,
}

/// How a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The answer has begun and goes on.
    Stream,
    /// The answer is still to come.
    Response,
}

/// A URL that Django gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// As it stands between `<` and `>`, not empty.
    pub uri: Box<str>,
    /// After how long without an item it is asked.
    pub timeout: Option<Duration>,
}

/// What is wrong with the instructions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInstruct {
    /// Quotes without an end.
    #[error("{header} cannot be read")]
    Header {
        /// The header.
        header: &'static str,
        /// What is wrong.
        #[source]
        source: Unclosed,
    },
    /// A hold that nobody knows.
    #[error("the hold is neither stream nor response")]
    Hold,
    /// A name that is empty, too long, or has control characters.
    #[error("the name of a channel has 1 to 512 bytes and no control characters")]
    Channel,
    /// An id that could not come back in `Grip-Last`.
    #[error("a prev-id has at most 1024 bytes and no control characters")]
    PrevId,
    /// More channels than a request is held on.
    #[error("more than {MOST_CHANNELS} channels")]
    TooManyChannels,
    /// More than five filters of one channel.
    #[error("more than five filters of a channel")]
    TooManyFilters,
    /// No whole number of seconds.
    #[error("the timeout is no whole number of seconds")]
    Timeout,
    /// A keep-alive that cannot be sent.
    #[error("the keep-alive cannot be sent")]
    KeepAlive(#[from] BadKeepAlive),
    /// A link that is not in angle brackets, or whose timeout is no number.
    #[error("Grip-Link cannot be read")]
    Link,
    /// No status of an answer.
    #[error("the status is no number from 200 to 999")]
    Status,
    /// More meta than is kept.
    #[error("more than {MOST_META} entries of meta, or than {LONGEST_META} bytes")]
    Meta,
    /// What is no name of a header.
    #[error("Grip-Expose-Headers names no header")]
    Expose,
    /// A body that is no JSON or holds a value of the wrong type.
    #[error("the body cannot be read: {0}")]
    Json(Box<str>),
    /// A binary field that is no base64.
    #[error("{0} is no base64")]
    Base64(&'static str),
}

/// Whether an answer gives instructions: any of its headers is one of GRIP, or its body is an instruction.
pub fn is_instruct(headers: &HeaderMap) -> bool {
    headers.keys().any(is_of_grip) || has_instruct_body(headers)
}

/// Whether the body is an instruction, so that [`Instruct::of_body`] reads it.
pub fn has_instruct_body(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = value.and_then(|value| value.split(|&b| b == b';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim_ascii();
        essence.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
    })
}

/// Takes off an answer what is not for the client: every header of GRIP, what belongs to the old connection, the encoding
/// of a held body, and what `Grip-Expose-Headers` does not name. The encoding of a body that is not held stays: without it
/// nobody could read that.
pub fn clean(headers: &mut HeaderMap, instruct: &Instruct) {
    let is_held = instruct.mode.is_some();
    let goes = |name: &HeaderName| {
        is_of_grip(name)
            || [CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING].contains(name)
            || name.as_str() == "keep-alive"
            || match (&instruct.expose, *name == CONTENT_ENCODING) {
                (_, true) => is_held,
                (Some(kept), false) => !kept.contains(name),
                (None, false) => false,
            }
    };
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

fn is_of_grip(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX)
}

impl Instruct {
    /// Reads the headers of an answer whose body is not an instruction.
    pub fn of_headers(headers: &HeaderMap) -> Result<Self, BadInstruct> {
        let mut instruct = Self::default();
        if let Some(hold) = first(headers, "grip-hold") {
            let hold = hold.split([',', ';']).next().unwrap_or_default();
            instruct.mode = Some(Mode::parse(hold.trim())?);
        }
        for value in lines(headers, "grip-channel") {
            for entry in entries(&value, "Grip-Channel")? {
                let (prev_id, filters) = (entry.value("prev-id"), entry.values("filter"));
                instruct.add_channel(Channel::new(entry.first, prev_id, filters)?)?;
            }
        }
        if let Some(timeout) = first(headers, "grip-timeout") {
            let seconds: u32 = timeout.parse().map_err(|_| BadInstruct::Timeout)?;
            instruct.timeout = Some(poll_timeout(u64::from(seconds)));
        }
        if let Some(value) = first(headers, "grip-keep-alive") {
            instruct.keep_alive = Some(KeepAlive::parse(&value)?);
        }
        instruct.add_links(headers)?;
        if let Some(status) = first(headers, "grip-status") {
            let (code, reason) = status.split_once([' ', '\t']).unwrap_or((&status, ""));
            let code = code.parse().ok();
            instruct.status = Some(code.and_then(status_of).ok_or(BadInstruct::Status)?);
            let reason = Some(reason.trim()).filter(|reason| !reason.is_empty());
            instruct.reason = reason.map(Into::into);
        }
        for value in lines(headers, "grip-set-meta") {
            for (name, value) in assignments(&value)? {
                instruct.add_meta(&name, &value)?;
            }
        }
        for value in lines(headers, "grip-expose-headers") {
            let kept = instruct.expose.get_or_insert_default();
            let names = value.split(',').map(str::trim).filter(|n| !n.is_empty());
            for name in names {
                let name = HeaderName::from_bytes(name.as_bytes());
                kept.push(name.map_err(|_| BadInstruct::Expose)?);
            }
        }
        Ok(instruct)
    }

    fn add_links(&mut self, headers: &HeaderMap) -> Result<(), BadInstruct> {
        for value in lines(headers, "grip-link") {
            for entry in entries(&value, "Grip-Link")? {
                let rel = entry.value("rel").unwrap_or_default();
                for rel in rel.split_ascii_whitespace() {
                    let own = match rel {
                        "next" => &mut self.next,
                        "gone" => &mut self.gone,
                        _ => continue,
                    };
                    own.get_or_insert(Link::of(&entry)?);
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_channel(&mut self, channel: Channel) -> Result<(), BadInstruct> {
        if self.channels.iter().any(|own| own.name == channel.name) {
            return Ok(());
        }
        if self.channels.len() == MOST_CHANNELS {
            return Err(BadInstruct::TooManyChannels);
        }
        self.channels.push(channel);
        Ok(())
    }

    /// The last value of a name counts.
    pub(super) fn add_meta(&mut self, name: &str, value: &str) -> Result<(), BadInstruct> {
        if !is_name(name) {
            return Err(BadInstruct::Meta);
        }
        self.meta.retain(|(own, _)| **own != *name);
        self.meta.push((name.into(), value.into()));
        let length = self
            .meta
            .iter()
            .map(|(name, value)| name.len() + value.len());
        if self.meta.len() > MOST_META || length.sum::<usize>() > LONGEST_META {
            return Err(BadInstruct::Meta);
        }
        Ok(())
    }
}

impl Link {
    fn of(entry: &parameters::Entry<'_>) -> Result<Self, BadInstruct> {
        let uri = entry.first.strip_prefix('<');
        let uri = uri.and_then(|uri| uri.strip_suffix('>')).map(str::trim);
        let timeout = entry.value("timeout").map(str::parse::<u32>).transpose();
        Ok(Self {
            uri: uri
                .filter(|uri| !uri.is_empty())
                .ok_or(BadInstruct::Link)?
                .into(),
            timeout: timeout
                .map_err(|_| BadInstruct::Link)?
                .map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

impl Mode {
    pub(super) fn parse(text: &str) -> Result<Self, BadInstruct> {
        match text {
            "stream" => Ok(Self::Stream),
            "response" => Ok(Self::Response),
            _ => Err(BadInstruct::Hold),
        }
    }
}

pub(super) fn poll_timeout(seconds: u64) -> Duration {
    Duration::from_secs(seconds).max(SHORTEST_TIMEOUT)
}

/// A status that can be the last word: none of the interim ones.
pub(super) fn status_of(code: u16) -> Option<StatusCode> {
    let status = StatusCode::from_u16(code).ok()?;
    (!status.is_informational()).then_some(status)
}

/// The values of a header, on all its lines. Django writes Latin-1 where it can, so what is no UTF-8 is that; where it
/// cannot, an encoded word.
fn lines<'h>(headers: &'h HeaderMap, key: &str) -> impl Iterator<Item = Cow<'h, str>> {
    let values = headers.get_all(key).iter();
    values.map(|value| {
        let bytes = value.as_bytes().trim_ascii();
        let text = std::str::from_utf8(bytes);
        let Ok(text) = text else {
            return bytes.iter().copied().map(char::from).collect();
        };
        encoded_word(text).map_or(Cow::Borrowed(text), Cow::Owned)
    })
}

fn first<'h>(headers: &'h HeaderMap, key: &str) -> Option<Cow<'h, str>> {
    lines(headers, key).next()
}

fn entries<'h>(
    value: &'h str,
    header: &'static str,
) -> Result<Vec<parameters::Entry<'h>>, BadInstruct> {
    parameters::entries(value).map_err(|source| BadInstruct::Header { header, source })
}

fn assignments(value: &str) -> Result<Vec<(String, String)>, BadInstruct> {
    let header = "Grip-Set-Meta";
    parameters::assignments(value).map_err(|source| BadInstruct::Header { header, source })
}
