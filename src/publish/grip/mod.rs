//! Items in the way of GRIP: read, put in order, appended. Called by `internal` for its control endpoint.
//!
//! All or nothing, as for events: one bad item, and nothing of the batch is taken. What is taken is in the log, or waits a
//! moment for the item before it; the publisher is answered without waiting for that.

mod sequence;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use hyper::body::Incoming;

use super::{Publisher, gather};
use crate::domain::ChannelName;
use crate::tokens::Grant;
use crate::tokens::keys::Scope;
use crate::wire::grip::{BadItems, Item, read};
use crate::wire::problem::Problem;

pub(super) use sequence::Sequencer;

/// Why nothing of a batch was taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It cannot be read.
    #[error(transparent)]
    Bad(#[from] BadItems),
    /// As for events: too large, not in time, not allowed, too often.
    #[error("{}", .0.detail)]
    Refused(Problem),
}

impl Publisher {
    /// `POST /publish/`: a batch of items, within what the token or the key that was shown is good for.
    pub async fn items(
        &self,
        body: Incoming,
        grant: Option<&Grant>,
        scope: Option<&Scope>,
    ) -> Result<(), NotTaken> {
        let body = gather(body, self.0.rules.load().settings.max_body).await;
        self.take_items(&body.map_err(NotTaken::Refused)?, grant, scope)?;
        self.0.hub.caught_up().await;
        Ok(())
    }

    fn take_items(
        &self,
        body: &Bytes,
        grant: Option<&Grant>,
        scope: Option<&Scope>,
    ) -> Result<(), NotTaken> {
        let items = read(body)?;
        let foreign = |item: &&Item| scope.is_some_and(|scope| !scope.has(&item.channel));
        if let Some(item) = items.iter().find(foreign) {
            let detail = format!("this key may not publish to {}", item.channel);
            return Err(NotTaken::Refused(Problem::forbidden(detail)));
        }
        let forbidden = |item: &&Item| {
            grant.is_some_and(|grant| !grant.allows(&ChannelName::of_foreign(&item.channel)))
        };
        if let Some(item) = items.iter().find(forbidden) {
            let detail = format!("this token may not publish to {}", item.channel);
            return Err(NotTaken::Refused(Problem::forbidden(detail)));
        }
        self.within_rate(items.len(), grant)
            .map_err(NotTaken::Refused)?;
        self.0.items.take(items).map_err(|_| {
            let detail = "an item is larger than all of history".to_owned();
            NotTaken::Refused(Problem::too_large(detail))
        })
    }

    /// Takes the next item of each channel as it comes, whatever was published before it; and has all who were held on
    /// items ask Django anew. Only the channels that the key reaches, if one was shown.
    pub fn recover_items(&self, scope: Option<&Scope>) {
        self.0.items.forget_order(scope);
        let is_meant = |prefix: &str| scope.is_none_or(|scope| scope.has_all_of(prefix));
        self.0.hub.recover(is_meant);
    }
}
