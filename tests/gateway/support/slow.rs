//! A client's connection that is read from slowly, but steadily.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidegate::server::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

use super::within;

/// How much is read, and how often.
const PIECE: usize = 4 << 10;
const PAUSE: Duration = Duration::from_millis(100);

/// What the client's kernel takes ahead of it: so little that its window is shut most of the time.
const RECEIVE_BUFFER: u32 = 16 << 10;

/// A connection over TCP.
pub async fn tcp(address: &Address) -> TcpStream {
    let Address::Tcp(address) = address else {
        panic!("{address} is no TCP address")
    };
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    within("connect", socket.connect(*address)).await.unwrap()
}

pub struct Slow<S> {
    io: S,
    /// What may be read before the next pause is over.
    left: usize,
    pause: Pin<Box<Sleep>>,
}

impl<S> Slow<S> {
    pub fn new(io: S) -> Self {
        Self {
            io,
            left: PIECE,
            pause: Box::pin(sleep(PAUSE)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Slow<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            ready!(this.pause.as_mut().poll(cx));
            this.pause.as_mut().reset(Instant::now() + PAUSE);
            this.left = PIECE;
        }
        let mut scratch = [0; PIECE];
        let room = this.left.min(buffer.remaining());
        let mut read = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut read))?;
        this.left -= read.filled().len();
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Slow<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
