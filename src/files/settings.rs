//! What a route of kind `static` serves, and how.

use std::path::PathBuf;
use std::time::Duration;

use super::DotFiles;
use crate::wire::media_type::MediaRange;

/// `static` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder that no answer leaves.
    pub root: PathBuf,
    /// Whether `.br`, `.zst` and `.gz` beside a file stand for it. Default no.
    pub precompressed: bool,
    /// For how long a file with a hashed name is kept without asking again. Unset: as any other file.
    pub hashed: Option<Duration>,
    /// For how long other files are kept without asking again. Default zero: asked for each time.
    pub max_age: Duration,
    /// The file that stands for its directory, one segment. Unset: a directory is nothing.
    pub index: Option<Box<str>>,
    /// The types a browser may show; all others are downloads. Unset: it may show all.
    pub inline: Option<Vec<MediaRange>>,
    /// Default hidden.
    pub dot_files: DotFiles,
}

impl Settings {
    /// The files below `root`, with every default.
    pub const fn new(root: PathBuf) -> Self {
        Self {
            root,
            precompressed: false,
            hashed: None,
            max_age: Duration::ZERO,
            index: None,
            inline: None,
            dot_files: DotFiles::Hidden,
        }
    }
}
