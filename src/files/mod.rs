//! Files below a root: found, opened and read, never outside of it and never at the cost of other clients. Floor 3.
//!
//! `proxy` opens a [`Name`] below a [`Root`] and reads what it is given as a body. Every way out of the root ends at the
//! kernel (`open`); tower-http's `ServeDir` was no base for this, for it follows links out of its folder and has no
//! entity tags.
//!
//! A thread of the runtime must not wait for a disk. Nearly always there is nothing to wait for: names and contents are
//! in memory. So everything is first tried where the request is, in a way that the kernel ends as soon as it would have
//! to wait (`RESOLVE_CACHED`, `RWF_NOWAIT`), and done again on a thread that may wait if it did. A cold disk or a slow
//! network therefore costs a thread, of which files have [`AT_ONCE`], and a file in memory costs three system calls.
//!
//! What is longer than one piece stays open until its client has it; of these there is a bound, too.

mod body;
mod name;
mod open;
mod settings;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use rustix::io::Errno;
use tokio::time::{Instant, timeout};

use crate::base::metrics::{CounterBy, Registry};
use crate::base::seldom::Seldom;
use crate::limits::Slots;
use crate::wire::accept_encoding::Coding;

pub use body::{FileBody, ReadError};
pub use name::{DotFiles, Name, is_segment};
use open::{Found, Regular, Way};
pub use settings::Settings;

/// How many threads may wait for a disk at the same time; the runtime has more of them, for others.
pub const AT_ONCE: usize = 64;

/// How long a request waits for a disk, the turn included.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a root is kept open before it is looked for again: a deployment may have put another folder in its place.
const ROOT_AGE: Duration = Duration::from_secs(1);

/// How often the log says what a wrong link or permission would say at each request.
const HINTS: Duration = Duration::from_secs(60);

/// What all roots share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Slots,
    /// Of files that are open for longer than one piece takes: a client of HTTP/2 could have many on one connection.
    open: Slots,
    full: Counter,
    waits: CounterBy,
    timeouts: Counter,
    hints: Seldom,
}

/// The folder of one route. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Root(Arc<RootInner>);

#[derive(Debug)]
struct RootInner {
    settings: Settings,
    files: Files,
    /// `None` until the first request.
    opened: ArcSwapOption<OpenRoot>,
}

#[derive(Debug)]
struct OpenRoot {
    folder: OwnedFd,
    since: Instant,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Entry {
    /// A file, in a coding that was asked for or as it is.
    File(Opened),
    /// A directory.
    Directory,
}

/// An open file.
#[derive(Debug)]
pub struct Opened {
    regular: Regular,
    files: Files,
    /// Which of the codings it has; `None`: it is the plain file.
    pub coding: Option<Coding>,
}

/// What was read.
#[derive(Debug)]
pub enum Content {
    /// All that was wanted.
    Whole(Bytes),
    /// The beginning; the rest is read as it is taken.
    Rest(Box<FileBody>),
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none of this name, or none that may be reached.
    #[error("there is no such file")]
    Missing,
    /// We may not read it.
    #[error("the file may not be read")]
    Forbidden,
    /// No descriptor is free for it.
    #[error("no descriptor is free for a file")]
    Descriptors,
    /// The disk, or the turn to wait for it, did not come, or another program has the file for itself.
    #[error("the disk did not answer in time")]
    Busy,
    /// The folder itself cannot be opened.
    #[error("the root {} cannot be opened", .root.display())]
    Root {
        /// As configured.
        root: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The disk failed.
    #[error("the file {name} cannot be read")]
    Disk {
        /// Below the root, quoted.
        name: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// Why nothing was opened this way.
#[derive(Clone, Copy)]
enum Unopened {
    Root(Errno),
    File(Errno),
}

/// The disk did not answer in time.
#[derive(Debug)]
struct TooSlow;

impl Files {
    /// No root yet. At most `most_open` files are open for clients that read them slowly.
    pub fn new(most_open: usize, registry: &Registry) -> Self {
        Self::with_slots(AT_ONCE, most_open, registry)
    }

    fn with_slots(at_once: usize, most_open: usize, registry: &Registry) -> Self {
        Self(Arc::new(Inner {
            slots: Slots::new(at_once),
            open: Slots::new(most_open),
            full: registry.counter(
                "files_full",
                "Files that were not sent because too many were open",
            ),
            waits: registry.counter_by(
                "file_disk_waits",
                "Times a file was not in memory, by what was done with it",
            ),
            timeouts: registry.counter(
                "file_disk_timeouts",
                "Times a disk did not answer in time, or too many waited for it",
            ),
            hints: Seldom::every(HINTS),
        }))
    }

    /// The folder of a route.
    pub fn root(&self, settings: Settings) -> Root {
        Root(Arc::new(RootInner {
            settings,
            files: self.clone(),
            opened: ArcSwapOption::empty(),
        }))
    }

    /// Does what may wait for a disk on a thread that may. What hangs there keeps its turn, though nobody waits for it
    /// any more.
    async fn wait<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TooSlow> {
        let inner = &self.0;
        inner.waits.get_or_create(&[("what", what)]).inc();
        let working = async {
            let slot = inner.slots.wait().await;
            let work = move || {
                let done = work();
                drop(slot);
                done
            };
            tokio::task::spawn_blocking(work).await
        };
        match timeout(PATIENCE, working).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends.
                Err(_) => Err(TooSlow),
            },
            Err(_) => {
                inner.timeouts.inc();
                Err(TooSlow)
            }
        }
    }
}

impl Root {
    /// What is served below it, and how.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Opens what `name` stands for; if it is a file, the first of `codings` that is beside it stands for it.
    pub async fn open(&self, name: &Name, codings: &[Coding]) -> Result<Entry, FileError> {
        let unopened = match self.look(name, codings, Way::Cached) {
            Err(Unopened::Root(Errno::WOULDBLOCK) | Unopened::File(Errno::WOULDBLOCK)) => {
                let (root, own) = (self.clone(), name.clone());
                let codings: Vec<_> = codings.to_vec();
                let looked = self
                    .0
                    .files
                    .wait("open", move || root.look(&own, &codings, Way::Disk))
                    .await;
                match looked.map_err(|TooSlow| FileError::Busy)? {
                    Ok(entry) => return Ok(entry),
                    Err(unopened) => unopened,
                }
            }
            Ok(entry) => return Ok(entry),
            Err(unopened) => unopened,
        };
        Err(self.explain(name, unopened))
    }

