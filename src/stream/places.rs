//! What a stream occupies: a slot of the gateway, one of its client's places, one of its user's, one among a
//! recording's viewers.

use std::net::IpAddr;

use super::{Inner, Settings};
use crate::domain::UserId;
use crate::limits::{Present, Share, Slot};
use crate::wire::ask::Terms;

/// All guards. Those that many streams do not have stand apart, for there are many streams.
#[derive(Debug)]
pub struct Places {
    #[expect(dead_code, reason = "held for its drop")]
    slot: Slot,
    #[expect(dead_code, reason = "held for its drop")]
    client: Option<Box<Share<IpAddr>>>,
    user: Option<Box<Share<UserId>>>,
    /// Set after the others, and held for its drop as they are.
    viewer: Option<Present>,
}

/// This user has as many streams as it may.
pub(super) struct TooMany;

impl Places {
    pub(super) fn new(slot: Slot, client: Option<Share<IpAddr>>) -> Self {
        Self {
            slot,
            client: client.map(Box::new),
            user: None,
            viewer: None,
        }
    }

    /// Takes a place of the user that `terms` name, in place of the one it had; none if there is no user or no limit.
    pub(super) fn take_users(
        &mut self,
        streams: &Inner,
        settings: &Settings,
        terms: &Terms,
    ) -> Result<(), TooMany> {
        // The old one goes first: the same user keeps its place.
        self.user = None;
        if let Some((user, most)) = terms.user.clone().zip(settings.per_user) {
            let share = streams.users.take(user, most.get()).ok_or(TooMany)?;
            self.user = Some(Box::new(share));
        }
        Ok(())
    }

    pub(super) fn view(&mut self, viewer: Present) {
        self.viewer = Some(viewer);
    }
}
