//! The room for bodies that wait for somebody slow: memory and temp files, counted over all requests.
//!
//! `gather` takes of it for what clients send, `ahead` for what Django answers. What was taken is a guard, given back when
//! it is dropped. Bounds: `limits.buffers_memory` and `limits.buffers_files`. A request that finds no room is refused while
//! an answer only slows down, so answers have at most half of the files, and one of them at most an eighth. What is beyond
//! is said by whoever asked, and counted here. Of the files that are open at once answers have half as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::runtime::Handle;

use crate::base::metrics::{CounterBy, Registry};
use crate::base::seldom::Seldom;
use crate::base::sync::lock;
use crate::domain::ByteSize;
use crate::limits::{Slot, Slots};

/// How often the log says that temp files fail.
const TOLD: Duration = Duration::from_secs(60);

/// How much room there is, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// For all bodies in memory. Default 256 MiB.
    pub memory: ByteSize,
    /// For all bodies in temp files. Default 4 GiB.
    pub files: ByteSize,
    /// Temp files that are open at once. Default 256.
    pub most_open: usize,
    /// Where they are made. Default unset: the system's place, `TMPDIR` or `/tmp`.
    pub directory: Option<PathBuf>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(256),
            files: ByteSize::mib(4096),
            most_open: 256,
            directory: None,
        }
    }
}

/// The room for all bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Buffers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: Arc<Part>,
    /// For all files, and what of it answers may have.
    files: Arc<Part>,
    for_answers: Arc<Part>,
    /// For all files that are open, and what of it answers may have.
    open: Slots,
    open_for_answers: Slots,
    directory: PathBuf,
    spilled: CounterBy,
    full: CounterBy,
    failures: Counter,
    told: Seldom,
    #[cfg(test)]
    opened: fn() -> io::Result<Option<File>>,
}

/// A number of bytes of which shares are taken.
#[derive(Debug)]
struct Part {
    used: AtomicU64,
    most: u64,
    gauge: Gauge,
    /// What this is a part of.
    of: Option<Arc<Self>>,
}

/// Whose bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Request,
    Answer,
}

/// Taken bytes, a guard.
#[derive(Debug)]
pub(super) struct Share {
    part: Arc<Part>,
    bytes: u64,
    /// How many of them were taken though there was no room.
    forced: u64,
}

/// Why bytes could not be written to a temp file.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpillError {
    /// There is no room for them.
    #[error("the temp files are full")]
    Full,
    /// The disk does not take them.
    #[error("the temp file could not be written")]
    Disk(#[source] io::Error),
}

impl Buffers {
    /// All of it free.
    pub fn new(room: &Room, registry: &Registry) -> Self {
        let part = |most, gauge, of| {
            Arc::new(Part {
                used: AtomicU64::new(0),
                most,
                gauge,
                of,
            })
        };
        let (memory, files) = (room.memory.get(), room.files.get());
        let in_memory = registry.gauge("buffers_memory_bytes", "Bodies that wait in memory");
        let in_files = registry.gauge("buffers_files_bytes", "Bodies that wait in temp files");
        let files_part = part(files, in_files, None);
        Self(Arc::new(Inner {
            memory: part(memory, in_memory, None),
            for_answers: part(files / 2, Gauge::default(), Some(Arc::clone(&files_part))),
            files: files_part,
            open: Slots::new(room.most_open),
            open_for_answers: Slots::new(room.most_open / 2),
            directory: room.directory.clone().unwrap_or_else(std::env::temp_dir),
            spilled: registry.counter_by(
                "buffers_spilled",
                "Bodies that went to a temp file, by whose they are",
            ),
            full: registry.counter_by(
                "buffers_full",
                "Bodies that found memory or the temp files full, by which",
            ),
            failures: registry.counter(
                "buffers_failures",
                "Bodies whose temp file could not be made, written or read",
            ),
            told: Seldom::every(TOLD),
            #[cfg(test)]
            opened: || Ok(None),
        }))
    }

