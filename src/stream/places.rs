//! What a stream occupies: a slot of the gateway, one of its client's places, one of its user's, one among a
//! recording's viewers.

use std::net::IpAddr;

use super::{Inner, Settings};
use crate::domain::UserId;
use crate::limits::{Present, Share, Slot};
use crate::wire::ask::Terms;

/// All guards.
#[derive(Debug)]
pub(super) struct Places {
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) slot: Slot,
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) client: Option<Share<IpAddr>>,
    pub(super) user: Option<Share<UserId>>,
    /// Set after the others, and held for its drop as they are.
    pub(super) viewer: Option<Present>,
}

/// This user has as many streams as it may.
pub(super) struct TooMany;

impl Inner {
    /// The place of the grant's user among its streams; none if there is no user or no limit.
    pub(super) fn user_share(
        &self,
        settings: &Settings,
        terms: &Terms,
    ) -> Result<Option<Share<UserId>>, TooMany> {
        let limited = terms.user.clone().zip(settings.per_user);
        limited
            .map(|(user, most)| self.users.take(user, most.get()).ok_or(TooMany))
            .transpose()
    }
}
