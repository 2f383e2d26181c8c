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

/// Beyond this, several channels share a line of `Grip-Last`: gunicorn takes no request with more than 100 lines.
const MOST_LINES: usize = 20;

/// The longest line that several channels share: gunicorn takes 8,190 bytes.
const LONGEST_LINE: usize = 4096;

/// The lines of `Grip-Last` for these channels and ids, but those that cannot stand in a header.
pub fn last<'t>(known: impl Iterator<Item = (&'t str, &'t str)>) -> Vec<HeaderValue> {
    let lines: Vec<_> = known.filter_map(|(name, id)| entry(name, id)).collect();
    if lines.len() <= MOST_LINES {
        return lines;
    }
    let mut shared: Vec<Vec<u8>> = Vec::new();
    for line in &lines {
        match shared.last_mut() {
            Some(last) if last.len() + line.len() < LONGEST_LINE => {
                last.extend_from_slice(b", ");
                last.extend_from_slice(line.as_bytes());
            }
            _ => shared.push(line.as_bytes().to_vec()),
        }
    }
    let lines = shared.iter().map(|line| HeaderValue::from_bytes(line));
    lines.filter_map(Result::ok).collect()
}

/// What is said of one channel.
fn entry(channel: &str, id: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{channel}; last-id={id}"))
        .or_else(|_| HeaderValue::from_bytes(format!("{channel}; last-id={id}").as_bytes()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_is_told_by_channel() {
        let known = [("events-a%20b", "7"), ("a\n", "7"), ("ä", "ü")];
        let lines = last(known.into_iter());
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "events-a%20b; last-id=7");
    }

    #[test]
    fn many_channels_share_lines_that_servers_take() {
        let names: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
        let id = "1".repeat(500);
        let lines = last(names.iter().map(|name| (&**name, &*id)));
        assert!(lines.len() <= MOST_LINES && lines.iter().all(|l| l.len() <= LONGEST_LINE + 2));
        let all: Vec<_> = lines.iter().map(|line| line.to_str().unwrap()).collect();
        let entries: Vec<_> = all.iter().flat_map(|line| line.split(", ")).collect();
        let expected: Vec<_> = names.iter().map(|n| format!("{n}; last-id={id}")).collect();
        assert_eq!(entries, expected);
    }
}
