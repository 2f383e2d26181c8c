//! `token` of a route's `sse`: how the tokens of its listeners are signed, and where they are looked for.
//!
//! Keys are read here, so that a bad one is told at its place and not by every listener's 401. No problem quotes one.

use std::time::Duration;

use super::reader::{Section, Value};
use super::scalar::Text;
use crate::ask::{Carrier, TokenSettings};
use crate::wire::signed::{Algorithm, Django, Jwt, Verifier};

/// The kind made by `django.core.signing`.
pub(super) const DJANGO: &str = "django-signed";
/// The kind of RFC 7519.
pub(super) const JWT: &str = "jwt";
/// What is shown in the place of a key. It is none, or whoever runs what was shown would have a key everybody knows.
pub(super) const MASKED: &str = "***";

const KINDS: [(&str, Kind); 2] = [(DJANGO, Kind::Django), (JWT, Kind::Jwt)];

const ALGORITHMS: [(&str, Algorithm); 4] = [
    (Algorithm::Hs256.as_str(), Algorithm::Hs256),
    (Algorithm::Es256.as_str(), Algorithm::Es256),
    (Algorithm::EdDsa.as_str(), Algorithm::EdDsa),
    (Algorithm::Rs256.as_str(), Algorithm::Rs256),
];

/// The keys that one kind alone has.
const OF_DJANGO: [&str; 2] = ["salt", "max_age"];
const OF_JWT: [&str; 3] = ["alg", "audience", "issuer"];

/// How long a token of Django is good unless the file says otherwise.
const MAX_AGE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Django,
    Jwt,
}

/// `sse.token` of a route.
pub(super) fn token(value: &Value<'_>) -> Option<TokenSettings> {
    value.table("route[].sse.token", read).flatten()
}

fn read(section: &mut Section<'_>) -> Option<TokenSettings> {
    let kind = section.required("kind").and_then(|value| value.text());
    let kind = kind.and_then(|text| text.choice(&KINDS));
    let key = section.required("key").and_then(|value| key(&value));
    let from = section.value("from").map_or_else(
        || vec![Carrier::Query("token".to_owned()), Carrier::Bearer],
        |value| carriers(&value),
    );
    let verifier = match kind {
        Some(Kind::Django) => {
            strange(section, &OF_JWT, JWT);
            django(section, key)
        }
        Some(Kind::Jwt) => {
            strange(section, &OF_DJANGO, DJANGO);
            jwt(section, key)
        }
        None => {
            // Whose keys they are cannot be said; they are not unknown.
            for key in OF_DJANGO.into_iter().chain(OF_JWT) {
                section.value(key);
            }
            None
        }
    };
    Some(TokenSettings {
        verifier: verifier?,
        from,
    })
}

fn django(section: &mut Section<'_>, key: Option<Text<'_>>) -> Option<Verifier> {
    let salt = section.text("salt");
    if let Some(salt) = salt.as_ref().filter(|salt| salt.value.is_empty()) {
        let hint = "the one that is given to dumps(…, salt=…)".to_owned();
        salt.problem("a salt must not be empty", Some(hint));
    }
    let salt = salt.map_or_else(|| "sse".to_owned(), |salt| salt.value);
    let mut max_age = MAX_AGE;
    section.some_time("max_age", &mut max_age);
    Some(Verifier::Django(Django::new(&key?.value, &salt, max_age)))
}

fn jwt(section: &mut Section<'_>, key: Option<Text<'_>>) -> Option<Verifier> {
    let written = section.value("alg");
    if written.is_none() {
        let words: Vec<_> = ALGORITHMS.iter().map(|(word, _)| *word).collect();
        let hint = format!("one of {}", words.join(", "));
        section.missing("alg", "\"alg\" is missing", Some(hint));
    }
    let algorithm = written.and_then(|value| value.text());
    let algorithm = algorithm.and_then(|text| text.choice(&ALGORITHMS));
    let [audience, issuer] = ["audience", "issuer"].map(|name| {
        let text = section.text(name)?;
        if text.value.is_empty() {
            text.problem("an empty name", Some("leave the key out".to_owned()));
        }
        Some(text.value)
    });
    let key = key?;
    match Jwt::new(
        algorithm?,
        &key.value,
        audience.as_deref(),
        issuer.as_deref(),
    ) {
        Ok(jwt) => Some(Verifier::Jwt(jwt)),
        Err(error) => {
            key.problem(error.to_string(), None);
            None
        }
    }
}

fn key<'a>(value: &Value<'a>) -> Option<Text<'a>> {
    let text = value.text()?;
    if text.value.is_empty() {
        value.problem("a key must not be empty", None);
        return None;
    }
    (!is_masked(&text)).then_some(text)
}

/// Whether a secret is what `tidegate show` writes in its place, which everybody knows; that is reported.
pub(super) fn is_masked(text: &Text<'_>) -> bool {
    let is_masked = text.value == MASKED;
    if is_masked {
        let hint = "`tidegate show` masks it: write the key itself".to_owned();
        text.problem("this is no key", Some(hint));
    }
    is_masked
}

/// Reports the keys of the other kind.
fn strange(section: &mut Section<'_>, keys: &[&'static str], kind: &str) {
    for key in keys {
        if let Some(value) = section.value(key) {
            value.problem(format!("`{key}` is for kind = {kind:?}"), None);
        }
    }
}

fn carriers(value: &Value<'_>) -> Vec<Carrier> {
    if value.is_empty_list() {
        value.problem("a token that is looked for nowhere", None);
    }
    let texts = value.texts().unwrap_or_default();
    texts.iter().filter_map(carrier).collect()
}

fn carrier(text: &Text<'_>) -> Option<Carrier> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    match text.value.strip_prefix("query:") {
        _ if text.value == "bearer" => Some(Carrier::Bearer),
        Some(name) if !name.is_empty() && name.bytes().all(is_plain) => {
            Some(Carrier::Query(name.to_owned()))
        }
        _ => {
            let hint = "\"bearer\", or \"query:\" and the name of a parameter".to_owned();
            text.problem(
                format!("{} is no place of a token", text.written()),
                Some(hint),
            );
            None
        }
    }
}
