//! `POST /v1/reload`: asks `app`, which is above, to read the configuration anew, and says what came of it.
//!
//! [`Reloads`] is held by whoever may ask (the endpoint, the signal), [`Requests`] by the one task that reloads: so there is
//! one reload at a time, and who comes meanwhile waits. Bound: one waits in the queue, the others on their connections,
//! until the task has an answer or the gateway ends.

use http::Response;
use tokio::sync::{mpsc, oneshot};

use super::body::Body;
use super::{Internal, good_for_all, respond};
use crate::tokens::Grant;
use crate::wire::problem::{BadFile, Problem};
use crate::wire::reload::{Mistake, Reloaded};

/// What came of a reload.
pub type Outcome = Result<Reloaded, NotReloaded>;

/// Why nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// The file could not be read.
    #[error("{file} cannot be read: {cause}")]
    Unreadable {
        /// The file, as it was named at the start.
        file: String,
        /// What the system said.
        cause: String,
    },
    /// The file is wrong.
    #[error("{file} has mistakes: {}", mistakes.len())]
    Mistaken {
        /// The file, as it was named at the start.
        file: String,
        /// All of them, at least one.
        mistakes: Vec<Mistake>,
    },
    /// The gateway ends.
    #[error("the gateway is about to end")]
    Stopping,
}

/// Asks for reloads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Request>);

/// Who asks, for the one who reloads.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Request>);

/// One who waits for what comes of it.
#[derive(Debug)]
pub struct Request(oneshot::Sender<Outcome>);

impl Reloads {
    /// Both ends.
    pub fn new() -> (Self, Requests) {
        let (tx, rx) = mpsc::channel(1);
        (Self(tx), Requests(rx))
    }

    /// Has the file read anew, after those who asked before.
    pub async fn ask(&self) -> Outcome {
        let (tx, rx) = oneshot::channel();
        let sent = self.0.send(Request(tx)).await;
        sent.map_err(|_| NotReloaded::Stopping)?;
        rx.await.unwrap_or(Err(NotReloaded::Stopping))
    }
}

impl Requests {
    /// The next; pending for ever if nobody can ask any more.
    pub async fn next(&mut self) -> Request {
        match self.0.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

impl Request {
    /// Tells what came of it, if anybody still waits.
    pub fn answer(self, outcome: Outcome) {
        drop(self.0.send(outcome));
    }
}

impl Internal {
    pub(super) async fn reload(&self, grant: Option<&Grant>) -> Result<Response<Body>, Problem> {
        good_for_all(grant)?;
        let outcome = self.reloads.ask().await;
        outcome
            .map(|reloaded| respond::json(reloaded.to_json()))
            .map_err(Problem::from)
    }
}

impl From<NotReloaded> for Problem {
    fn from(not: NotReloaded) -> Self {
        let detail = not.to_string();
        let (name, mistakes) = match not {
            NotReloaded::Unreadable { file, .. } => (file, Vec::new()),
            NotReloaded::Mistaken { file, mistakes } => (file, mistakes),
            NotReloaded::Stopping => {
                return Self {
                    detail,
                    ..Self::stopping()
                };
            }
        };
        Self {
            file: Some(Box::new(BadFile { name, mistakes })),
            ..Self::bad_configuration(detail)
        }
    }
}
