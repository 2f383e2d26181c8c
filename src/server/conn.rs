//! One client connection: the TLS handshake, then HTTP/1.1 or HTTP/2, as that or the first bytes say.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;

use super::activity::{Activity, Tracked};
use super::handshake::Speech;
use super::io::{ClientIo, Socket};
use super::{Server, Settings};
use crate::base::handler::{Handler, MOST_FIELDS};
use crate::domain::ConnInfo;

/// Requests at once on one HTTP/2 connection.
const MOST_H2_STREAMS: u32 = 128;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it has to answer.
const H2_PING: Duration = Duration::from_secs(20);
/// What of an answer waits in memory for one HTTP/2 stream.
const H2_SEND_BUFFER: usize = 64 << 10;

/// Serves the connection to its end.
pub(super) async fn run<H: Handler>(
    server: Server,
    socket: Socket,
    speech: Speech,
    info: Arc<ConnInfo>,
    handler: Arc<H>,
) {
    let inner = &server.0;
    let Some((socket, versions)) = speech.begin(inner, socket, info.id).await else {
        return;
    };
    let activity = Arc::new(Activity::default());
    let refused = inner.metrics.refused.clone();
    let io = TokioIo::new(ClientIo::new(
        socket,
        versions,
        Arc::clone(&activity),
        &inner.settings,
        refused,
    ));
    let (id, silent) = (info.id, Arc::clone(&activity));
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, info, activity) = (
            Arc::clone(&handler),
            Arc::clone(&info),
            Arc::clone(&activity),
        );
        let busy = activity.begin();
        async move {
            let unframed = request.version() < Version::HTTP_11;
            let response = handler.handle(request, info).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                activity.upgrade();
            }
            Ok::<_, Infallible>(response.map(|body| Tracked::new(body, busy, unframed)))
        }
    });
    let builder = builder(&inner.settings);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut silence = pin!(silent.silent_for(inner.settings.keepalive));
    let mut finishing = false;
    loop {
        tokio::select! {
            // The connection first, so that one which is done needs no telling.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(conn.id = %id, error = error.as_ref(), "Connection ended");
                }
                return;
            }
            () = inner.abort.cancelled() => return,
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
                silence.set(silent.silent_for(inner.settings.keepalive));
            }
        }
    }
}

fn builder(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `ClientIo` has this timer, and tells a silent connection from a slow head.
        .header_read_timeout(None)
        .max_headers(MOST_FIELDS)
        // hyper knows no smaller buffer.
        .max_buf_size(settings.header.as_len().max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_H2_STREAMS)
        .max_header_list_size(u32::try_from(settings.header.get()).unwrap_or(u32::MAX))
        .max_send_buf_size(H2_SEND_BUFFER)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    builder
}
