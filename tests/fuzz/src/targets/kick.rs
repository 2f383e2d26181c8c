//! The body of a kick: exactly one target, and it is the one that the body names.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidegate::wire::kick::{Target, read};

use super::publish::is_told;

pub fn check(data: &[u8]) -> Option<()> {
    let target = match read(data) {
        Ok(target) => target,
        Err(rejected) => {
            is_told(rejected);
            return Some(());
        }
    };
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(data).expect("what is accepted is a JSON object");
    let mut named = members.iter().filter(|(_, value)| value.get() != "null");
    let Some((name, value)) = named.next() else {
        // A name that comes twice, the second time with `null`: for this reader that one counts.
        return Some(());
    };
    assert!(named.next().is_none());
    let (field, text) = match &target {
        Target::User(user) => ("user", user.as_str().to_owned()),
        Target::Channel(channel) => ("channel", channel.to_string()),
        Target::Stream(stream) => ("stream", stream.to_string()),
    };
    // A number is a name as it was written.
    let told = serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
    assert_eq!((name.as_str(), told), (field, text));
    Some(())
}
