//! `[sse]`, and the same keys in a route's `sse`.

use std::num::NonZeroUsize;

use super::RouteTarget;
use super::notify::{self, Notify};
use super::reader::Section;
use super::scalar::Text;
use super::site::MOST;
use crate::domain::{ByteSize, EventName};
use crate::history::{self, Reach};
use crate::routes::Table;
use crate::stream::{BackendDown, Beat, Settings, SlowClient};
use crate::upstream;
use crate::wire::cors::{self, InvalidOrigin, Origin};

/// The longest data of a heartbeat that is an event, in bytes.
const LONGEST_BEAT: usize = 1024;

/// The words of `slow_client`.
pub(super) const SLOW: [(&str, SlowClient); 2] =
    [("close", SlowClient::Close), ("skip", SlowClient::Skip)];

/// The words of `backend_down`.
pub(super) const DOWN: [(&str, BackendDown); 3] = [
    ("hold", BackendDown::Hold),
    ("retry", BackendDown::Retry),
    ("fail", BackendDown::Fail),
];

/// What `[sse]` says.
pub(super) struct Sse {
    pub(super) stream: Settings,
    /// `history_memory`.
    pub(super) memory: ByteSize,
    pub(super) notify: Option<Notify>,
}

/// `[sse]`.
pub(super) fn sse(document: &mut Section<'_>, upstreams: &[upstream::Settings]) -> Sse {
    let mut stream = Settings::default();
    let mut memory = history::Settings::default().memory;
    let mut notify = None;
    document.table("sse", "sse", |section| {
        stream = overrides(section, &stream);
        section.size("history_memory", ByteSize::kib(4)..=MOST, &mut memory);
        notify = notify::notify(section, upstreams);
    });
    Sse {
        stream,
        memory,
        notify,
    }
}

/// What the log retains: as much as the streams want that want most.
pub(super) fn history(
    memory: ByteSize,
    stream: &Settings,
    routes: &Table<RouteTarget>,
) -> history::Settings {
    let kinds = routes.entries().iter().map(|route| &route.target.kind);
    let reaches = kinds.filter_map(|kind| kind.stream()).map(|own| own.reach);
    history::Settings::new(memory, reaches.fold(stream.reach, Reach::or_more))
}

/// An event name; the empty text is none.
fn event_name(text: &Text<'_>) -> Option<EventName> {
    match text.value.as_str() {
        "" => None,
        _ => text.parse(EventName::parse),
    }
}

/// `heartbeat_event` and `heartbeat_data`, each as in `default` if it is not given.
fn beat(section: &mut Section<'_>, default: &Beat) -> Beat {
    let written = section.text("heartbeat_event");
    let name = match &written {
        Some(text) => event_name(text),
        None => default.name().cloned(),
    };
    let data = section.text("heartbeat_data");
    if let Some(data) = &data {
        let nameless = written.is_none_or(|name| name.value.is_empty());
        if name.is_none() && nameless && !data.value.is_empty() {
            let hint = "name the event with `heartbeat_event`".to_owned();
            data.problem("data of a heartbeat that is no event", Some(hint));
        }
        if data.value.len() > LONGEST_BEAT {
            data.problem(format!("longer than {LONGEST_BEAT} bytes"), None);
        }
    }
    let data = data.map_or_else(|| default.data().to_owned(), |data| data.value);
    name.map_or_else(Beat::comment, |name| Beat::event(name, data))
}

/// The keys that a route may override; what is not given is as in `defaults`.
pub(super) fn overrides(section: &mut Section<'_>, defaults: &Settings) -> Settings {
    let mut stream = defaults.clone();
    section.some_time("heartbeat", &mut stream.heartbeat);
    if let Some(value) = section.value("retry")
        && let Some(range) = value.range()
    {
        if range.end().is_zero() {
            value.problem("zero makes no sense here", None);
        }
        stream.retry = range;
    }
    if let Some(text) = section.text("open_event") {
        stream.open_event = event_name(&text);
    }
    if let Some(text) = section.text("session_cookie") {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !text.value.bytes().all(is_token) {
            text.problem("this is no name of a cookie", None);
        }
        stream.session_cookie = Some(text.value.as_str().into()).filter(|_| !text.value.is_empty());
    }
    let reach = &mut stream.reach;
    section.table("history", "sse.history", |section| {
        section.count("events", 1..=1_000_000, &mut reach.events);
        section.some_time("age", &mut reach.age);
    });
    section.size("client_buffer", ByteSize::bytes(0)..=MOST, &mut reach.lag);
    section.duration("closed_for", &mut reach.closed_for);
    stream.beat = beat(section, &stream.beat);
    let slow = section.choice("slow_client", &SLOW);
    stream.slow_client = slow.unwrap_or(stream.slow_client);
    let down = section.choice("backend_down", &DOWN);
    stream.backend_down = down.unwrap_or(stream.backend_down);
    for (key, limit) in [
        ("per_ip", &mut stream.per_ip),
        ("per_user", &mut stream.per_user),
    ] {
        let mut most = limit.map_or(0, NonZeroUsize::get);
        section.count(key, 0..=10_000_000, &mut most);
        *limit = NonZeroUsize::new(most);
    }
    let mut recheck = stream.recheck.unwrap_or_default();
    section.duration("recheck", &mut recheck);
    stream.recheck = Some(recheck).filter(|recheck| !recheck.is_zero());
    if let Some(rules) = section.table("cors", "sse.cors", cors_rules) {
        stream.cors = rules;
    }
    stream
}

/// `cors`. A mistake leaves out what it is about.
pub(super) fn cors_rules(section: &mut Section<'_>) -> Option<cors::Rules> {
    let origins = section.required("origins").and_then(|value| value.texts());
    let credentials = section.flag("credentials").unwrap_or(false);
    let texts = origins?;
    if let Some(any) = texts.iter().find(|text| text.value == "*") {
        if credentials {
            let hint = "name the origins: no browser takes \"*\" with credentials".to_owned();
            any.problem("\"*\" beside `credentials = true`", Some(hint));
        } else if texts.len() > 1 {
            let hint = "\"*\" stands alone".to_owned();
            any.problem("\"*\" beside other origins", Some(hint));
        }
        return Some(cors::Rules::Any);
    }
    Some(cors::Rules::Listed {
        origins: texts.iter().filter_map(origin).collect(),
        credentials,
    })
}

fn origin(text: &Text<'_>) -> Option<Origin> {
    let error = match Origin::parse(&text.value) {
        Ok(origin) => return Some(origin),
        Err(error) => error,
    };
    let hint = match &error {
        InvalidOrigin::Spelling(right) => Some(format!("did you mean {right:?}?")),
        InvalidOrigin::Form => Some("as in \"https://app.example.com\"".to_owned()),
        InvalidOrigin::Null => None,
    };
    text.problem(format!("{}: {error}", text.written()), hint);
    None
}
