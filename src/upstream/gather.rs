//! Gathers a request body that has no length, because Django reads a chunked request as empty.

use std::io::Write;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::RequestBody;
use super::error::GatherError;

/// How much is collected before it is written to the temp file.
const WRITE: usize = 64 << 10;

/// Reads `incoming` to its end: up to `memory` bytes are kept in memory, more go to a temp file without a name. At most
/// `limit` bytes, and no pause longer than `idle`. Trailers are dropped.
pub async fn gather(
    mut incoming: Incoming,
    limit: u64,
    memory: usize,
    idle: Duration,
) -> Result<RequestBody, GatherError> {
    let mut kept = BytesMut::new();
    let mut spilled: Option<std::fs::File> = None;
    let mut length: u64 = 0;
    loop {
        let frame = timeout(idle, incoming.frame())
            .await
            .map_err(|_| GatherError::Idle)?;
        let Some(frame) = frame.transpose().map_err(GatherError::Client)? else {
            break;
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length > limit {
            return Err(GatherError::TooLarge);
        }
        kept.extend_from_slice(&data);
        let most = if spilled.is_some() { WRITE } else { memory };
        if kept.len() > most {
            spilled = Some(spill(spilled, kept.split().freeze()).await?);
        }
    }
    match spilled {
        None => Ok(RequestBody::Memory(kept.freeze())),
        Some(file) => Ok(RequestBody::stored(
            spill(Some(file), kept.freeze()).await?,
            length,
        )),
    }
}

/// Appends `bytes` to the file, or to a new one, off the event loop.
async fn spill(file: Option<std::fs::File>, bytes: Bytes) -> Result<std::fs::File, GatherError> {
    let write = move || {
        let mut file = file.map_or_else(tempfile::tempfile, Ok)?;
        file.write_all(&bytes)?;
        Ok(file)
    };
    let written = tokio::task::spawn_blocking(write).await;
    written
        .map_err(std::io::Error::other)
        .and_then(|written| written)
        .map_err(GatherError::Disk)
}
