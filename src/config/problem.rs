//! Mistakes in a configuration file, each with its place.

use std::path::PathBuf;

/// One mistake. Its message quotes neither a secret nor a variable of the environment.
pub use crate::wire::reload::Mistake as Problem;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file was read and is wrong.
    #[error("{} has mistakes: {}", path.display(), problems.len())]
    Invalid {
        /// The file, as it was named.
        path: PathBuf,
        /// All mistakes in the order of their places; at least one.
        problems: Vec<Problem>,
    },
}

/// The one of `known` that `written` was probably meant to be.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_lowercase();
    let most = if written.len() <= 3 {
        1
    } else {
        2.max(written.len() / 4)
    };
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&written, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The hint for a misspelt name: the nearest one, or all there are.
pub(super) fn name_hint(written: &str, known: &[&str], all: &str) -> Option<String> {
    match nearest(written, known.iter().copied()) {
        Some(name) => Some(format!("did you mean {name:?}?")),
        None if known.is_empty() => None,
        None => Some(format!("{all}: {}", known.join(", "))),
    }
}
