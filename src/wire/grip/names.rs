//! The headers of requests that come through the gateway.

use http::header::{HeaderName, HeaderValue};

/// Shows Django that a request came through a proxy that can hold its answer.
pub const GRIP_SIG: HeaderName = HeaderName::from_static("grip-sig");

/// Says what that proxy can do.
pub const GRIP_FEATURE: HeaderName = HeaderName::from_static("grip-feature");

/// Says what the client has of a channel; one line for each.
pub const GRIP_LAST: HeaderName = HeaderName::from_static("grip-last");

/// What the gateway can do. Readers split at exactly these two characters.
pub const FEATURES: &str = "status, link:next, link:gone, filter:skip-self, filter:skip-users, filter:require-sub, filter:build-id, filter:var-subst";

/// The value of `Grip-Last` for one channel; `None` if it cannot stand in a header.
pub fn last(channel: &str, id: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{channel}; last-id={id}"))
        .or_else(|_| HeaderValue::from_bytes(format!("{channel}; last-id={id}").as_bytes()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_is_told_by_channel() {
        assert_eq!(
            last("events-a%20b", "7").unwrap(),
            "events-a%20b; last-id=7"
        );
        assert!(last("a\n", "7").is_none() && last("ä", "ü").is_some());
    }
}
