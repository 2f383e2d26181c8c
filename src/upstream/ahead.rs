//! Reads an answer ahead of its client, as fast as the server sends it, so that a slow reader holds no worker.
//!
//! A task for each answer that was not there at once, the *pump*, is owned by the upstream and gone with the client: it
//! reads, and what the client has not taken waits in memory up to `buffer_response`, then in a temp file. Nothing of this
//! for event streams, for answers that say `X-Accel-Buffering: no`, and for those that are there at once.
//!
//! Invariants: the client is given the bytes in their order, first what waits in `front`, then what is in the file, then
//! what waits in `back`; an answer that breaks off does so after all that was read of it; the connection is free once the
//! end was read, whoever waits for what. Where nothing can be kept any more (memory and files full, the disk fails), the
//! pump keeps one piece and reads on when the client has taken as much: as without it. So nothing breaks off for want of
//! room. Bounds: those of `buffers`; for each answer also what is collected for its file, [`WRITE`], and one piece beyond
//! all bounds, [`super::answer::MOST_ROOM`].

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::Upstream;
use super::answer::AnswerBody;
use super::body::READ;
use super::buffers::{Buffers, Share, Spill, SpillError, TempFile, Whose};
use super::error::AnswerError;
use crate::base::sync::lock;
use crate::wire::headers;

/// How much is collected behind the file before it is written there.
const WRITE: usize = 64 << 10;
/// Shorter pieces are copied together: each keeps alive all the room that it was read into, which may be
/// [`MOST_ROOM`](super::answer::MOST_ROOM), and is counted by its length.
const SHORT: usize = 64 << 10;

/// The client's side of an answer that is read ahead. Dropped, it ends the pump.
#[derive(Debug)]
pub(super) struct Ahead {
    shared: Arc<Shared>,
    /// How much the client has not got yet; `None`: nobody knows.
    left: Option<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Whether whoever reads has been told to wait since data was given: see [`super::answer`].
    has_waited: bool,
    _pump: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told when the client has taken something.
    taken: Notify,
}

#[derive(Debug)]
struct State {
    front: Pieces,
    /// What of the file is not taken yet.
    from: u64,
    to: u64,
    /// Whether the pump writes what was in `back`.
    writing: bool,
    file: Option<Arc<TempFile>>,
    back: Pieces,
    /// For what is in `front` and `back`.
    share: Share,
    end: Option<Result<(), AnswerError>>,
    reader: Option<Waker>,
}

/// Bytes in pieces.
#[derive(Debug, Default)]
struct Pieces {
    long: VecDeque<Bytes>,
    /// Short pieces that came after those.
    short: BytesMut,
    length: usize,
}

/// The server's side.
struct Pump {
    shared: Arc<Shared>,
    buffers: Buffers,
    /// How much may wait in memory.
    memory: usize,
    spill: Spill,
    has_failed: bool,
    /// What was counted already.
    memory_was_full: bool,
    files_were_full: bool,
}

impl Upstream {
    /// An answer that is on its way to a client: what is not there of it will be read without him.
    pub fn read_ahead(&self, answer: Response<AnswerBody>) -> Response<AnswerBody> {
        let Some(memory) = self.settings().buffer_response else {
            return answer;
        };
        if answer.body().is_whole()
            || answer.status() == StatusCode::SWITCHING_PROTOCOLS
            || headers::is_event_stream(answer.headers())
            || says_no(answer.headers())
        {
            return answer;
        }
        answer.map(|body| {
            let mut body = body.look_again();
            if body.is_whole() {
                return body;
            }
            let ready = body.take_ready();
            let memory = memory.as_len();
            AnswerBody::ahead(ready, Ahead::start(body, memory, self))
        })
    }
}

/// Whether Django wants its answer passed on as it comes.
fn says_no(headers: &HeaderMap) -> bool {
    let value = headers.get("x-accel-buffering");
    value.is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"no"))
}