    fn look(&self, name: &Name, codings: &[Coding], way: Way) -> Result<Entry, Unopened> {
        let root = self.folder(way).map_err(Unopened::Root)?;
        let root = root.folder.as_fd();
        let plain = match open::below(root, name.as_str(), way).map_err(Unopened::File)? {
            Found::File(regular) => regular,
            Found::Directory => return Ok(Entry::Directory),
        };
        let entry = |regular, coding| {
            Ok(Entry::File(Opened {
                regular,
                files: self.0.files.clone(),
                coding,
            }))
        };
        for coding in codings {
            let beside = format!("{}.{}", name.as_str(), extension(*coding));
            match open::below(root, &beside, way) {
                Ok(Found::File(regular)) => return entry(regular, Some(*coding)),
                Err(error @ (Errno::MFILE | Errno::NFILE)) => {
                    return Err(Unopened::File(error));
                }
                Err(error @ Errno::WOULDBLOCK) if way == Way::Cached => {
                    return Err(Unopened::File(error));
                }
                // Whatever is wrong with it, the plain file is as good.
                Ok(Found::Directory) | Err(_) => {}
            }
        }
        entry(plain, None)
    }

    /// The folder, opened again if that was long ago.
    fn folder(&self, way: Way) -> Result<Arc<OpenRoot>, Errno> {
        if let Some(opened) = &*self.0.opened.load()
            && opened.since.elapsed() < ROOT_AGE
        {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(OpenRoot {
            folder: open::root(&self.0.settings.root, way)?,
            since: Instant::now(),
        });
        self.0.opened.store(Some(Arc::clone(&opened)));
        Ok(opened)
    }

    fn explain(&self, name: &Name, unopened: Unopened) -> FileError {
        let error = match unopened {
            Unopened::Root(error @ (Errno::MFILE | Errno::NFILE)) | Unopened::File(error) => error,
            Unopened::Root(error) => {
                return FileError::Root {
                    root: self.0.settings.root.clone(),
                    source: error.into(),
                };
            }
        };
        let hint = |message: &str| {
            if self.0.files.0.hints.now() {
                let root = self.0.settings.root.display();
                tracing::warn!(root = %root, file = %name, hint = message, "File is there but not served");
            }
        };
        match error {
            Errno::XDEV | Errno::LOOP => {
                hint("a link on the way to it is absolute or leads out of the root");
                FileError::Missing
            }
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO | Errno::NODEV => {
                FileError::Missing
            }
            Errno::ACCESS => {
                hint("its permissions keep the gateway from it");
                FileError::Forbidden
            }
            Errno::MFILE | Errno::NFILE => FileError::Descriptors,
            // Another program has it for itself and is asked to let go of it (a lease, as Samba and NFS have them), or
            // whatever is renamed leaves no moment for it.
            Errno::WOULDBLOCK => FileError::Busy,
            error => disk(name, error.into()),
        }
    }
}

impl Opened {
    /// The number of bytes.
    pub const fn length(&self) -> u64 {
        self.regular.length
    }

    /// When it was changed, in seconds since 1970; not in the future, for which a validator may not be from (RFC 9110,
    /// section 8.8.2.1).
    pub fn modified(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        u64::try_from(self.regular.modified.0).unwrap_or(0).min(now)
    }

    /// A strong entity tag with its quotes: time, size and coding. Not the inode, for several servers may have the same
    /// file.
    pub fn etag(&self) -> String {
        let (seconds, nanos) = self.regular.modified;
        let (dash, coding) = self
            .coding
            .map_or(("", ""), |coding| ("-", coding.as_str()));
        let length = self.regular.length;
        format!("\"{seconds:x}{nanos:08x}-{length:x}{dash}{coding}\"")
    }

    /// Reads these bytes of it: the first of them now, so that a broken disk is known before the answer begins.
    pub async fn read(self, name: &Name, part: Range<u64>) -> Result<Content, FileError> {
        let Self { regular, files, .. } = self;
        let mut body = FileBody::new(regular.file, files.clone(), name.to_string(), part);
        match body.begin().await {
            Ok(None) => {
                let Some(place) = files.0.open.take() else {
                    files.0.full.inc();
                    return Err(FileError::Descriptors);
                };
                body.keep(place);
                Ok(Content::Rest(Box::new(body)))
            }
            Ok(Some(whole)) => Ok(Content::Whole(whole)),
            Err(ReadError::Disk(source)) => Err(disk(name, source)),
            Err(ReadError::Truncated) => Err(disk(name, io::ErrorKind::UnexpectedEof.into())),
            Err(ReadError::TooSlow) => Err(FileError::Busy),
        }
    }
}

fn disk(name: &Name, source: io::Error) -> FileError {
    FileError::Disk {
        name: name.to_string(),
        source,
    }
}

/// What is appended to the name of a file for its codings.
const fn extension(coding: Coding) -> &'static str {
    match coding {
        Coding::Brotli => "br",
        Coding::Zstd => "zst",
        Coding::Gzip => "gz",
    }
}

#[cfg(test)]
mod tests;
