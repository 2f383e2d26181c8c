//! `basic_auth` of a route: the users in the configuration, and those in a file as htpasswd writes it.

use std::sync::Arc;

use http::HeaderValue;

use super::reader::Section;
use super::scalar::Text;
use crate::proxy::BasicAuthSettings;
use crate::tokens::passwords::{Hash, Users};

/// `basic_auth`; `None` if it is not there.
pub(super) fn basic_auth(section: &mut Section<'_>) -> Option<BasicAuthSettings> {
    let value = section.value("basic_auth")?;
    value.table("route[].basic_auth", |section| {
        let realm = section.text("realm");
        let (realm, challenge) = realm
            .and_then(|text| {
                let challenge = challenge(&text.value);
                if challenge.is_none() {
                    text.problem("a realm has printable ASCII characters", None);
                }
                Some((text.value, challenge?))
            })
            .unwrap_or_else(|| {
                let challenge = HeaderValue::from_static("Basic realm=\"restricted\"");
                ("restricted".to_owned(), challenge)
            });
        let mut users = Users::default();
        let listed = section.value("users").and_then(|value| value.texts());
        for text in listed.iter().flatten() {
            user(text, &text.value, &mut users);
        }
        let file = section.text("file");
        if let Some(file) = &file {
            from_file(file, &mut users);
        }
        let is_written = file.is_some() || listed.is_some_and(|listed| !listed.is_empty());
        if !is_written {
            let hint = "as in users = [\"ann:$argon2id$…\"]; `tidegate hash-password` makes it";
            section.missing("", "nobody could come in", Some(hint.to_owned()));
        }
        let pass_on = section.flag("pass_on").unwrap_or(false);
        BasicAuthSettings {
            realm,
            challenge,
            users: Arc::new(users),
            pass_on,
        }
    })
}

/// What a browser is sent to be shown its box for passwords (RFC 7617, section 2).
fn challenge(realm: &str) -> Option<HeaderValue> {
    let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"")).ok()
}

/// Adds the user of `line`. Problems tell the name at most: what else there is may be a password by mistake.
fn user(text: &Text<'_>, line: &str, users: &mut Users) {
    let Some((name, hash)) = line.split_once(':') else {
        let hint = "as in \"ann:$argon2id$…\"".to_owned();
        text.problem("a user is a name, a colon and a hash", Some(hint));
        return;
    };
    if name.is_empty() || name.chars().any(char::is_control) {
        text.problem("a user has a name", None);
        return;
    }
    match Hash::parse(hash) {
        Err(error) => text.problem(format!("the password of {name:?}: {error}"), None),
        Ok(hash) => {
            if !users.add(name, hash) {
                text.problem(format!("there are two users called {name:?}"), None);
            }
        }
    }
}

/// Adds those of a file: a user on each line, empty lines and those that begin with `#` aside.
fn from_file(file: &Text<'_>, users: &mut Users) {
    let Some(lines) = file.parse(|path| file.file(path)) else {
        return;
    };
    let mut is_empty = true;
    for line in lines.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            is_empty = false;
            user(file, line, users);
        }
    }
    if is_empty {
        file.problem("there is no user in this file", None);
    }
}
