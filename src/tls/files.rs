//! The files of a certificate, read again while the gateway runs.
//!
//! `renewal` calls it. At the start `config` reads them itself, so that a mistake has its place. A file is at most 1 MiB.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Chain, Identity, InvalidChain, InvalidKey, Key, Mismatch, Validity};
use crate::domain::ByteSize;

/// Far more than any chain needs.
const LARGEST: ByteSize = ByteSize::mib(1);

/// Where a certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The file of the certificates.
    pub cert: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
}

/// How a file looked from outside: another one in its place, or one that was written to, looks different. Links are
/// followed, for some tools change only where a link points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How both files looked; `None` is one that cannot be looked at.
pub(super) type Stamps = [Option<Stamp>; 2];

/// Why the files have no certificate for us.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{} cannot be read", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    #[error("{} is larger than {LARGEST}", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is no certificate", path.display())]
    Chain {
        path: PathBuf,
        #[source]
        source: InvalidChain,
    },
    #[error("{} is no private key", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: InvalidKey,
    },
    #[error("{} and {} do not belong together", .0.cert.display(), .0.key.display())]
    Mismatch(Files, #[source] Mismatch),
    #[error("the certificate is good from {} to {} only", .0.not_before, .0.not_after)]
    NotToday(Validity),
}

impl Files {
    pub(super) async fn stamps(&self) -> Stamps {
        [stamp(&self.cert).await, stamp(&self.key).await]
    }

    pub(super) async fn read(&self) -> Result<Identity, Unreadable> {
        let (cert, key) = (text(&self.cert).await?, text(&self.key).await?);
        let chain = Chain::from_pem(&cert).map_err(|source| Unreadable::Chain {
            path: self.cert.clone(),
            source,
        })?;
        let key = Key::from_pem(&key).map_err(|source| Unreadable::Key {
            path: self.key.clone(),
            source,
        })?;
        Identity::new(chain, key).map_err(|source| Unreadable::Mismatch(self.clone(), source))
    }
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let found = tokio::fs::metadata(path).await.ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

async fn text(path: &Path) -> Result<String, Unreadable> {
    let io = |source| Unreadable::Io {
        path: path.to_owned(),
        source,
    };
    let found = tokio::fs::metadata(path).await.map_err(io)?;
    // A pipe would not be read to its end.
    if !found.is_file() {
        return Err(Unreadable::NoFile(path.to_owned()));
    }
    if found.len() > LARGEST.get() {
        return Err(Unreadable::TooLarge(path.to_owned()));
    }
    tokio::fs::read_to_string(path).await.map_err(io)
}
