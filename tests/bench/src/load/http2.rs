//! Event streams over one HTTP/2 connection by prior knowledge: as few kinds of frames as a client gets by with.
//!
//! Fields are literals that are not indexed, windows are as large as they can be, and of an answer's head only its first
//! field is looked at, which is `:status` and, if it is 200, one byte.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::{Conn, Progress, Streams};
use crate::error::{Error, system};
use crate::http::unexpected;

const WHAT: &str = "event streams over HTTP/2";
const FRAME: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Of SETTINGS and PING.
const ACK: u8 = 1;
/// Of HEADERS: the end of the request, and of its fields.
const WHOLE: u8 = 5;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// `:status: 200` of the static table.
const STATUS_200: u8 = 0x88;

/// A connection with its streams.
#[derive(Debug)]
pub struct Http2 {
    fd: OwnedFd,
    /// For each stream, whether its head is here, and whether bytes of its body are.
    streams: Vec<(bool, bool)>,
    /// Streams with both.
    open: usize,
    unsent: Vec<u8>,
    /// A frame that came in part.
    partial: Vec<u8>,
}

impl Http2 {
    /// Connects and asks for so many streams.
    pub fn start(streams: &Streams, conn: usize, count: usize) -> Result<Self, Error> {
        let fd = streams.sources.connect(conn, streams.target.address)?;
        let mut unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // INITIAL_WINDOW_SIZE as large as it can be, and the same for the connection.
        frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff], &mut unsent);
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0], &mut unsent);
        for stream in 0..count {
            let fields = fields(streams, conn * count + stream);
            frame(HEADERS, WHOLE, identifier(stream), &fields, &mut unsent);
        }
        let mut conn = Self {
            fd,
            streams: vec![(false, false); count],
            open: 0,
            unsent,
            partial: Vec::new(),
        };
        conn.send()?;
        Ok(conn)
    }

    fn send(&mut self) -> Result<(), Error> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match rustix::net::send(&self.fd, &self.unsent, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(self.unsent.drain(..sent)),
            Err(Errno::AGAIN) => {}
            Err(source) => return Err(system("send")(source)),
        }
        Ok(())
    }

    fn take(&mut self, input: &[u8]) -> Result<(), Error> {
        self.partial.extend_from_slice(input);
        let bytes = std::mem::take(&mut self.partial);
        let mut rest = &bytes[..];
        while let Some((head, behind)) = rest.split_first_chunk::<FRAME>() {
            let [a, b, c, kind, flags, id @ ..] = *head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = behind.get(..length) else {
                break;
            };
            self.frame(kind, flags, u32::from_be_bytes(id), payload)?;
            rest = &behind[length..];
        }
        self.partial = rest.to_vec();
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Result<(), Error> {
        match kind {
            HEADERS if status(flags, payload) != Some(STATUS_200) => {
                return Err(unexpected(WHAT, payload));
            }
            HEADERS => self.note(id, |stream| stream.0 = true),
            DATA if !payload.is_empty() => self.note(id, |stream| stream.1 = true),
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[], &mut self.unsent),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, &mut self.unsent),
            RST_STREAM | GOAWAY => return Err(unexpected(WHAT, payload)),
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, id: u32, what: impl FnOnce(&mut (bool, bool))) {
        if let Some(stream) = self.streams.get_mut(id as usize / 2) {
            let before = *stream == (true, true);
            what(stream);
            self.open += usize::from(!before && *stream == (true, true));
        }
    }
}

impl Conn for Http2 {
    fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn wants_room(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn ready(&mut self, buffer: &mut [u8]) -> Result<Progress, Error> {
        self.send()?;
        let before = self.open;
        match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET) => return Ok(Progress::Closed),
            Ok(length) => self.take(&buffer[..length])?,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(source) => return Err(system("read")(source)),
        }
        self.send()?;
        let opened = before < self.open && self.open == self.streams.len();
        Ok(if opened {
            Progress::Opened
        } else {
            Progress::Same
        })
    }
}

/// The identifier of the `at`-th stream that a client opens.
fn identifier(at: usize) -> u32 {
    u32::try_from(at * 2 + 1).unwrap_or(u32::MAX)
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The first byte of the fields.
fn status(flags: u8, payload: &[u8]) -> Option<u8> {
    let mut at = 0;
    if flags & PADDED != 0 {
        at += 1;
    }
    if flags & PRIORITY != 0 {
        at += 5;
    }
    // Changes of the table's size come before the first field.
    payload
        .get(at..)?
        .iter()
        .copied()
        .find(|byte| byte & 0xe0 != 0x20)
}

/// The fields of a request: `GET` and `http` from the static table, the rest as literals that are not indexed.
fn fields(streams: &Streams, stream: usize) -> Vec<u8> {
    let mut path = Vec::new();
    streams
        .target
        .path
        .write(streams.channel(stream), b"", &mut path);
    let authority = streams.target.address.to_string();
    let mut fields = vec![0x82, 0x86, 0x04];
    text(&path, &mut fields);
    fields.push(0x01);
    text(authority.as_bytes(), &mut fields);
    for (name, value) in [
        ("accept", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("user-agent", "Mozilla/5.0 (bench)"),
        ("accept-language", "en"),
    ] {
        fields.push(0);
        text(name.as_bytes(), &mut fields);
        text(value.as_bytes(), &mut fields);
    }
    fields
}

/// A text of less than 127 bytes, not compressed.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(u8::try_from(bytes.len().min(126)).unwrap_or(126));
    out.extend_from_slice(&bytes[..bytes.len().min(126)]);
}
