//! One client connection: the TLS handshake, then HTTP/1.1 or HTTP/2, as that or the first bytes say.
//!
//! An answer over HTTP/1.1 that is a held stream is not given to hyper: the request stays unanswered there, hyper is
//! dropped once it has nothing left to write, and its socket goes to those who hold streams (`hold`).

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use prometheus_client::metrics::counter::Counter;

use super::activity::{Activity, Busy, Tracked};
use super::handshake::Speech;
use super::head;
use super::hold::{Desk, Handover, Holders, Occupied};
use super::io::{ClientIo, Socket};
use super::taking::StreamExecutor;
use super::{Server, Settings};
use crate::base::handler::{Handler, Holdable};
use crate::base::sync::lock;
use crate::domain::ConnInfo;

/// Requests at once on one HTTP/2 connection.
const MOST_H2_STREAMS: u32 = 128;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it has to answer.
const H2_PING: Duration = Duration::from_secs(20);
/// What of an answer waits in memory for one HTTP/2 stream.
pub(super) const H2_SEND_BUFFER: usize = 64 << 10;
/// Streams of one HTTP/2 connection that its client has reset before we came to them, and those that we have reset because
/// of what the client did: beyond either, the connection ends. Nobody comes near them by accident.
const MOST_H2_RESETS: (usize, usize) = (20, 64);

/// What a held stream is when its body is one no more.
type HeldOf<H> = <<H as Handler>::Body as Holdable>::Held;

/// A connection whose answer is a held stream, off the HTTP library.
pub(super) struct HeldConn<S> {
    desk: Desk<S>,
    socket: Socket,
    occupied: Occupied,
    parts: response::Parts,
    stream: S,
}

impl<S> HeldConn<S> {
    /// Gives it to those who hold streams.
    pub(super) fn hand_over(self) {
        match self.socket.into_raw() {
            Ok(socket) => self.desk.adopt(Handover {
                socket,
                head: head::of_stream(&self.parts),
                stream: self.stream,
                occupied: self.occupied,
            }),
            Err(error) => tracing::debug!(%error, "Held stream dropped"),
        }
    }
}

/// An answer that hyper is not given.
struct Kept<S> {
    desk: Desk<S>,
    parts: response::Parts,
    stream: S,
}

/// Serves the connection to its end, or until its answer is a held stream.
pub(super) async fn run<H: Handler>(
    server: Server,
    (socket, occupied): (Socket, Occupied),
    speech: Speech,
    info: Arc<ConnInfo>,
    handler: Arc<H>,
    holders: Arc<Holders<HeldOf<H>>>,
) -> Option<HeldConn<HeldOf<H>>> {
    let inner = &server.0;
    let settings = inner.settings.load();
    let (socket, versions) = speech.begin(inner, socket, info.id).await?;
    let activity = Arc::new(Activity::default());
    let refused = inner.metrics.refusals();
    activity.occupy(occupied);
    let io = ClientIo::new(socket, versions, Arc::clone(&activity), &settings, refused);
    let conn = Arc::new(Conn {
        info,
        handler,
        holders,
        activity: Arc::clone(&activity),
        kept: Mutex::new(None),
    });
    conn.serve(&server, &settings, io).await;
    let Kept {
        desk,
        parts,
        stream,
    } = lock(&conn.kept).take()?;
    // `ClientIo` is gone with the connection.
    let (socket, occupied) = activity.take_back()?;
    Some(HeldConn {
        desk,
        socket,
        occupied,
        parts,
        stream,
    })
}

/// What the requests of one connection share.
struct Conn<H: Handler> {
    info: Arc<ConnInfo>,
    handler: Arc<H>,
    holders: Arc<Holders<HeldOf<H>>>,
    activity: Arc<Activity>,
    /// Set at most once.
    kept: Mutex<Option<Kept<HeldOf<H>>>>,
}

