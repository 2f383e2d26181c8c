//! `grip` of an upstream: whether its answers may be held, and how.

use std::num::NonZeroUsize;

use super::reader::Section;
use super::scalar::Text;
use super::token::is_masked;
use crate::upstream::Grip;
use crate::wire::grip::signature::Key;

/// What stands before the path of a key, as in the configuration of Pushpin.
const FILE: &str = "file:";
/// The longest prefix of channel names: they have at most 512 bytes.
const LONGEST_PREFIX: usize = 200;
/// The most links that may be followed at once.
const MOST_AT_ONCE: usize = 1000;

/// `grip`; `None` if it is not there, or says no.
pub(super) fn grip(section: &mut Section<'_>) -> Option<Grip> {
    let value = section.value("grip")?;
    if !value.is_table() {
        return value.flag()?.then(Grip::default);
    }
    value.table("upstream.*.grip", |section| {
        let mut grip = Grip::default();
        if let Some(key) = section.text("key") {
            grip.key = Some(key)
                .filter(|key| !is_masked(key))
                .and_then(|key| secret(&key));
        }
        if let Some(iss) = section.text("iss") {
            if iss.value.is_empty() {
                iss.problem("an issuer has a name", None);
            }
            grip.iss = iss.value;
        }
        if let Some(prefix) = section.text("prefix") {
            if prefix.value.len() > LONGEST_PREFIX || prefix.value.contains(char::is_control) {
                let message = "a prefix has at most 200 bytes and no control characters";
                prefix.problem(message, None);
            }
            grip.prefix = prefix.value;
        }
        section.some_time("link_every", &mut grip.link_every);
        let mut at_once = grip.links_at_once.get();
        section.count("links_at_once", 1..=MOST_AT_ONCE, &mut at_once);
        grip.links_at_once = NonZeroUsize::new(at_once).unwrap_or(grip.links_at_once);
        grip
    })
}

/// The key: a text, `base64:` and bytes, a PEM, or `file:` and the path of a PEM or of a secret in hexadecimal digits.
fn secret(text: &Text<'_>) -> Option<Key> {
    let Some(path) = text.value.strip_prefix(FILE) else {
        return keyed(text, &text.value);
    };
    match text.file(path) {
        Err(error) => {
            text.problem(format!("{path}: {error}"), None);
            None
        }
        Ok(pem) if pem.contains("-----BEGIN ") => keyed(text, &pem),
        Ok(digits) => {
            let secret = Key::of_hex(digits.trim());
            if secret.is_none() {
                let hint = "a secret as it is goes into the key: \"${file:/path}\"".to_owned();
                text.problem(
                    format!("{path} is neither a PEM nor hexadecimal"),
                    Some(hint),
                );
            }
            secret
        }
    }
}

fn keyed(text: &Text<'_>, key: &str) -> Option<Key> {
    Key::parse(key)
        .inspect_err(|error| text.problem(error.to_string(), None))
        .ok()
}
