//! Where changes of presence are told, and how.

use std::time::Duration;

use http::HeaderName;
use http::uri::PathAndQuery;

use crate::base::live::Live;
use crate::wire::webhook::Secret;

/// `sse.notify`, the upstream aside, with the keys that go with it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The path of Django's view.
    pub path: PathAndQuery,
    /// `notify_secret`: signs every request.
    pub secret: Secret,
    /// `leave_after`: how long somebody who left may take to come back unnoticed. Default 10 s.
    pub leave_after: Duration,
    /// As whom.
    pub sender: Live<Sender>,
}

/// What of the requests is the site's own, so that a reload may change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The `Host` of the requests: one of the site's, which Django lets in.
    pub host: String,
    /// The header with the id of each request.
    pub request_id: HeaderName,
}
