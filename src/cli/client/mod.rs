//! A small HTTP/1.1 client over TCP or a unix socket, for the commands that talk to a running gateway.
//!
//! Used by `publish`, `tail` and their like. One [`Client`] keeps one connection and uses it again while it lives; a
//! request is sent a second time only if it surely never left. No TLS and no redirects: the internal listener has
//! neither. A connection and an answer's head are waited for only so long; the body of a stream may take for ever.

mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::CommandError;
use crate::wire::problem;

pub(crate) use target::{InvalidTarget, Target};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is gathered, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// One server, at most one connection to it.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    /// The whole `Authorization` header.
    authorization: Option<HeaderValue>,
    conn: Option<Conn>,
}

/// A connection: dropping it closes it, even under a body that is still read.
#[derive(Debug)]
struct Conn {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Client {
    /// A client that sends `token` with every request, if there is one.
    pub(crate) fn new(target: Target, token: Option<&str>) -> Result<Self, InvalidTarget> {
        let authorization = token
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
                value.set_sensitive(true);
                Ok::<_, hyper::header::InvalidHeaderValue>(value)
            })
            .transpose()
            .map_err(|_| InvalidTarget::Token)?;
        Ok(Self {
            target,
            authorization,
            conn: None,
        })
    }

    /// Sends a request whose URI is a path, and waits for the head of the answer, whatever its status. The body is read
    /// while the client lives.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CommandError> {
        let host = match &self.target {
            Target::Tcp { authority, .. } => authority.clone(),
            Target::Unix(_) => HeaderValue::from_static("localhost"),
        };
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static("tidegate"));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let silent = CommandError::Silent {
            target: self.target.to_string(),
            seconds: ANSWER_TIMEOUT.as_secs(),
        };
        timeout(ANSWER_TIMEOUT, self.exchange(request))
            .await
            .unwrap_or(Err(silent))
    }

    /// Sends a request and reads an answer that must be a success.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, CommandError> {
        let answer = accepted(self.send(request).await?).await?;
        gather(answer.into_body()).await
    }

    async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CommandError> {
        let broken = |source| CommandError::Broken {
            target: self.target.to_string(),
            source,
        };
        if let Some(mut conn) = self.conn.take() {
            match conn.sender.try_send_request(request).await {
                Ok(answer) => {
                    self.conn = Some(conn);
                    return Ok(answer);
                }
                // Only a request that comes back was never sent; any other may have been carried out.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broken(error.into_error())),
                },
            }
        }
        let mut conn = self.connect().await?;
        let answer = conn.sender.send_request(request).await.map_err(broken)?;
        self.conn = Some(conn);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Conn, CommandError> {
        let unreachable = |source| CommandError::Unreachable {
            target: self.target.to_string(),
            source,
        };
        let late = |_| unreachable(io::ErrorKind::TimedOut.into());
        match &self.target {
            Target::Tcp { host, port, .. } => {
                let dial = TcpStream::connect((host.as_str(), *port));
                let socket = timeout(CONNECT_TIMEOUT, dial).await.map_err(late)?;
                let socket = socket.map_err(unreachable)?;
                socket.set_nodelay(true).map_err(unreachable)?;
                self.greet(socket).await
            }
            Target::Unix(path) => {
                let dial = UnixStream::connect(path);
                let socket = timeout(CONNECT_TIMEOUT, dial).await.map_err(late)?;
                self.greet(socket.map_err(unreachable)?).await
            }
        }
    }

    async fn greet(
        &self,
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Conn, CommandError> {
        let broken = |source| CommandError::Broken {
            target: self.target.to_string(),
            source,
        };
        let (sender, driver) = handshake(TokioIo::new(socket)).await.map_err(broken)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Whoever waits for the answer is given the same error.
            let _ended: Result<(), hyper::Error> = driver.await;
        });
        Ok(Conn {
            sender,
            _driver: tasks,
        })
    }
}

/// Lets a success pass; anything else becomes an error with what the gateway says about it.
pub(crate) async fn accepted(
    answer: Response<Incoming>,
) -> Result<Response<Incoming>, CommandError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let detail = explanation(answer).await;
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CommandError::Denied { status, detail },
        _ => CommandError::Refused { status, detail },
    })
}

/// Reads a whole body, within limits of size and time.
pub(crate) async fn gather(body: Incoming) -> Result<Bytes, CommandError> {
    let reading = Limited::new(body, LONGEST_ANSWER).collect();
    match timeout(ANSWER_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(CommandError::Answer(error)),
        Err(late) => Err(CommandError::Answer(late.into())),
    }
}

/// The words of a problem, or the best that can be said without one.
async fn explanation(answer: Response<Incoming>) -> String {
    #[derive(Deserialize)]
    struct Words {
        detail: Option<String>,
        title: Option<String>,
        hint: Option<String>,
    }
    let header = |name| {
        let value: Option<&HeaderValue> = answer.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    if let Some(place) = header(LOCATION) {
        return format!("it is at {place:?}");
    }
    if header(CONTENT_TYPE).is_none_or(|media| !media.starts_with(problem::CONTENT_TYPE)) {
        return "the answer does not say why".to_owned();
    }
    let body = gather(answer.into_body()).await.unwrap_or_default();
    let Ok(words) = serde_json::from_slice::<Words>(&body) else {
        return "the answer does not say why".to_owned();
    };
    let detail = words.detail.or(words.title).unwrap_or_default();
    match words.hint {
        Some(hint) => format!("{detail} ({hint})"),
        None => detail,
    }
}
