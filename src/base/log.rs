//! Where log lines go and how they look. Called once by `cli`, before anything is logged; a reload may change the level.

use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, registry, reload};

/// The level of the log of this process, once it was started.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least level that is written. Default info.
    pub level: LevelFilter,
    /// Default text.
    pub format: Format,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
            format: Format::Text,
        }
    }
}

/// Sends the log of this process to standard error. A second call changes nothing.
pub fn start(settings: Settings) {
    let (level, handle) = reload::Layer::new(settings.level);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let log = registry().with(level);
    let started = match settings.format {
        Format::Text => log.with(lines.with_ansi(false)).try_init(),
        Format::Json => log.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_ok() {
        drop(LEVEL.set(handle));
    }
}

/// Writes what is of this level from now on. Without a log nothing changes.
pub fn set_level(level: LevelFilter) {
    if let Some(handle) = LEVEL.get() {
        // It fails only if there is no log any more.
        let _gone = handle.reload(level);
    }
}