impl<H: Handler> Conn<H> {
    async fn serve(self: &Arc<Self>, server: &Server, settings: &Settings, io: ClientIo) {
        let (inner, activity) = (&server.0, &self.activity);
        let conn = Arc::clone(self);
        let service = service_fn(move |request: Request<Incoming>| {
            let busy = conn.activity.begin();
            // Boxed, for it is many times as large as what comes after it: over HTTP/2 each stream has a task of the larger
            // size, and over HTTP/1.1 each connection has room for one.
            Box::pin(Arc::clone(&conn).answer(request, busy))
        });
        let builder = builder(settings, inner.metrics.given_up.clone());
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
        let mut silence = pin!(activity.silent_for(settings.keepalive));
        let mut finishing = false;
        loop {
            let driven = poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                // Earlier answers go first: until the socket has taken them, hyper is woken when it takes more.
                Poll::Pending if activity.is_flushed() && lock(&self.kept).is_some() => {
                    activity.want_back();
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                // The connection first, so that one which is done needs no telling.
                biased;
                ended = driven => {
                    if let Some(Err(error)) = ended {
                        tracing::debug!(conn.id = %self.info.id, error = error.as_ref(), "Connection ended");
                    }
                    return;
                }
                // Never before `finish`, so that one look is enough.
                () = inner.abort.cancelled(), if finishing => return,
                () = inner.finish.cancelled(), if !finishing => {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = silence.as_mut() => {
                    // Told first, so that a request on its way over HTTP/2 is sent again elsewhere; then cut.
                    if finishing {
                        return;
                    }
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                    silence.set(activity.silent_for(settings.keepalive));
                }
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        busy: Busy,
    ) -> Result<Response<Tracked<H::Body>>, Infallible> {
        let version = request.version();
        let head_only = version >= Version::HTTP_2 && *request.method() == Method::HEAD;
        let info = Arc::clone(&self.info);
        let mut response = self.handler.handle(request, info).await;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => self.activity.upgrade(),
            // A view may give it a body, which nobody is sent; over HTTP/2 a length is then a broken promise, for which
            // clients throw the answer away (RFC 9110, section 8.6).
            StatusCode::NO_CONTENT => drop(response.headers_mut().remove(CONTENT_LENGTH)),
            _ => {}
        }
        // An older client knows no chunks, a newer version has frames of its own.
        if version == Version::HTTP_11
            && response.body().is_held()
            && let Some(desk) = self.holders.desk()
        {
            let (parts, body) = response.into_parts();
            match body.into_held() {
                Ok(stream) => {
                    *lock(&self.kept) = Some(Kept {
                        desk,
                        parts,
                        stream,
                    });
                    // The connection is dropped, and this with it.
                    return std::future::pending().await;
                }
                Err(body) => response = Response::from_parts(parts, body),
            }
        }
        if head_only {
            let length = response.body().size_hint().exact();
            if let Some(length) = length.filter(|length| *length > 0) {
                let told = response.headers_mut().entry(CONTENT_LENGTH);
                told.or_insert_with(|| length.into());
            }
            return Ok(response.map(|body| Tracked::new(body, busy, false).head_only()));
        }
        let unframed = version < Version::HTTP_11;
        // Such a client may have asked to keep its connection, which hyper then promises whatever comes: also with a body
        // whose end only the connection's end can tell, and beside a `close`. To an answer of the older version it adds
        // nothing.
        if unframed && (has_no_length(&response) || says_close(response.headers())) {
            *response.version_mut() = Version::HTTP_10;
        }
        Ok(response.map(|body| Tracked::new(body, busy, unframed)))
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|told| told == "close")
}

fn has_no_length<B: Body>(response: &Response<B>) -> bool {
    !response.headers().contains_key(CONTENT_LENGTH)
        && response.body().size_hint().exact().is_none()
}

fn builder(settings: &Settings, given_up: Counter) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor::new(settings.body_idle, given_up));
    builder
        .http1()
        .timer(TokioTimer::new())
        // `ClientIo` has this timer, and tells a silent connection from a slow head.
        .header_read_timeout(None)
        // hyper knows no smaller buffer.
        .max_buf_size(settings.header.as_len().max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_H2_STREAMS)
        .max_header_list_size(u32::try_from(settings.header.get()).unwrap_or(u32::MAX))
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_pending_accept_reset_streams(MOST_H2_RESETS.0)
        .max_local_error_reset_streams(MOST_H2_RESETS.1)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    builder
}
