//! An origin behind the proxies: two pages, a view that may be asked, and one that lets Pushpin hold.
//!
//! `/small` is 64 bytes, `/big` 100 KiB. Below `/ask/` it answers Tidegate's question who may listen, below `/events/` it
//! gives Pushpin the instruction to hold; both name the last segment of the path as the channel. Anything else is 404.

use std::borrow::Cow;

use crate::arguments::OriginOptions;
use crate::error::Error;
use crate::serve::{self, Conns, Request, Service};

const SMALL: usize = 64;
const BIG: usize = 100 * 1024;

#[derive(Debug)]
struct Origin {
    small: &'static [u8],
    big: &'static [u8],
}

impl Service for Origin {
    fn request(&mut self, request: &Request<'_>, conns: &mut Conns) -> Result<(), Error> {
        let name = || String::from_utf8_lossy(request.name());
        let answer = if request.path == b"/small" {
            Cow::Borrowed(self.small)
        } else if request.path == b"/big" {
            Cow::Borrowed(self.big)
        } else if request.path.starts_with(b"/ask/") {
            let fields = format!("SSE-Channel: {}\r\n", name());
            Cow::Owned(answer("200 OK", &fields, ""))
        } else if request.path.starts_with(b"/events/") {
            let fields = format!(
                "Content-Type: text/event-stream\r\nGrip-Hold: stream\r\nGrip-Channel: {}\r\n",
                name()
            );
            Cow::Owned(answer("200 OK", &fields, ": hi\n\n"))
        } else if request.path.starts_with(b"/eventstream/") {
            Cow::Owned(answer("200 OK", &eventstream(&name()), ": hi\n\n"))
        } else {
            Cow::Owned(answer("404 Not Found", "", ""))
        };
        conns.answer(request.conn, answer)
    }
}

/// What django-eventstream says of a stream on one channel whose events it stores.
fn eventstream(name: &str) -> String {
    let token = "x".repeat(220);
    format!(
        "Content-Type: text/event-stream\r\n\
         Grip-Hold: stream\r\n\
         Grip-Channel: events-{name}; prev-id=7; filter=build-id; filter=skip-users, user-anonymous; filter=require-sub\r\n\
         Grip-Set-Meta: id_format=\"{name}:%(events-{name})s\", user=\"anonymous\"\r\n\
         Grip-Keep-Alive: event: keep-alive\\ndata:\\n\\n; format=cstring; timeout=20\r\n\
         Grip-Link: </events/?channel={name}&link=next&recover=true&es-meta={token}>; rel=next\r\n"
    )
}

fn answer(status: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A page that lives as long as the process.
fn page(length: usize) -> &'static [u8] {
    answer(
        "200 OK",
        "Content-Type: text/plain\r\n",
        &"x".repeat(length),
    )
    .leak()
}

/// Serves until the process is ended.
pub fn run(options: &OriginOptions) -> Result<(), Error> {
    let mut origin = Origin {
        small: page(SMALL),
        big: page(BIG),
    };
    serve::run(options.listen, &mut origin)
}
