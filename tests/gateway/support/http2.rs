//! An HTTP/2 client by prior knowledge.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate::server::Address;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::client::Io;
use super::within;

/// One HTTP/2 connection.
pub struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

/// An answer; `body` is what came before the end or the reset.
#[derive(Debug)]
pub struct Answer2 {
    pub head: http::response::Parts,
    pub body: Vec<u8>,
    pub whole: bool,
}

impl Http2 {
    pub async fn open(address: &Address) -> Self {
        let socket: Box<dyn Io> = match address {
            Address::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
            Address::Systemd(name) => panic!("{name} is nowhere yet"),
        };
        Self::over(socket).await
    }

    /// Over a connection that is made already.
    pub async fn over(socket: impl Io + 'static) -> Self {
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
                .await
                .unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ended = connection.await;
        });
        Self {
            sender,
            _driver: driver,
        }
    }

    /// Sends a request; its answer, whose body may go on for ever.
    pub async fn begin(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, hyper::Error> {
        within("a head over HTTP/2", self.sender.send_request(request)).await
    }

    /// Sends a request; an error is one of the connection or the stream.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer2, hyper::Error> {
        within("an answer over HTTP/2", async {
            let (head, mut incoming) = self.sender.send_request(request).await?.into_parts();
            let (mut body, mut whole) = (Vec::new(), true);
            while let Some(frame) = incoming.frame().await {
                match frame {
                    Ok(frame) => body.extend(frame.into_data().unwrap_or_default()),
                    Err(_) => {
                        whole = false;
                        break;
                    }
                }
            }
            Ok(Answer2 { head, body, whole })
        })
        .await
    }
}
