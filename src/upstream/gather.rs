//! Gathers a request body before Django is given any of it: a slow upload holds no worker, and Django, which reads a chunked
//! request as empty, is told a length.
//!
//! In memory up to `buffer_request`, beyond in a temp file without a name; also if the memory for all bodies is full, or
//! the length that was announced says that it will not do. What is read is counted before more is read, but for a small
//! body that came at once: it lies in what was read of the socket, and must be taken also when others fill everything.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::Upstream;
use super::body::RequestBody;
use super::buffers::{Buffers, Share, Spill, SpillError, Whose};
use super::error::GatherError;
use crate::domain::ByteSize;

/// How much is collected before it is written to the temp file.
const WRITE: usize = 64 << 10;
/// A body of so many bytes that comes at once is not counted.
const SMALL: usize = 16 << 10;
/// What memory holds of a body that must be gathered although bodies are not buffered.
const UNASKED: usize = 1 << 20;

/// What is there of a body.
struct Gathered<'b> {
    buffers: &'b Buffers,
    /// What memory may hold of it.
    memory: usize,
    /// What was announced; `None`: nobody knows.
    length: Option<u64>,
    /// What is in memory; its capacity is counted.
    kept: Vec<u8>,
    share: Share,
    /// `None` while all of it is in memory.
    spill: Option<Spill>,
    spilled: u64,
}

impl Upstream {
    /// Reads `incoming` to its end, at most `limit` bytes, with no pause longer than `idle`. `length` is what it announced.
    /// Trailers are dropped. What it is not read to its end for is whoever has it to see to.
    pub async fn gather(
        &self,
        incoming: &mut Incoming,
        length: Option<u64>,
        limit: u64,
        idle: Duration,
    ) -> Result<RequestBody, GatherError> {
        let memory = self.settings().buffer_request;
        let memory = memory.map_or(UNASKED, ByteSize::as_len);
        gather(self.buffers(), memory, incoming, length, limit, idle).await
    }
}

async fn gather(
    buffers: &Buffers,
    memory: usize,
    incoming: &mut Incoming,
    length: Option<u64>,
    limit: u64,
    idle: Duration,
) -> Result<RequestBody, GatherError> {
    let mut gathered = None;
    let mut total: u64 = 0;
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
        total += data.len() as u64;
        if total > limit {
            return Err(GatherError::TooLarge);
        }
        let is_over = incoming.is_end_stream();
        if is_over && gathered.is_none() && data.len() <= SMALL.min(memory) {
            return Ok(RequestBody::Memory(data));
        }
        let gathered = gathered.get_or_insert_with(|| Gathered::new(buffers, memory, length));
        gathered.push(data).await?;
        if is_over {
            break;
        }
    }
    match gathered {
        None => Ok(RequestBody::Memory(Bytes::new())),
        Some(gathered) => gathered.finish().await,
    }
}

impl<'b> Gathered<'b> {
    fn new(buffers: &'b Buffers, memory: usize, length: Option<u64>) -> Self {
        let is_long = length.is_some_and(|length| length > memory as u64);
        Self {
            buffers,
            memory,
            length,
            kept: Vec::new(),
            share: buffers.memory(),
            spill: is_long.then(|| buffers.spill(Whose::Request)),
            spilled: 0,
        }
    }

    async fn push(&mut self, data: Bytes) -> Result<(), GatherError> {
        let most = if self.spill.is_some() {
            WRITE.min(self.memory)
        } else {
            self.memory
        };
        if self.kept.len() + data.len() <= most {
            if self.reserve(data.len(), most) {
                self.kept.extend_from_slice(&data);
                return Ok(());
            }
            if self.spill.is_none() {
                self.buffers.memory_was_full();
            }
        }
        self.write(data).await
    }

    /// Makes room for `more` bytes: twice of what there is, but never more than there can be.
    fn reserve(&mut self, more: usize, most: usize) -> bool {
        let needed = self.kept.len() + more;
        let capacity = self.kept.capacity();
        if needed <= capacity {
            return true;
        }
        let announced = self.length.and_then(|length| usize::try_from(length).ok());
        let most = announced.map_or(most, |announced| announced.min(most));
        let wanted = capacity.saturating_mul(2).min(most).max(needed);
        let grown = self.share.grow(wanted - capacity);
        if grown {
            self.kept.reserve_exact(wanted - self.kept.len());
        }
        grown
    }

    /// Writes what is kept, and `data` after it, to the temp file.
    async fn write(&mut self, data: Bytes) -> Result<(), GatherError> {
        let capacity = self.kept.capacity();
        let kept = Bytes::from(std::mem::take(&mut self.kept));
        let length = (kept.len() + data.len()) as u64;
        let buffers = self.buffers;
        let spill = self
            .spill
            .get_or_insert_with(|| buffers.spill(Whose::Request));
        let written = spill.write(self.spilled, vec![kept, data]).await;
        written.map_err(|error| {
            buffers.failed(&error);
            match error {
                SpillError::Full => GatherError::Full,
                SpillError::Disk(error) => GatherError::Disk(error),
            }
        })?;
        self.share.shrink(capacity);
        self.spilled += length;
        Ok(())
    }

    async fn finish(mut self) -> Result<RequestBody, GatherError> {
        if self.spill.is_some() && !self.kept.is_empty() {
            self.write(Bytes::new()).await?;
        }
        let file = self.spill.as_ref().and_then(Spill::written);
        Ok(match file {
            Some(file) => RequestBody::stored(file, self.spilled),
            None => RequestBody::Memory(self.share.keep(self.kept.into())),
        })
    }
}
