//! Maintenance: while it lasts, routes that lead to Django are not answered by it.
//!
//! `Proxy::admit` asks for each request of such a route, and `Proxy::hold` before it sends one again. Whether there is any says
//! `upstream::Switch`.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Method, Response};

use super::finish::Page;
use super::respond::{self, Refusal};
use crate::base::random;
use crate::domain::RetryMs;
use crate::stream::Body;
use crate::upstream::Switch;
use crate::wire::headers;

/// `errors.maintenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceSettings {
    /// The file whose being there is the switch.
    pub when_file: PathBuf,
    /// What a browser is shown. Unset: that of 503 in `errors.pages`, or our own text.
    pub page: Option<Page>,
    /// When clients are to come back. Default 60 s.
    pub retry_after: Duration,
}

/// Maintenance, if there is any.
#[derive(Debug)]
pub struct Maintenance {
    pub(super) settings: MaintenanceSettings,
    switch: Switch,
}

impl Maintenance {
    /// As `switch` says, which goes by the file of these settings.
    pub const fn new(settings: MaintenanceSettings, switch: Switch) -> Self {
        Self { settings, switch }
    }

    /// Whether there is maintenance now.
    pub(super) async fn is_on(&self) -> bool {
        self.switch.is_on().await
    }

    /// What a request gets meanwhile. An `EventSource` that is refused never comes back, so it is sent away for a while.
    pub(super) fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        let retry_after = self.settings.retry_after;
        if *method == Method::GET && headers::accepts_event_stream(headers) {
            let pause = random::jittered(retry_after);
            let pause = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX);
            return Ok(respond::come_back(RetryMs(pause)));
        }
        Err(Refusal::Maintenance(retry_after))
    }
}
