//! Where log lines go and how they look: called once by `cli`, before anything is logged. And [`Seldom`], for lines that
//! anybody could cause without end.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::filter::LevelFilter;

use super::sync::lock;

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

/// Lets a line through at most once in a while.
#[derive(Debug)]
pub struct Seldom {
    pause: Duration,
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    /// At most one line in each `pause`.
    pub const fn every(pause: Duration) -> Self {
        Self {
            pause,
            last: Mutex::new(None),
        }
    }

    /// Whether a line may be written now; if so, the pause begins.
    pub fn now(&self) -> bool {
        let mut last = lock(&self.last);
        let may = last.is_none_or(|last| last.elapsed() >= self.pause);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_that_anybody_can_cause_is_written_once_in_a_while() {
        let seldom = Seldom::every(Duration::from_secs(60));
        assert!(seldom.now());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!seldom.now());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(seldom.now() && !seldom.now());
    }
}
