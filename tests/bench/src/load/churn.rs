//! Streams that come and go: each is closed as soon as it is open.

use serde_json::json;

use super::listener::Listener;
use super::{BUFFER, Crowd, Streams, per_second};
use crate::arguments::ChurnOptions;
use crate::clock;
use crate::error::Error;
use crate::net::Poll;
use crate::output::say;

/// Opens and closes all streams.
pub fn churn(options: &ChurnOptions) -> Result<(), Error> {
    let streams = Streams::new(&options.streams)?;
    let crowd = Crowd {
        size: options.streams.streams,
        at_once: options.streams.at_once,
        tolerate: options.streams.tolerate,
        keep: false,
    };
    let mut poll = Poll::new()?;
    let watch = clock::Watch::start();
    let opened = crowd.open(&mut poll, &mut vec![0; BUFFER], |stream| {
        Listener::start(&streams, stream)
    })?;
    say(&json!({
        "state": "done",
        "streams": opened.conns.len(),
        "failed": opened.failed,
        "seconds": clock::seconds(opened.nanoseconds),
        "connects_per_s": per_second(opened.conns.len() as u64, opened.nanoseconds),
        "busy": watch.busy(),
    }));
    Ok(())
}