    /// The same with files that `opened` gives, unless it gives none.
    #[cfg(test)]
    pub(super) fn with_files(room: &Room, opened: fn() -> io::Result<Option<File>>) -> Self {
        let mut inner = Arc::into_inner(Self::new(room, &Registry::default()).0).unwrap();
        inner.opened = opened;
        Self(Arc::new(inner))
    }

    /// How much is taken: memory, files.
    #[cfg(test)]
    pub(super) fn used(&self) -> (u64, u64) {
        let used = |part: &Part| part.used.load(Ordering::Relaxed);
        (used(&self.0.memory), used(&self.0.files))
    }

    /// A share of the memory; nothing yet.
    pub(super) fn memory(&self) -> Share {
        Share::of(&self.0.memory)
    }

    /// A temp file that is made when something is written to it.
    pub(super) fn spill(&self, whose: Whose) -> Spill {
        Spill {
            buffers: self.clone(),
            whose,
            share: Some(match whose {
                Whose::Request => Share::of(&self.0.files),
                Whose::Answer => Share::of(&self.0.for_answers),
            }),
            file: None,
        }
    }

    /// Counts a body that found the memory full.
    pub(super) fn memory_was_full(&self) {
        self.0.full.get_or_create(&[("room", "memory")]).inc();
    }

    /// Counts a body that found no room in the temp files, or whose file failed; the latter is told.
    pub(super) fn failed(&self, error: &SpillError) {
        match error {
            SpillError::Full => {
                self.0.full.get_or_create(&[("room", "files")]).inc();
            }
            SpillError::Disk(error) => self.disk_failed(error),
        }
    }

    pub(super) fn disk_failed(&self, error: &io::Error) {
        self.0.failures.inc();
        if self.0.told.now() {
            tracing::error!(
                error = error as &dyn std::error::Error,
                directory = %self.0.directory.display(),
                "Temp files for bodies fail"
            );
        }
    }

    fn open(&self) -> io::Result<File> {
        #[cfg(test)]
        if let Some(file) = (self.0.opened)()? {
            return Ok(file);
        }
        tempfile::tempfile_in(&self.0.directory)
    }
}

impl Part {
    fn take(&self, bytes: u64) -> bool {
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= self.most)
            });
        if taken.is_err() {
            return false;
        }
        if let Some(of) = &self.of
            && !of.take(bytes)
        {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.gauge.inc_by(signed(bytes));
        true
    }

    fn force(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.gauge.inc_by(signed(bytes));
        if let Some(of) = &self.of {
            of.force(bytes);
        }
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.gauge.dec_by(signed(bytes));
        if let Some(of) = &self.of {
            of.give_back(bytes);
        }
    }
}

/// What a gauge counts in.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Share {
    fn of(part: &Arc<Part>) -> Self {
        Self {
            part: Arc::clone(part),
            bytes: 0,
            forced: 0,
        }
    }

    /// Takes so many more, if there is room.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let grown = self.part.take(by as u64);
        if grown {
            self.bytes += by as u64;
        }
        grown
    }

    /// Takes so many more in any case.
    pub(super) fn force(&mut self, by: usize) {
        self.part.force(by as u64);
        self.bytes += by as u64;
        self.forced += by as u64;
    }

    /// Gives some back, first what was taken without room.
    pub(super) fn shrink(&mut self, by: usize) {
        let by = (by as u64).min(self.bytes);
        self.part.give_back(by);
        self.bytes -= by;
        self.forced = self.forced.saturating_sub(by);
    }

    /// Whether there is more than there was room for.
    pub(super) const fn is_forced(&self) -> bool {
        self.forced > 0
    }

    /// `bytes`, which give the share back when nobody has them any more.
    pub(super) fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept {
            bytes,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.part.give_back(self.bytes);
        }
    }
}