impl Ahead {
    fn start(unread: AnswerBody, memory: usize, upstream: &Upstream) -> Self {
        let buffers = upstream.buffers();
        let left = unread.size_hint().exact();
        let shared = Arc::new(Shared::new(buffers));
        let pump = Pump::new(&shared, memory, buffers);
        let task = upstream.0.open.spawn(pump.run(unread));
        Self::new(shared, left, task)
    }

    fn new(shared: Arc<Shared>, left: Option<u64>, pump: JoinHandle<()>) -> Self {
        Self {
            shared,
            left,
            reading: None,
            has_waited: false,
            _pump: AbortOnDropHandle::new(pump),
        }
    }

    /// What the client is given next; an error only after a wait.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, AnswerError>>> {
        let next = self.poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(data))) => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                self.has_waited = false;
            }
            Poll::Ready(Some(Err(_)) | None) => {}
            Poll::Pending => self.has_waited = true,
        }
        next
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                let read = read.map_err(io::Error::other).and_then(|read| read);
                return Poll::Ready(Some(read.map_err(AnswerError::Disk).inspect(|data| {
                    lock(&self.shared.state).from += data.len() as u64;
                    self.shared.taken.notify_one();
                })));
            }
            let mut state = lock(&self.shared.state);
            if let Some(piece) = state.take() {
                drop(state);
                self.shared.taken.notify_one();
                return Poll::Ready(Some(Ok(piece)));
            }
            if let Some((file, at, length)) = state.stored() {
                drop(state);
                let read = move || file.read(at, length);
                self.reading = Some(tokio::task::spawn_blocking(read));
                continue;
            }
            match &state.end {
                Some(Err(_)) if !self.has_waited => cx.waker().wake_by_ref(),
                Some(_) => {
                    return Poll::Ready(match state.end.replace(Ok(())) {
                        Some(Err(error)) => Some(Err(error)),
                        Some(Ok(())) | None => None,
                    });
                }
                None => state.wait(cx),
            }
            return Poll::Pending;
        }
    }

    pub(super) fn is_end(&self) -> bool {
        if let Some(left) = self.left {
            return left == 0;
        }
        let state = lock(&self.shared.state);
        matches!(state.end, Some(Ok(()))) && state.is_empty()
    }

    pub(super) const fn left(&self) -> Option<u64> {
        self.left
    }
}

impl Shared {
    fn new(buffers: &Buffers) -> Self {
        Self {
            state: Mutex::new(State {
                front: Pieces::default(),
                from: 0,
                to: 0,
                writing: false,
                file: None,
                back: Pieces::default(),
                share: buffers.memory(),
                end: None,
                reader: None,
            }),
            taken: Notify::new(),
        }
    }

    /// Changes the state, then wakes the client.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let done = change(&mut state);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        done
    }
}

impl State {
    /// The next piece that is in memory.
    fn take(&mut self) -> Option<Bytes> {
        let piece = match self.front.take() {
            None if self.from == self.to && !self.writing => self.back.take(),
            piece => piece,
        }?;
        self.share.shrink(piece.len());
        Some(piece)
    }

    /// Where in the file the next bytes are, once those before are taken.
    fn stored(&self) -> Option<(Arc<TempFile>, u64, usize)> {
        let left = usize::try_from(self.to - self.from)
            .unwrap_or(READ)
            .min(READ);
        let file = self.file.as_ref().filter(|_| left > 0)?;
        Some((Arc::clone(file), self.from, left))
    }

    fn is_empty(&self) -> bool {
        self.front.length == 0 && self.from == self.to && self.back.length == 0
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            None => self.reader = Some(cx.waker().clone()),
        }
    }

    /// Where the next bytes wait in memory, and how many may wait there.
    fn last(&mut self, memory: usize) -> (&mut Pieces, usize) {
        if self.from < self.to {
            return (&mut self.back, WRITE.min(memory));
        }
        // Nothing is between the two any more.
        self.front.append(&mut self.back);
        (&mut self.front, memory)
    }
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < SHORT {
            self.short.extend_from_slice(&piece);
            return;
        }
        if !self.short.is_empty() {
            self.long.push_back(self.short.split().freeze());
        }
        self.long.push_back(piece);
    }

    fn take(&mut self) -> Option<Bytes> {
        let piece = match self.long.pop_front() {
            Some(piece) => piece,
            None if self.short.is_empty() => return None,
            // Nothing is kept of what a client that keeps up leaves empty.
            None => std::mem::take(&mut self.short).freeze(),
        };
        self.length -= piece.len();
        Some(piece)
    }

    fn append(&mut self, other: &mut Self) {
        while let Some(piece) = other.take() {
            self.push(piece);
        }
    }

    fn all(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.take()).collect()
    }
}

