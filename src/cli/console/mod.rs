//! `tidegate channels` and `tidegate kick`: what is there, and its end.
//!
//! Called by `remote` with checked arguments. One request each; with `--json` the answer goes to stdout as it came, else
//! channels are written as columns and the end of streams is a sentence on stderr.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::client::{Client, Target};
use super::error::CommandError;
use super::line::column;
use super::publish::Outputs;
use crate::domain::{ChannelName, ChannelPattern, StreamId, UserId};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// The channels that fit.
    Channels(Option<ChannelPattern>),
    /// The end of some streams.
    Kick(Whom),
}

/// Whose streams end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whom {
    /// A user's.
    User(UserId),
    /// Those on a channel.
    Channel(ChannelName),
    /// This one.
    Stream(StreamId),
}

impl Question {
    /// `tidegate channels [PATTERN]`.
    pub(crate) fn channels(pattern: Option<&str>) -> Result<Self, CommandError> {
        let parse = |text: &str| {
            ChannelPattern::parse(text).map_err(|source| CommandError::Pattern {
                text: text.to_owned(),
                source,
            })
        };
        pattern.map(parse).transpose().map(Self::Channels)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let builder = Request::builder();
        let request = match self {
            // No character of a pattern needs escaping in a query.
            Self::Channels(Some(pattern)) => builder
                .uri(format!("/v1/channels?match={}", pattern.as_str()))
                .body(Full::default()),
            Self::Channels(None) => builder.uri("/v1/channels").body(Full::default()),
            Self::Kick(whom) => {
                let body = match whom {
                    Whom::User(user) => json!({ "user": user.as_str() }),
                    Whom::Channel(name) => json!({ "channel": name.as_str() }),
                    Whom::Stream(id) => json!({ "stream": id.to_string() }),
                };
                builder
                    .method(Method::POST)
                    .uri("/v1/kick")
                    .header(CONTENT_TYPE, "application/json")
                    .body(Full::new(body.to_string().into()))
            }
        };
        request.expect("what is valid by its type makes a valid request")
    }
}

/// Asks, and writes the answer.
pub(crate) async fn ask(
    target: Target,
    token: Option<&str>,
    question: Question,
    json: bool,
) -> Result<(), CommandError> {
    let outputs = Outputs {
        data: &mut io::stdout(),
        words: &mut io::stderr(),
    };
    run(Client::new(target, token)?, question, json, outputs).await
}

async fn run(
    mut client: Client,
    question: Question,
    json: bool,
    outputs: Outputs<'_>,
) -> Result<(), CommandError> {
    let answer = client.ask(question.request()).await?;
    let (data, words) = match question {
        Question::Channels(_) => (table(&answer)?, String::new()),
        Question::Kick(_) => (String::new(), ended(&answer)?),
    };
    let written = if json {
        let answer = answer.trim_ascii_end();
        outputs
            .data
            .write_all(answer)
            .and_then(|()| outputs.data.write_all(b"\n"))
    } else {
        let data = outputs.data.write_all(data.as_bytes());
        data.and_then(|()| outputs.words.write_all(words.as_bytes()))
    };
    match written.and_then(|()| outputs.data.flush()) {
        // `tidegate channels | head` has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

fn ended(answer: &[u8]) -> Result<String, CommandError> {
    #[derive(Deserialize)]
    struct Answer {
        ended: u64,
    }
    let Answer { ended } = read(answer)?;
    Ok(format!("Ended streams: {ended}\n"))
}

/// A line for each channel: name, streams, events, events a second, the last id.
fn table(answer: &[u8]) -> Result<String, CommandError> {
    #[derive(Deserialize)]
    struct Answer {
        channels: Vec<Channel>,
    }
    #[derive(Deserialize)]
    struct Channel {
        name: String,
        streams: u64,
        events: u64,
        rate: f64,
        last_id: Option<String>,
    }
    let Answer { channels } = read(answer)?;
    let mut text = String::new();
    for channel in channels {
        let Channel {
            name,
            streams,
            events,
            rate,
            last_id,
        } = channel;
        column(&mut text, &name, "-");
        // Writing to a string never fails.
        let _written: std::fmt::Result = write!(text, " {streams} {events} {rate} ");
        // A publisher's id is foreign text.
        column(&mut text, last_id.as_deref().unwrap_or_default(), "-");
        text.push('\n');
    }
    Ok(text)
}

/// A page of the site, at a wrong address, may be a 200 as well.
fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, CommandError> {
    serde_json::from_slice(answer).map_err(|_| CommandError::Foreign)
}