/// Bytes with their share.
struct Kept {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body on its way to a temp file.
#[derive(Debug)]
pub(super) struct Spill {
    buffers: Buffers,
    whose: Whose,
    /// `None` once the file has it.
    share: Option<Share>,
    file: Option<Arc<TempFile>>,
}

/// A temp file without a name. The last to drop it gives its room back.
#[derive(Debug)]
pub(super) struct TempFile(Option<Opened>);

#[derive(Debug)]
struct Opened {
    file: File,
    /// As many bytes as the file ever was long.
    share: Mutex<Share>,
    _slots: (Option<Slot>, Slot),
    buffers: Buffers,
}

impl Spill {
    /// Writes `pieces` at `at`, which is at most the end of what was written before, off the event loop. If that fails,
    /// what was written before is there still.
    pub(super) async fn write(&mut self, at: u64, pieces: Vec<Bytes>) -> Result<(), SpillError> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let end = at.saturating_add(length as u64);
        let all = self.buffers.0.files.most;
        // One answer must not have the room of all.
        let most = match self.whose {
            Whose::Request => all,
            Whose::Answer => all / 8,
        };
        if end > most {
            return Err(SpillError::Full);
        }
        let file = self.file().await?;
        let opened = file.opened();
        {
            let mut share = lock(&opened.share);
            let more = end.saturating_sub(share.bytes);
            if !share.grow(usize::try_from(more).unwrap_or(usize::MAX)) {
                return Err(SpillError::Full);
            }
        }
        let write = move || {
            let mut at = at;
            for piece in pieces {
                file.opened().file.write_all_at(&piece, at)?;
                at += piece.len() as u64;
            }
            Ok(())
        };
        off_the_loop(write).await.map_err(SpillError::Disk)
    }

    /// The file; made if there is none yet.
    async fn file(&mut self) -> Result<Arc<TempFile>, SpillError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let slots = self.slots().ok_or(SpillError::Full)?;
        let buffers = self.buffers.clone();
        let file = off_the_loop(move || buffers.open())
            .await
            .map_err(SpillError::Disk)?;
        let share = self.share.take().ok_or(SpillError::Full)?;
        let file = Arc::new(TempFile(Some(Opened {
            file,
            share: share.into(),
            _slots: slots,
            buffers: self.buffers.clone(),
        })));
        self.file = Some(Arc::clone(&file));
        let body = match self.whose {
            Whose::Request => "request",
            Whose::Answer => "answer",
        };
        self.buffers
            .0
            .spilled
            .get_or_create(&[("body", body)])
            .inc();
        Ok(file)
    }

    /// A place for the file, of an answer's also among those of answers.
    fn slots(&self) -> Option<(Option<Slot>, Slot)> {
        let Inner {
            open,
            open_for_answers,
            ..
        } = &*self.buffers.0;
        let for_answers = match self.whose {
            Whose::Request => None,
            Whose::Answer => Some(open_for_answers.take()?),
        };
        Some((for_answers, open.take()?))
    }

    /// The file that was written; `None` if nothing was.
    pub(super) fn written(&self) -> Option<Arc<TempFile>> {
        self.file.clone()
    }
}

impl TempFile {
    fn opened(&self) -> &Opened {
        self.0.as_ref().expect("it is taken out only by the drop")
    }

    /// Reads exactly so many bytes; blocks.
    pub(super) fn read(&self, at: u64, length: usize) -> io::Result<Bytes> {
        let opened = self.opened();
        let mut buffer = vec![0; length];
        let read = opened.file.read_exact_at(&mut buffer, at);
        read.inspect_err(|error| opened.buffers.disk_failed(error))?;
        Ok(buffer.into())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // The disk gives the blocks of a large file back slowly. At the very end there is no runtime any more.
        if let Some(opened) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn_blocking(move || drop(opened)));
        }
    }
}

async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|done| done)
}