impl Pump {
    fn new(shared: &Arc<Shared>, memory: usize, buffers: &Buffers) -> Self {
        Self {
            shared: Arc::clone(shared),
            memory,
            spill: buffers.spill(Whose::Answer),
            buffers: buffers.clone(),
            has_failed: false,
            memory_was_full: false,
            files_were_full: false,
        }
    }

    async fn run(mut self, mut unread: AnswerBody) {
        let end = loop {
            match unread.frame().await {
                Some(Ok(frame)) => self.put(frame.into_data().unwrap_or_default()).await,
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        self.shared.change(|state| state.end = Some(end));
    }

    /// Keeps `data` for the client, and returns when more may be read.
    async fn put(&mut self, data: Bytes) {
        let Some(data) = self.remember(data) else {
            return;
        };
        let Some(data) = self.store(data).await else {
            return;
        };
        self.shared.change(|state| {
            state.share.force(data.len());
            let memory = self.memory;
            state.last(memory).0.push(data);
        });
        while lock(&self.shared.state).share.is_forced() {
            self.shared.taken.notified().await;
        }
    }

    /// Keeps `data` in memory, or gives it back.
    fn remember(&mut self, data: Bytes) -> Option<Bytes> {
        let memory = self.memory;
        let (left, was_full) = self.shared.change(|state| {
            let (pieces, most) = state.last(memory);
            if pieces.length + data.len() > most {
                return (Some(data), false);
            }
            if !state.share.grow(data.len()) {
                return (Some(data), true);
            }
            state.last(memory).0.push(data);
            (None, false)
        });
        if was_full && !std::mem::replace(&mut self.memory_was_full, true) {
            self.buffers.memory_was_full();
        }
        left
    }

    /// Writes what waits behind the file, and `data` after it, to the file; or gives `data` back.
    async fn store(&mut self, data: Bytes) -> Option<Bytes> {
        if self.has_failed {
            return Some(data);
        }
        let (mut pieces, at) = self.shared.change(|state| {
            state.writing = true;
            if state.from == state.to {
                // The file was read to its end: it is used anew from its beginning.
                (state.from, state.to) = (0, 0);
            }
            (state.back.all(), state.to)
        });
        let behind: usize = pieces.iter().map(Bytes::len).sum();
        let all = behind + data.len();
        pieces.push(data.clone());
        let written = self.spill.write(at, pieces.clone()).await;
        pieces.pop();
        let file = self.spill.written();
        let failed = self.shared.change(|state| {
            state.writing = false;
            match written {
                Ok(()) => {
                    state.share.shrink(behind);
                    state.file = file;
                    state.to = at + all as u64;
                    None
                }
                Err(error) => {
                    for piece in pieces {
                        state.back.push(piece);
                    }
                    Some(error)
                }
            }
        });
        let error = failed?;
        // What a disk has refused once is not tried again for this answer.
        self.has_failed = matches!(error, SpillError::Disk(_));
        if self.has_failed || !std::mem::replace(&mut self.files_were_full, true) {
            self.buffers.failed(&error);
        }
        Some(data)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // A pump that is dropped in the midst of its work leaves nobody waiting.
        self.shared.change(|state| {
            let broken = || Err(AnswerError::Broken(io::ErrorKind::UnexpectedEof.into()));
            state.writing = false;
            state.end.get_or_insert_with(broken);
        });
    }
}
