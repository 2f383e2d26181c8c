//! What a route says about recording: `proxy = { record = { … } }`.

use std::time::Duration;

/// What a viewer who comes late is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The recording from its start.
    All,
    /// What comes from now on.
    New,
}

/// Who shares a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Who has the same credentials: one person.
    Credentials,
    /// Who has the same session cookie; without one, the same credentials.
    User,
    /// Everybody to whom the view answers with a stream as well: each is asked for.
    All,
}

/// `record` of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Default `all`.
    pub replay: Replay,
    /// How long a recording goes on without viewers, and stays after its end. Default 60 s.
    pub linger: Duration,
    /// Default `credentials`.
    pub per: Per,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replay: Replay::All,
            linger: Duration::from_secs(60),
            per: Per::Credentials,
        }
    }
}
