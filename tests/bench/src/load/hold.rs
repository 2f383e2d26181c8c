//! Streams, or idle connections, that are opened and held: what they cost is measured from outside meanwhile.

use serde_json::json;

use super::http2::Http2;
use super::listener::Listener;
use super::visitor::{Page, Visitor};
use super::{BUFFER, Conn, Crowd, Progress, Streams, advance, per_second};
use crate::arguments::HoldOptions;
use crate::clock;
use crate::error::Error;
use crate::net::{Poll, READ};
use crate::output::say;

/// Opens, says so, and holds until the end of standard input.
pub fn hold(options: &HoldOptions) -> Result<(), Error> {
    if let Some(length) = options.page {
        let page = Page::new(&options.streams.url, length, false)?;
        return held(options, 1, |number| Visitor::start(&page, number));
    }
    let streams = Streams::new(&options.streams)?;
    match options.http2 {
        None => held(options, 1, |stream| Listener::start(&streams, stream)),
        Some(each) => held(options, each.max(1), |conn| {
            Http2::start(&streams, conn, each.max(1))
        }),
    }
}

fn held<C: Conn>(
    options: &HoldOptions,
    each: usize,
    start: impl Fn(usize) -> Result<C, Error>,
) -> Result<(), Error> {
    let mut poll = Poll::new()?;
    let mut buffer = vec![0; BUFFER];
    let crowd = Crowd {
        size: options.streams.streams.div_ceil(each),
        at_once: options.streams.at_once.div_ceil(each),
        tolerate: options.streams.tolerate,
        keep: true,
    };
    let mut opened = crowd.open(&mut poll, &mut buffer, start)?;
    let streams = opened.conns.len() * each;
    say(&json!({
        "state": "held",
        "streams": streams,
        "connections": opened.conns.len(),
        "failed": opened.failed,
        "seconds": clock::seconds(opened.nanoseconds),
        "connects_per_s": per_second(streams as u64, opened.nanoseconds),
    }));
    let closed = until_end(&mut poll, &mut opened.conns, &mut buffer)?;
    say(&json!({"state": "left", "disconnected": closed * each}));
    Ok(())
}

/// Reads what comes until standard input ends; how many connections the server has closed.
fn until_end<C: Conn>(
    poll: &mut Poll,
    conns: &mut [Option<C>],
    buffer: &mut [u8],
) -> Result<usize, Error> {
    let input = conns.len();
    let stdin = std::io::stdin();
    // What cannot be waited for, as a file, has nothing to say.
    if poll.add(&stdin, input, READ).is_err() {
        return Ok(0);
    }
    let mut closed = 0;
    loop {
        for at in 0..poll.wait(None)? {
            let (number, _) = poll.ready(at);
            if number == input {
                if !matches!(rustix::io::read(&stdin, &mut buffer[..64]), Ok(1..)) {
                    return Ok(closed);
                }
            } else if let Some(Some(conn)) = conns.get_mut(number)
                && advance(poll, number, conn, buffer)? == Progress::Closed
            {
                conns[number] = None;
                closed += 1;
            }
        }
    }
}
