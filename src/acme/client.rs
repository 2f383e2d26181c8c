//! HTTP towards the authority: one connection for each request, TLS always, everything bounded.
//!
//! `instant_acme` and `renewal_info` call it. An answer has 30 seconds and 256 KiB. When an answer says that it is too
//! much, the time it asks for is kept for `task`. No redirects are followed.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use jiff::Timestamp;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::sync::lock;
use crate::domain::ByteSize;
use crate::tls::{Client, HandshakeError};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer; a chain of certificates has a few KiB.
const LARGEST: ByteSize = ByteSize::kib(256);
/// The longest time that an answer may ask us to wait.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The client. Cheap to clone; all clones know when the authority wants to be asked again.
#[derive(Debug, Clone)]
pub(super) struct Http {
    tls: Client,
    not_before: Arc<Mutex<Option<Timestamp>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It was too slow.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
    /// The address is none of https.
    #[error("{0} is no address of https")]
    Address(Uri),
    /// The name of the host is none.
    #[error("the host of the address is no name")]
    Host(#[source] InvalidDnsNameError),
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// No handshake.
    #[error("no TLS")]
    Tls(#[source] HandshakeError),
    /// What came was no HTTP, or broke off.
    #[error("the connection failed")]
    Http(#[source] hyper::Error),
    /// It is too large.
    #[error("the answer is larger than {LARGEST}")]
    TooLarge,
    /// The body broke off.
    #[error("the answer broke off")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
    /// Another status than 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// It is no JSON, or another one than expected.
    #[error("the answer is not what it should be")]
    Json(#[source] serde_json::Error),
}

/// What of a directory is needed beside what `instant_acme` does itself.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    /// A part of every authority; this is how one is told from any other page.
    #[serde(rename = "newOrder")]
    _new_order: String,
    /// Where it says when a certificate should be renewed (RFC 9773, section 4.1).
    pub(super) renewal_info: Option<String>,
}

impl Http {
    pub(super) fn new(tls: Client) -> Self {
        Self {
            tls,
            not_before: Arc::default(),
        }
    }

    /// Until when the authority wants to be left alone; forgotten with this.
    pub(super) fn take_not_before(&self) -> Option<Timestamp> {
        lock(&self.not_before).take()
    }

    /// What the authority can do.
    pub(super) async fn directory(&self, url: &str) -> Result<Directory, super::Failed> {
        let (_, body) = self.get(url).await?;
        let directory = serde_json::from_slice(&body).map_err(HttpError::Json)?;
        Ok(directory)
    }

    /// The body of an answer of 200.
    pub(super) async fn get(&self, url: &str) -> Result<(HeaderMap, Bytes), super::Failed> {
        let request = Request::get(url).header(USER_AGENT, "tidegate");
        let request = request.body(BodyWrapper::default());
        let request = request.map_err(instant_acme::Error::from)?;
        let (parts, body) = self.send(request).await?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(HttpError::Status(parts.status).into());
        }
        Ok((parts.headers, body))
    }

    async fn send(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, HttpError> {
        let exchange = Box::pin(exchange(&self.tls, request));
        let answer = timeout(PATIENCE, exchange).await;
        let answer = answer.unwrap_or(Err(HttpError::Timeout))?;
        let is_too_much = matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        if is_too_much && let Some(wait) = retry_after(answer.headers(), SystemTime::now()) {
            let until = Timestamp::now().saturating_add(wait).ok();
            let mut not_before = lock(&self.not_before);
            *not_before = until.max(*not_before);
        }
        Ok(answer)
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let answer = http.send(request).await;
            let answer = answer.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

async fn exchange(
    tls: &Client,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri().clone();
    let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(HttpError::Address(uri));
    };
    let host = authority.host().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(HttpError::Host)?;
    let port = authority.port_u16().unwrap_or(443);
    let written = HeaderValue::from_str(authority.as_str());
    let written = written.map_err(|_| HttpError::Address(uri.clone()))?;
    request.headers_mut().insert(HOST, written);
    let root = || PathAndQuery::from_static("/");
    *request.uri_mut() = Uri::from(uri.path_and_query().cloned().unwrap_or_else(root));

    let socket = TcpStream::connect((host, port)).await;
    let socket = socket.map_err(HttpError::Connect)?;
    let stream = tls.connect(&name, socket).await.map_err(HttpError::Tls)?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, conn) = shaken.map_err(HttpError::Http)?;
    // The sender goes with the answer, and the connection with it.
    let asking = async move {
        let answer = sender.send_request(request).await;
        let (parts, body) = answer.map_err(HttpError::Http)?.into_parts();
        let most = usize::try_from(LARGEST.get()).unwrap_or(usize::MAX);
        let body = Limited::new(body, most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                HttpError::TooLarge
            } else {
                HttpError::Body(error)
            }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    // What becomes of the connection the answer tells.
    let (answer, _ended) = tokio::join!(asking, conn);
    answer
}

/// How long an answer asks to wait (RFC 9110, section 10.2.3), at most a day.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        until.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_seconds_or_a_date_and_has_a_bound() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |value: &'static str| {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(value))];
            retry_after(&headers.into_iter().collect(), now)
        };
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait("120"), seconds(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), seconds(10));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), seconds(0));
        assert_eq!(wait("99999999999"), Some(LONGEST));
        assert_eq!((wait("-1"), wait("soon"), wait("")), (None, None, None));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
