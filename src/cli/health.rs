//! `tidegate health`: is the gateway of this file ready? For containers, which have no other program to ask with.
//!
//! Called by `remote`. Exit code 0 if `/readyz` of the internal listener says so, 1 if it does not (while it drains), 69 if
//! nobody answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::client::{Client, Target};
use super::error::CommandError;

/// Asks once, without a token: `/readyz` needs none.
pub(crate) async fn health(target: Target) -> Result<(), CommandError> {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = hyper::Uri::from_static("/readyz");
    Client::new(target, None)?.ask(request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The exit code for a gateway that answers so to one request.
    async fn code(answer: &'static str) -> Result<(), u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 512];
            let length = socket.read(&mut asked).await.unwrap();
            assert!(asked[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            assert!(
                !asked[..length]
                    .windows(13)
                    .any(|part| part == b"authorization")
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            pending::<()>().await;
        };
        let target = Target::parse(&format!("http://{address}")).unwrap();
        tokio::select! {
            result = health(target) => result.map_err(|error| error.exit_code()),
            () = gateway => unreachable!("it never ends"),
        }
    }

    #[tokio::test]
    async fn the_exit_code_says_whether_the_gateway_is_ready() {
        let ready = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
        assert_eq!(code(ready).await, Ok(()));
        let drains = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ndraining\n";
        assert_eq!(code(drains).await, Err(1));
        let nobody = Target::parse("unix:/nowhere/at/all.sock").unwrap();
        assert_eq!(
            health(nobody).await.map_err(|error| error.exit_code()),
            Err(69)
        );
    }
}
