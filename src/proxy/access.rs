//! The access log's view of a request: an [`Entry`] from its beginning to the end of its answer's body.
//!
//! `Proxy::handle` makes one of each request if there is an access log; dropping it writes the line, so that a request is
//! there once, however it ended. Without an access log this costs a branch per request and per piece of a body.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Frame, SizeHint};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::base::access::Lines;
use crate::base::bell::Inbox;
use crate::base::handler::{self, Filled, Holdable};
use crate::domain::{self, RequestId};
use crate::stream::{Body, BodyError, Held, Memo};
use crate::wire::access::{Format, Record};

/// The access log: where lines go, and their shape.
#[derive(Debug, Clone)]
pub struct AccessLog {
    lines: Lines,
    format: Format,
}

impl AccessLog {
    /// Writes lines of `format`.
    pub const fn new(lines: Lines, format: Format) -> Self {
        Self { lines, format }
    }

    /// The entry of a request that has just come.
    pub(super) fn begin<B>(&self, request: &Request<B>, client: IpAddr, id: &RequestId) -> Entry {
        Entry(Box::new(Begun {
            record: Record::new(request, client, Timestamp::now(), id.clone()),
            since: Instant::now(),
            log: self.clone(),
        }))
    }
}

/// A request in progress, a guard: its line is written when it is dropped. Boxed, for it stays with an open stream.
#[derive(Debug)]
pub(super) struct Entry(Box<Begun>);

#[derive(Debug)]
struct Begun {
    record: Record,
    since: Instant,
    log: AccessLog,
}

impl Entry {
    pub(super) fn found(&mut self, route: &str) {
        self.0.record.route = Some(route.to_owned());
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.0.record.status = status.as_u16();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Begun { record, since, log } = &mut *self.0;
        record.duration = since.elapsed();
        log.lines.write(record.line(log.format));
    }
}

/// An answer's body, whose end is the end of its request's entry.
#[derive(Debug)]
pub struct Logged {
    body: Body,
    /// `None` without an access log, and when the end was written.
    entry: Option<Entry>,
}

impl Logged {
    pub(super) const fn new(body: Body, entry: Option<Entry>) -> Self {
        Self { body, entry }
    }
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(Entry(begun)) = &mut self.entry {
            match &next {
                Poll::Pending => {}
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    begun.record.bytes += length as u64;
                }
                Poll::Ready(None | Some(Err(_))) => drop(self.entry.take()),
            }
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A held stream, whose end is the end of its request's entry.
#[derive(Debug)]
pub struct LoggedHeld {
    held: Box<Held>,
    entry: Option<Entry>,
}

impl Holdable for Logged {
    type Held = LoggedHeld;

    fn is_held(&self) -> bool {
        matches!(self.body, Body::Held(..))
    }

    fn into_held(self) -> Result<LoggedHeld, Self> {
        let Self { body, entry } = self;
        match body {
            Body::Held(held, _) => Ok(LoggedHeld { held, entry }),
            body @ (Body::Answer(_) | Body::File(_) | Body::Text(_) | Body::Compressed(_)) => {
                Err(Self { body, entry })
            }
        }
    }
}

impl handler::HeldStream for LoggedHeld {
    type Memo = Memo;

    fn attach(&self, inbox: &Inbox, key: u32) {
        self.held.attach(inbox, key);
    }

    fn fill(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut VecDeque<domain::Frame>,
        memo: &mut Memo,
    ) -> Filled {
        let filled = self.held.fill(cx, now, out, memo);
        if let Some(Entry(begun)) = &mut self.entry {
            let bytes: usize = out.iter().map(domain::Frame::len).sum();
            begun.record.bytes += bytes as u64;
        }
        filled
    }

    fn awaits(&self) -> bool {
        self.held.awaits()
    }

    fn is_revoked(&self) -> bool {
        self.held.is_revoked()
    }

    fn due(&self) -> Instant {
        self.held.due()
    }
}
