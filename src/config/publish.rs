//! `[publish]`: tokens, the size of events, and times.

use std::fmt;

use super::reader::{Section, Value};
use super::site::MOST;
use crate::domain::{ByteSize, ChannelPattern};
use crate::publish::Settings;
use crate::tokens::{Secret, Token};
use crate::wire::webhook;

/// What `[publish]` says. `written`: whether any token stands there, a wrong one included.
pub(super) struct Publish {
    pub(super) settings: Settings,
    pub(super) tokens: Vec<Token>,
    pub(super) written: bool,
}

/// `[publish]`. `max_body` is the largest body of any request, `memory` what history has in all.
pub(super) fn publish(document: &mut Section<'_>, max_body: ByteSize, memory: ByteSize) -> Publish {
    let mut publish = Publish {
        settings: Settings {
            max_body,
            ..Settings::default()
        },
        tokens: Vec::new(),
        written: false,
    };
    document.table("publish", "publish", |section| {
        if let Some(value) = section.value("max_event")
            && let Some(size) = value.size(ByteSize::bytes(1)..=MOST)
        {
            if size > memory {
                let hint = format!("that is {memory}");
                let message = "an event of this size is more than `sse.history_memory`";
                value.problem(message, Some(hint));
            }
            publish.settings.max_event = size;
        }
        section.some_time("idempotency", &mut publish.settings.idempotency);
        section.some_time("ndjson_idle", &mut publish.settings.ndjson_idle);
        let tokens = section.value("tokens").and_then(|value| value.list());
        let mut names = Vec::new();
        for value in tokens.unwrap_or_default() {
            publish.written = true;
            let read = value.table("publish.tokens[]", |section| {
                let rate = section.value("rate").and_then(|value| value.rate());
                (token(section, &mut names), rate)
            });
            let Some((Some(token), rate)) = read else {
                continue;
            };
            let rate = rate.map(|rate| (token.name.clone(), rate));
            publish.settings.rates.extend(rate);
            publish.tokens.push(token);
        }
    });
    publish
}

fn token(section: &mut Section<'_>, names: &mut Vec<String>) -> Option<Token> {
    let name = section.required("name").and_then(|value| value.text());
    if let Some(name) = &name {
        if name.value.is_empty() {
            name.problem("a token needs a name", None);
        } else if names.contains(&name.value) {
            let message = format!("there are two tokens called {}", name.written());
            name.problem(message, None);
        }
        names.push(name.value.clone());
    }
    let (secret, webhook) = (section.value("secret"), section.value("webhook"));
    if secret.is_none() && webhook.is_none() {
        let hint = "or webhook = \"whsec_…\", for who signs".to_owned();
        section.missing("secret", "\"secret\" is missing", Some(hint));
    }
    let channels = section.value("channels");
    Some(Token {
        name: name?.value,
        secret: secret.and_then(|value| hidden(&value, Secret::parse)),
        webhook: webhook.and_then(|value| hidden(&value, webhook::Secret::parse)),
        channels: channels.map(|value| patterns(&value)).unwrap_or_default(),
    })
}

/// Reads a secret. Its text is never quoted in a problem.
fn hidden<T, E: fmt::Display>(
    value: &Value<'_>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match parse(&value.text()?.value) {
        Ok(secret) => Some(secret),
        Err(error) => {
            value.problem(error.to_string(), None);
            None
        }
    }
}

fn patterns(value: &Value<'_>) -> Vec<ChannelPattern> {
    if value.is_empty_list() {
        let hint = "leave the key out if the token is good for all".to_owned();
        value.problem("a token for no channel", Some(hint));
    }
    let texts = value.texts().unwrap_or_default();
    texts
        .iter()
        .filter_map(|text| text.parse(ChannelPattern::parse))
        .collect()
}
