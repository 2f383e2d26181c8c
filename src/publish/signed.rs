//! Bodies that are signed (Standard Webhooks): whose they are is known only once all of them is there.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{Publisher, SIGNED_BODY_TIME, gather_within};
use crate::domain::ByteSize;
use crate::tokens::{Grant, Tokens};
use crate::wire::problem::Problem;
use crate::wire::webhook::{Signed, TOLERANCE_SECONDS};

impl Publisher {
    /// The body, whose it is, and until when the same bytes would be taken for good again. What can be refused without
    /// the body is refused first.
    pub(super) async fn signed(
        &self,
        signed: &Signed,
        tokens: &Tokens,
        body: Incoming,
        limit: ByteSize,
    ) -> Result<(Bytes, Grant, Instant), Problem> {
        timely(signed)?;
        let slot = self.0.gathering.take().ok_or_else(|| {
            Problem::too_many_requests("too many signed bodies are on their way".to_owned())
        })?;
        let body = gather_within(body, limit, SIGNED_BODY_TIME).await?;
        let grant = tokens.signed(signed, &body).ok_or_else(|| {
            Problem::unauthorized("the signature is of no secret that is known here".to_owned())
        })?;
        drop(slot);
        // Once more: the body may have taken its time, and what is late now is late for whoever comes after.
        let left = timely(signed)?;
        Ok((body, grant, Instant::now() + left))
    }
}

/// How long the signature is still good.
fn timely(signed: &Signed) -> Result<Duration, Problem> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    if !signed.is_timely(now) {
        let detail = "webhook-timestamp is more than five minutes from now";
        return Err(Problem::unauthorized(detail.to_owned()));
    }
    // The second that has begun counts whole.
    let end = signed.timestamp + TOLERANCE_SECONDS + 1;
    Ok(Duration::from_secs(end.saturating_sub(now)))
}
