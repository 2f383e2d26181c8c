//! The filters that decide whether an item reaches a held request.
//!
//! Called for each item and request, before anything is sent. They count for every action: an item that closes a stream may
//! be dropped too. What was dropped still moves the place of the request, which is the caller's to do.

use super::channel::{Filter, Filters};
use super::stored::Stored;

/// The request's meta that names its user.
const USER: &str = "user";

/// Whether all filters let the item pass. `meta` looks up what `Grip-Set-Meta` said of the request, `on` whether the request
/// is on a channel.
pub fn delivers<'a>(
    filters: &Filters,
    meta: impl Fn(&str) -> Option<&'a str>,
    on: impl Fn(&str) -> bool,
    item: &Stored<'_>,
) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::SkipSelf => match (meta(USER), item.meta("sender")) {
            (Some(user), Some(sender)) => user != sender,
            _ => true,
        },
        Filter::SkipUsers => match (meta(USER), item.meta("skip_users")) {
            (Some(user), Some(skipped)) => skipped.split(',').all(|name| name.trim() != user),
            _ => true,
        },
        Filter::RequireSub => match item.meta("require_sub") {
            None | Some("") => true,
            Some(channel) => on(channel),
        },
        Filter::BuildId | Filter::VarSubst => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::grip::Item;

    fn passes(filters: &[&str], user: Option<&str>, meta: &[(&str, &str)]) -> bool {
        let filters = Filters::named(filters.iter().copied()).unwrap();
        let item = Item {
            channel: "c".into(),
            id: None,
            prev_id: None,
            meta: meta.iter().map(|&(n, v)| (n.into(), v.into())).collect(),
            no_seq: false,
            stream: None,
            response: None,
        };
        let frame = item.frame(7);
        let of_request = |name: &str| user.filter(|_| name == "user");
        let item = Stored::read(&frame).unwrap();
        delivers(&filters, of_request, |name| name == "events-room", &item)
    }

    #[test]
    fn users_to_skip_are_a_list() {
        let skip = |user, list| passes(&["skip-users"], user, &[("skip_users", list)]);
        assert!(!skip(Some("4"), "3, 4 ,5") && !skip(Some("3"), "3"));
        assert!(skip(Some("34"), "3,4") && skip(None, "3,4") && skip(Some("4"), ""));
        assert!(passes(&["skip-users"], Some("4"), &[]));
    }

    #[test]
    fn a_required_channel_must_be_there() {
        let require = |channel| passes(&["require-sub"], None, &[("require_sub", channel)]);
        assert!(require("events-room") && require("") && !require("events-other"));
        assert!(passes(&["require-sub"], None, &[]));
    }

    #[test]
    fn a_sender_does_not_hear_itself() {
        let sent = |user, sender| passes(&["skip-self"], user, &[("sender", sender)]);
        assert!(!sent(Some("4"), "4") && sent(Some("4"), "5") && sent(None, "4"));
    }

    #[test]
    fn one_filter_that_drops_is_enough_and_none_drops_nothing() {
        let meta = [("skip_users", "4"), ("require_sub", "x"), ("sender", "4")];
        assert!(passes(&[], Some("4"), &meta));
        assert!(passes(&["build-id", "var-subst"], Some("4"), &meta));
        assert!(!passes(&["build-id", "skip-self"], Some("4"), &meta));
        assert!(!passes(&["skip-users", "require-sub"], Some("5"), &meta));
    }
}
