//! `tidegate tail`: events as they pass, one line each.
//!
//! Called by `main`. Channels and `--all` are read from the tap of the internal listener; a URL is read as a browser's
//! `EventSource` would: again and again with `Last-Event-ID`, until 204 or an answer that is no event stream. The tap
//! is never asked again, since what passed meanwhile would be missing without a word. Waits for as long as it is left
//! alone; a reader of stdout that goes away ends it quietly.

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::time::sleep;

use super::client::{Client, InvalidTarget, Target, accepted};
use super::error::CommandError;
use super::line::{self, Style};
use super::publish::Outputs;
use crate::domain::ChannelName;
use crate::wire::sse::{Parser, TooLarge};

/// The longest event that is shown, in bytes.
const LONGEST_EVENT: usize = 16 << 20;
/// The pause before a reconnect until the stream names another: what browsers do.
const RETRY: Duration = Duration::from_secs(3);

/// What is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// These channels, on the tap of the internal listener.
    Channels(Vec<ChannelName>),
    /// Every channel, on the tap of the internal listener.
    All,
    /// A public event stream.
    Url {
        /// Its server.
        server: Target,
        /// Its path and query.
        path: String,
    },
}

impl Source {
    /// Reads the arguments: channels, or one URL, or none at all with `--all`.
    pub(crate) fn of(arguments: &[String], all: bool) -> Result<Self, CommandError> {
        let is_url = |text: &str| text.contains("://");
        match arguments {
            [] if all => Ok(Self::All),
            [] => Err(CommandError::Usage("name channels, a URL or --all")),
            _ if all => Err(CommandError::Usage("--all goes without channels and URLs")),
            [url] if is_url(url) => {
                let (server, path) = Target::with_path(url)?;
                Ok(Self::Url { server, path })
            }
            names if names.iter().any(|name| is_url(name)) => {
                Err(CommandError::Usage("a URL goes alone"))
            }
            names => {
                let parse = |name: &String| {
                    ChannelName::parse(name).map_err(|source| CommandError::Channel {
                        name: name.clone(),
                        source,
                    })
                };
                let names: Result<_, _> = names.iter().map(parse).collect();
                names.map(Self::Channels)
            }
        }
    }
}

/// Shows the events of `source`. The internal listener and the token are used for the tap only: a public server is
/// never given the token.
pub(crate) async fn tail(
    internal: Target,
    token: Option<&str>,
    source: Source,
    json: bool,
) -> Result<(), CommandError> {
    let mut outputs = Outputs {
        data: &mut io::stdout(),
        words: &mut io::stderr(),
    };
    run(internal, token, source, json, &mut outputs).await
}

async fn run(
    internal: Target,
    token: Option<&str>,
    source: Source,
    json: bool,
    outputs: &mut Outputs<'_>,
) -> Result<(), CommandError> {
    let ended = match source {
        Source::Url { server, path } => follow(server, &path, json, outputs).await,
        Source::All => tap(internal, token, "/v1/tap", json, outputs).await,
        Source::Channels(names) => {
            let mut path = "/v1/tap".to_owned();
            for (index, name) in names.iter().enumerate() {
                // No character of a channel name needs escaping in a query.
                path.push(if index == 0 { '?' } else { '&' });
                path.push_str("channel=");
                path.push_str(name.as_str());
            }
            tap(internal, token, &path, json, outputs).await
        }
    };
    match ended {
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn tap(
    internal: Target,
    token: Option<&str>,
    path: &str,
    json: bool,
    outputs: &mut Outputs<'_>,
) -> Result<(), CommandError> {
    let mut client = Client::new(internal, token)?;
    let answer = event_stream(client.send(get(path, "")?).await?).await?;
    let style = Style { tap: true, json };
    let mut parser = Parser::new(LONGEST_EVENT);
    copy(answer.into_body(), &mut parser, style, outputs).await?;
    Err(CommandError::Ended)
}

async fn follow(
    server: Target,
    path: &str,
    json: bool,
    outputs: &mut Outputs<'_>,
) -> Result<(), CommandError> {
    let style = Style { tap: false, json };
    let mut last_id = String::new();
    let mut pause = RETRY;
    let mut opened = false;
    loop {
        let mut client = Client::new(server.clone(), None)?;
        let ended = match client.send(get(path, &last_id)?).await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => return Ok(()),
            Ok(answer) => {
                let answer = event_stream(answer).await?;
                opened = true;
                let mut parser = Parser::new(LONGEST_EVENT);
                let ended = copy(answer.into_body(), &mut parser, style, outputs).await?;
                if !parser.last_event_id().is_empty() {
                    parser.last_event_id().clone_into(&mut last_id);
                }
                pause = ended.retry.map_or(pause, Duration::from_millis);
                "The stream ended".to_owned()
            }
            // As in a browser, only a stream that was open once is worth waiting for.
            Err(error) if opened => error.report(),
            Err(error) => return Err(error),
        };
        let seconds = pause.as_secs_f64();
        writeln!(outputs.words, "{ended}; trying again in {seconds} s")
            .map_err(CommandError::Output)?;
        sleep(pause).await;
    }
}

/// What a stream left behind.
struct Ended {
    /// The last `retry:`, in milliseconds.
    retry: Option<u64>,
}

/// Writes the events of a stream until it ends or breaks, which comes to the same for a listener.
async fn copy(
    mut body: Incoming,
    parser: &mut Parser,
    style: Style,
    outputs: &mut Outputs<'_>,
) -> Result<Ended, CommandError> {
    let mut retry = None;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        for event in parser.feed(&bytes)? {
            retry = event.retry.or(retry);
            line::write(outputs.data, &event, style).map_err(CommandError::Output)?;
        }
    }
    if parser.too_large() {
        return Err(TooLarge { max: LONGEST_EVENT }.into());
    }
    let retry = parser.retry().or(retry);
    Ok(Ended { retry })
}

/// Lets only an event stream pass.
async fn event_stream(answer: Response<Incoming>) -> Result<Response<Incoming>, CommandError> {
    let answer = accepted(answer).await?;
    let media = answer.headers().get(CONTENT_TYPE);
    let media = media.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media.split(';').next().unwrap_or_default().trim();
    if answer.status() == StatusCode::OK && essence.eq_ignore_ascii_case("text/event-stream") {
        return Ok(answer);
    }
    Err(CommandError::NoStream(media.to_owned()))
}

fn get(path: &str, last_id: &str) -> Result<Request<Full<Bytes>>, CommandError> {
    let uri: Uri = path.parse().map_err(|_| InvalidTarget::Form)?;
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // An id that no header can carry is left out: the server then starts with what it has.
    if !last_id.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(last_id.as_bytes())
    {
        headers.insert("last-event-id", value);
    }
    Ok(request)
}
