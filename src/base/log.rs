//! Where log lines go and how they look. Called once by `cli`, before anything is logged.

use tracing_subscriber::filter::LevelFilter;

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
    let lines = tracing_subscriber::fmt()
        .with_max_level(settings.level)
        .with_writer(std::io::stderr);
    let started = match settings.format {
        Format::Text => lines.with_ansi(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    drop(started);
}
