//! The least an epoll server can do: one `send` of the same bytes to each listener.
//!
//! `GET` puts a connection on the channel that the last segment of its path names, `POST` to such a path sends its body to
//! everybody there. The head and the frames are what Tidegate sends, byte for byte as long. A listener whose socket is full
//! is dropped: this is a measure, no server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use crate::arguments::FloorOptions;
use crate::error::Error;
use crate::serve::{self, Conns, Request, Service};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n\
    20\r\nretry: 3000\n: hi\nid: 0-0000000\n\n\r\n";
const PUBLISHED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

#[derive(Debug, Default)]
struct Channel {
    listeners: Vec<u32>,
    /// Frames that wait for the end of the round.
    waiting: Vec<u8>,
}

#[derive(Debug, Default)]
struct Floor {
    names: HashMap<Box<[u8]>, u32>,
    /// By the number of a channel. The first belongs to the connections that do not listen.
    channels: Vec<Channel>,
    /// Channels with waiting frames.
    dirty: Vec<u32>,
    coalesce: bool,
    events: u64,
    frame: String,
}

impl Floor {
    fn channel(&mut self, name: &[u8]) -> u32 {
        if let Some(&channel) = self.names.get(name) {
            return channel;
        }
        let channel = u32::try_from(self.channels.len()).unwrap_or(0);
        self.channels.push(Channel::default());
        self.names.insert(name.into(), channel);
        channel
    }

    /// A chunk with one event.
    fn encode(&mut self, body: &[u8]) {
        self.events += 1;
        self.frame.clear();
        let data = String::from_utf8_lossy(body);
        let length = "id: 0123456789-0000000\ndata: \n\n".len() + data.len();
        // Writing to memory does not fail.
        let _ = write!(
            self.frame,
            "{length:x}\r\nid: 0123456789-{:07}\ndata: {data}\n\n\r\n",
            self.events % 10_000_000
        );
    }

    fn listen(&mut self, request: &Request<'_>, conns: &mut Conns) -> Result<(), Error> {
        let channel = self.channel(request.name());
        let conn = u32::try_from(request.conn).unwrap_or(u32::MAX);
        self.channels[channel as usize].listeners.push(conn);
        conns.tag(request.conn, channel);
        conns.answer(request.conn, Cow::Borrowed(HEAD.as_bytes()))
    }
}

impl Service for Floor {
    fn request(&mut self, request: &Request<'_>, conns: &mut Conns) -> Result<(), Error> {
        if !request.post {
            return self.listen(request, conns);
        }
        self.encode(request.body);
        let number = self.channel(request.name());
        let channel = &mut self.channels[number as usize];
        if self.coalesce {
            if channel.waiting.is_empty() {
                self.dirty.push(number);
            }
            channel.waiting.extend_from_slice(self.frame.as_bytes());
        } else {
            for &listener in &channel.listeners {
                conns.deliver(listener as usize, self.frame.as_bytes());
            }
        }
        conns.answer(request.conn, Cow::Borrowed(PUBLISHED))
    }

    fn round(&mut self, conns: &mut Conns) -> Result<(), Error> {
        for number in self.dirty.drain(..) {
            let channel = &mut self.channels[number as usize];
            for &listener in &channel.listeners {
                conns.deliver(listener as usize, &channel.waiting);
            }
            channel.waiting.clear();
        }
        Ok(())
    }

    fn left(&mut self, conn: usize, tag: u32) {
        let listeners = &mut self.channels[tag as usize].listeners;
        if let Some(at) = listeners
            .iter()
            .position(|&listener| listener as usize == conn)
        {
            listeners.swap_remove(at);
        }
    }
}

/// Serves until the process is ended.
pub fn run(options: &FloorOptions) -> Result<(), Error> {
    let mut floor = Floor {
        channels: vec![Channel::default()],
        coalesce: options.coalesce,
        ..Floor::default()
    };
    serve::run(options.listen, &mut floor)
}
