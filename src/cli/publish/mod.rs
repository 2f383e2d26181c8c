//! `tidegate publish`: one event from the arguments or standard input, or one per line.
//!
//! Called by `main` with checked arguments. What comes back goes to stdout as JSON with `--json`, else a sentence goes
//! to stderr. With `--ndjson` each line of standard input is an event and is published as soon as it is complete. The
//! internal listener of this version takes no `application/x-ndjson`, so every line is a request of its own, over one
//! connection; the first line that fails ends the command.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::client::{Client, Target};
use super::error::CommandError;
use crate::domain::{ChannelName, EventName, InvalidField, PublisherId};

/// The longest data or line that is read from standard input, in bytes; what a gateway takes is less by default.
const LONGEST_INPUT: u64 = 16 << 20;

/// The arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct PublishArgs {
    /// The channel; with `ndjson` the channel of the lines that name none.
    pub(crate) channel: String,
    /// The text of the event; `-` reads it from standard input, without the line end that closes it.
    pub(crate) data: Option<String>,
    /// The event's name.
    pub(crate) event: Option<String>,
    /// The event's id.
    pub(crate) id: Option<String>,
    /// End the channel's streams after the event; without data, only end them.
    pub(crate) close: bool,
    /// Read one event per line.
    pub(crate) ndjson: bool,
    /// Write the answers to stdout.
    pub(crate) json: bool,
}

/// Publishes what `args` say.
pub(crate) async fn publish(
    target: Target,
    token: Option<&str>,
    args: PublishArgs,
) -> Result<(), CommandError> {
    let input = BufReader::new(tokio::io::stdin());
    let outputs = Outputs {
        data: &mut std::io::stdout(),
        words: &mut std::io::stderr(),
    };
    run(Client::new(target, token)?, args, input, outputs).await
}

/// Where a command writes: what others read on, and sentences for people.
pub(super) struct Outputs<'a> {
    pub(super) data: &'a mut dyn Write,
    pub(super) words: &'a mut dyn Write,
}

#[derive(Serialize)]
struct Body<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    close: bool,
}

async fn run(
    mut client: Client,
    args: PublishArgs,
    mut input: impl AsyncBufRead + Unpin,
    mut outputs: Outputs<'_>,
) -> Result<(), CommandError> {
    check(&args)?;
    if args.ndjson {
        return lines(client, &args, input, outputs).await;
    }
    let data = match args.data.as_deref() {
        Some("-") => Some(all_of(&mut input).await?),
        Some(text) => Some(text.to_owned()),
        None => None,
    };
    let body = Body {
        channel: &args.channel,
        event: args.event.as_deref(),
        id: args.id.as_deref(),
        data: data.as_deref(),
        close: args.close,
    };
    let body = serde_json::to_vec(&body).expect("texts can always be written as JSON");
    let answer = client.ask(post(body.into())).await?;
    report(&answer, args.json, &mut outputs)
}

/// What can be known to be wrong before anything is sent.
fn check(args: &PublishArgs) -> Result<(), CommandError> {
    ChannelName::parse(&args.channel).map_err(|source| CommandError::Channel {
        name: args.channel.clone(),
        source,
    })?;
    let field = |option| move |source: InvalidField| CommandError::Field { option, source };
    if let Some(event) = &args.event {
        EventName::parse(event).map_err(field("--event"))?;
    }
    if let Some(id) = &args.id {
        PublisherId::parse(id).map_err(field("--id"))?;
    }
    let single = args.data.is_some() || args.event.is_some() || args.id.is_some() || args.close;
    match (args.ndjson, single) {
        (true, true) => Err(CommandError::Usage(
            "with --ndjson the lines say it all: no data, --event, --id or --close beside it",
        )),
        (false, _) if args.data.is_none() && !args.close => Err(CommandError::Usage(
            "nothing to publish: give the data, - for standard input, --ndjson or --close",
        )),
        _ => Ok(()),
    }
}

async fn lines(
    mut client: Client,
    args: &PublishArgs,
    mut input: impl AsyncBufRead + Unpin,
    mut outputs: Outputs<'_>,
) -> Result<(), CommandError> {
    let mut line = 0;
    let mut published = 0;
    loop {
        let mut text = Vec::new();
        let mut limited = (&mut input).take(LONGEST_INPUT);
        let read = limited.read_until(b'\n', &mut text).await;
        if read.map_err(CommandError::Input)? == 0 {
            return Ok(());
        }
        line += 1;
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let sent = match with_channel(text, &args.channel) {
            Ok(body) => client.ask(post(body.into())).await,
            Err(error) => Err(error),
        };
        let answer = sent.map_err(|error| CommandError::Line {
            line,
            published,
            source: Box::new(error),
        })?;
        published += 1;
        report(&answer, args.json, &mut outputs)?;
    }
}

/// The event in `line`, for `channel` if it names none. It is spliced in, so that the rest stays as it was written.
fn with_channel(line: &[u8], channel: &str) -> Result<Vec<u8>, CommandError> {
    let no_event = || CommandError::BadInput("must hold one JSON object per line");
    let fields: HashMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(line).map_err(|_| no_event())?;
    if fields.contains_key("channel") || fields.contains_key("channels") {
        return Ok(line.to_vec());
    }
    let rest = line.strip_prefix(b"{").ok_or_else(no_event)?;
    // A channel name has no character that JSON would escape.
    let mut body = format!("{{\"channel\":\"{channel}\"").into_bytes();
    if !fields.is_empty() {
        body.push(b',');
    }
    body.extend_from_slice(rest);
    Ok(body)
}

/// All of standard input, without the line end that a shell puts behind it.
async fn all_of(input: &mut (impl AsyncBufRead + Unpin)) -> Result<String, CommandError> {
    let mut bytes = Vec::new();
    let mut limited = input.take(LONGEST_INPUT + 1);
    let read = limited.read_to_end(&mut bytes).await;
    if read.map_err(CommandError::Input)? as u64 > LONGEST_INPUT {
        return Err(CommandError::BadInput("is longer than any event may be"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| CommandError::BadInput("is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn post(body: Bytes) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri("/v1/events")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .expect("a fixed request is valid")
}

fn report(answer: &[u8], json: bool, outputs: &mut Outputs<'_>) -> Result<(), CommandError> {
    #[derive(serde::Deserialize)]
    struct Answer {
        id: Option<String>,
        streams: u64,
    }
    // A page of the site, at a wrong address, may be a 200 as well.
    let Ok(Answer { id, streams }) = serde_json::from_slice(answer) else {
        return Err(CommandError::Foreign);
    };
    let written = if json {
        outputs
            .data
            .write_all(answer.trim_ascii_end())
            .and_then(|()| outputs.data.write_all(b"\n"))
    } else {
        let id = id.unwrap_or_default();
        writeln!(outputs.words, "Published {id}, open streams: {streams}")
    };
    written
        .and_then(|()| outputs.data.flush())
        .map_err(CommandError::Output)
}
