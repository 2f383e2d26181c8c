//! `[redis]` and `[[redis.listen]]`: where Redis is, and what is listened to there.

use super::reader::{Section, Value};
use super::scalar::Text;
use crate::domain::{ByteSize, ChannelName};
use crate::redis::{Address, Listen, Settings};
use crate::routes::ChannelTemplate;
use crate::wire::redis::Format;

/// The words of `format`.
pub(super) const FORMATS: [(&str, Format); 3] = [
    ("django-sse", Format::DjangoSse),
    ("json", Format::Json),
    ("django-eventstream", Format::DjangoEventstream),
];

/// Where django-eventstream publishes, whatever is configured.
const EVENTSTREAM: &str = "events_channel";
/// The channel of the message.
const SAME: &str = "{channel}";

/// `[redis]`; `None` if the file has none.
pub(super) fn redis(document: &mut Section<'_>, max_event: ByteSize) -> Option<Settings> {
    let read = |section: &mut Section<'_>| {
        let listens = section.value("listen");
        let url = section.value("url");
        if url.is_none() && listens.is_some() {
            let hint = "as in url = \"redis://127.0.0.1:6379/0\"".to_owned();
            section.missing("url", "\"url\" is missing", Some(hint));
        }
        let address = url.and_then(|value| address(&value.text()?));
        let listens = listens.and_then(|value| value.list()).unwrap_or_default();
        let listen = listens.iter().filter_map(|value| listen(value)).collect();
        Some(Settings::new(address?, listen, max_event))
    };
    document.table("redis", "redis", read).flatten()
}

/// The text is never quoted in a problem, for it may hold a password.
fn address(text: &Text<'_>) -> Option<Address> {
    match Address::parse(&text.value) {
        Ok(address) => Some(address),
        Err(error) => {
            text.problem(error.to_string(), Some(error.hint().to_owned()));
            None
        }
    }
}

fn listen(value: &Value<'_>) -> Option<Listen> {
    value.table("redis.listen[]", rule).flatten()
}

fn rule(section: &mut Section<'_>) -> Option<Listen> {
    let channel = section.value("channel");
    let format = section.required("format").and_then(|value| value.text());
    let format = format.and_then(|text| text.choice(&FORMATS));
    let to = section.value("to");
    let is_eventstream = format == Some(Format::DjangoEventstream);
    let channel = match channel {
        Some(value) => value.text().and_then(|text| channel_of(&text)),
        None if is_eventstream => Some(EVENTSTREAM.into()),
        None => {
            let hint = "the name of a channel in Redis, or a pattern with *, ? or [".to_owned();
            section.missing("channel", "\"channel\" is missing", Some(hint));
            None
        }
    };
    if to.is_none() && format == Some(Format::Json) {
        let hint = "as in to = \"user-{recipient_id}\"".to_owned();
        section.missing("to", "\"to\" is missing", Some(hint));
        return None;
    }
    let to = match to {
        Some(value) => {
            let text = value.text()?;
            let template = text.pattern(ChannelTemplate::of_fields)?;
            let listen = Listen {
                channel: channel?,
                format: format?,
                to: template,
            };
            return fits(&text, &listen).then_some(listen);
        }
        None => ChannelTemplate::of_fields(SAME).expect("the default is a template"),
    };
    let listen = Listen {
        channel: channel?,
        format: format?,
        to,
    };
    if let Some(name) = listen.only_channel()
        && let Err(error) = ChannelName::parse(&name)
    {
        let hint = "set `to`, the channel here".to_owned();
        section.missing("to", &error.to_string(), Some(hint));
    }
    Some(listen)
}

fn channel_of(text: &Text<'_>) -> Option<Box<str>> {
    if text.value.is_empty() {
        text.problem(
            "a channel has a name",
            Some("\"*\" is every channel".to_owned()),
        );
        return None;
    }
    Some(text.value.as_str().into())
}

/// Whether the messages have what `to` asks for.
fn fits(text: &Text<'_>, listen: &Listen) -> bool {
    let mut fits = true;
    if listen.format != Format::Json {
        for (at, name) in listen.to.variables().filter(|(_, name)| *name != "channel") {
            let message = format!("a message of this format has no field {name:?}");
            let hint = format!("only {SAME}; fields are for format = \"json\"");
            text.problem_at(at, message, Some(hint));
            fits = false;
        }
    }
    if let Some(name) = listen.only_channel()
        && let Err(error) = ChannelName::parse(&name)
    {
        text.problem(format!("{name:?}: {error}"), None);
        fits = false;
    }
    fits
}
