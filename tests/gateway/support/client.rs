//! A client that sends any bytes and reads answers by their framing, so that it sees what a browser's library hides.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tidegate::server::Address;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::within;

/// A connected socket of any kind.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for S {}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By a FIN.
    Clean,
    /// By a RST, or what comes to the same.
    Reset,
    /// Over TLS, by a FIN that no close_notify had announced.
    Unannounced,
}

/// One connection to the gateway.
pub struct Conn {
    io: Box<dyn Io>,
    seen: Vec<u8>,
    ended: Option<Ending>,
}

/// An answer as it came.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    /// The status line and the fields, as they were on the wire.
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The statuses of the interim answers before it.
    pub interim: Vec<u16>,
    /// Whether the body reached the end its framing promised.
    pub whole: bool,
}

/// How the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    Close,
}

/// What of a body came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Data(Vec<u8>),
    End,
    /// The connection ended before the body did.
    Broken,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.all(name);
        let first = found.next();
        assert!(
            found.next().is_none(),
            "{name} is there twice: {}",
            self.head
        );
        first
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || matches!(self.status, 100..200 | 204 | 304) {
            return Framing::Length(0);
        }
        if self.header("transfer-encoding").is_some() {
            assert!(self.header("content-length").is_none(), "{}", self.head);
            return Framing::Chunked;
        }
        match self.header("content-length") {
            Some(length) => Framing::Length(length.parse().unwrap()),
            None => Framing::Close,
        }
    }
}

impl Conn {
    pub async fn open(address: &Address) -> Self {
        let io: Box<dyn Io> = match address {
            Address::Tcp(address) => Box::new(
                within("connect", TcpStream::connect(address))
                    .await
                    .unwrap(),
            ),
            Address::Unix(path) => {
                Box::new(within("connect", UnixStream::connect(path)).await.unwrap())
            }
            Address::Systemd(name) => panic!("{name} is nowhere yet"),
        };
        Self::over(io)
    }

    /// A connection that is made already.
    pub fn over(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            seen: Vec::new(),
            ended: None,
        }
    }

    /// Sends all of it; a gateway that has closed already is no failure of the sender.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed: io::Result<()> = within("send", self.io.write_all(bytes.as_ref())).await;
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) {
        let _closed: io::Result<()> = self.io.shutdown().await;
    }

    /// Reads more; `false` at the end.
    async fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match within("bytes from the gateway", self.io.read_buf(&mut self.seen)).await {
            Ok(0) => self.ended = Some(Ending::Clean),
            Ok(_) => return true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.ended = Some(Ending::Reset);
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.ended = Some(Ending::Unannounced);
            }
            Err(error) => panic!("{error}"),
        }
        false
    }

    /// Everything up to and with the next `mark`; `None` if the connection ends before.
    async fn take_past(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self
                .seen
                .windows(mark.len())
                .position(|window| window == mark)
            {
                return Some(self.seen.drain(..at + mark.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The head of the next final answer; `None` if the connection ends instead.
    pub async fn try_head(&mut self) -> Option<Answer> {
        let mut interim = Vec::new();
        loop {
            let head = String::from_utf8(self.take_past(b"\r\n\r\n").await?).unwrap();
            let mut lines = head.trim_end().split("\r\n");
            let status: u16 = lines
                .next()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .parse()
                .unwrap();
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let headers = lines
                .map(|line| {
                    line.split_once(": ")
                        .or_else(|| line.split_once(':'))
                        .unwrap()
                })
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            return Some(Answer {
                status,
                head,
                headers,
                interim,
                ..Answer::default()
            });
        }
    }

    pub async fn head(&mut self) -> Answer {
        self.try_head()
            .await
            .expect("an answer before the connection ends")
    }

    /// The framing of the body after `head`, an answer to `method`.
    pub fn framing(head: &Answer, method: &str) -> Framing {
        head.framing(method)
    }

    /// The next piece of a body.
    pub async fn piece(&mut self, framing: &mut Framing) -> Piece {
        match framing {
            Framing::Length(0) => Piece::End,
            Framing::Length(left) => {
                if self.seen.is_empty() && !self.fill().await {
                    return Piece::Broken;
                }
                let most = usize::try_from(*left).unwrap().min(self.seen.len());
                *left -= most as u64;
                Piece::Data(self.seen.drain(..most).collect())
            }
            Framing::Close => {
                if self.seen.is_empty() && !self.fill().await {
                    return match self.ended {
                        Some(Ending::Clean) => Piece::End,
                        _ => Piece::Broken,
                    };
                }
                Piece::Data(std::mem::take(&mut self.seen))
            }
            Framing::Chunked => self.chunk().await,
        }
    }

    async fn chunk(&mut self) -> Piece {
        let Some(line) = self.take_past(b"\r\n").await else {
            return Piece::Broken;
        };
        let line = std::str::from_utf8(&line).unwrap().trim_end();
        let length = usize::from_str_radix(line, 16).unwrap();
        while self.seen.len() < length + 2 {
            if !self.fill().await {
                return Piece::Broken;
            }
        }
        let data: Vec<u8> = self.seen.drain(..length).collect();
        let end: Vec<u8> = self.seen.drain(..2).collect();
        assert_eq!(
            end, b"\r\n",
            "a chunk ends with its length, and there are no trailers"
        );
        if length == 0 {
            Piece::End
        } else {
            Piece::Data(data)
        }
    }

    /// The next answer, which answers `method`.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        let mut answer = self.head().await;
        let mut framing = answer.framing(method);
        loop {
            match self.piece(&mut framing).await {
                Piece::Data(data) => answer.body.extend(data),
                Piece::End => answer.whole = true,
                Piece::Broken => {}
            }
            if answer.whole || self.ended.is_some() {
                return answer;
            }
        }
    }

    /// The next answer, which answers anything but HEAD.
    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Sends a request and reads the head of its answer only: its status.
    pub async fn ask_head(&mut self, request: impl AsRef<[u8]>) -> u16 {
        self.send(request).await;
        self.head().await.status
    }

    /// Waits for the end, which must come without a further byte.
    pub async fn ending(&mut self) -> Ending {
        while self.fill().await {}
        let rest = String::from_utf8_lossy(&self.seen);
        assert!(rest.is_empty(), "nothing comes before the end: {rest:?}");
        self.ended.unwrap()
    }

    /// All that comes until the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.seen)
    }

    /// The next answer as bytes, or all that comes until the end.
    pub async fn rest_or_answer(&mut self) -> Vec<u8> {
        match self.try_head().await {
            Some(answer) => answer.head.into_bytes(),
            None => self.rest().await,
        }
    }

    /// Exactly these many bytes, whatever they are.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.try_bytes(count).await;
        bytes.unwrap_or_else(|| panic!("{count} bytes come"))
    }

    /// Exactly these many bytes; `None` if the connection ends before.
    pub async fn try_bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.seen.len() < count {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.seen.drain(..count).collect())
    }

    /// Whether a byte comes within `time`. For bounds that can be shown in no other way.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.seen.is_empty()
            && tokio::time::timeout(time, self.io.read_buf(&mut self.seen))
                .await
                .is_err()
    }
}

/// A GET on a connection of its own.
pub async fn get(address: &Address, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n");
    Conn::open(address).await.ask(request).await
}
