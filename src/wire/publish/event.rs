//! One event out of one JSON object.
//!
//! Called for the body or for each element of a batch, with a value whose grammar is checked. A field that is unknown
//! or comes twice is an error, so that a typing mistake never publishes something else than was meant.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{MOST_CHANNELS, Rejected, json};
use crate::domain::{ChannelName, Event, EventName, Keep, PublisherId, RetryMs, StreamId, UserId};
use crate::wire::problem;

/// Every field of an event.
pub(in crate::wire) const FIELDS: [&str; 10] = [
    "channel", "channels", "event", "data", "id", "retry", "keep", "close", "user", "except",
];

/// The longest name that an answer repeats, in bytes.
const LONGEST_ECHO: usize = 64;

pub(in crate::wire) const NO_STREAM: &str =
    "must be the id of a stream: 32 hexadecimal digits in lower case";
pub(in crate::wire) const NO_USER: &str = "must have 1 to 200 bytes and no control characters";
pub(super) const NO_KEEP: &str = "must be \"all\", \"last\" or \"none\"";

/// Reads the object `value`, which is found at the pointer `at`.
pub(super) fn read(value: &RawValue, at: &str, max_event: usize) -> Result<Event, Rejected> {
    let place = Place { at };
    let fields = Fields::of(value, place)?;
    let channels = channels(&fields, place)?;
    let name = text("event", fields.event, place)?
        .map(|text| EventName::parse(&text).map_err(|e| place.wrong("event", e)))
        .transpose()?;
    let id = text("id", fields.id, place)?
        .map(|text| PublisherId::parse(&text).map_err(|e| place.wrong("id", e)))
        .transpose()?;
    let retry = given(fields.retry)
        .map(|raw| serde_json::from_str(raw.get()).map(RetryMs))
        .transpose()
        .map_err(|_| place.wrong("retry", whole_milliseconds()))?;
    let close: bool = given(fields.close)
        .map(|raw| serde_json::from_str(raw.get()))
        .transpose()
        .map_err(|_| place.wrong("close", "must be true or false"))?
        .unwrap_or_default();
    let except = text("except", fields.except, place)?
        .map(|text| StreamId::parse(&text).ok_or_else(|| place.wrong("except", NO_STREAM)))
        .transpose()?;
    let keep = text("keep", fields.keep, place)?
        .map(|text| keep(&text).ok_or_else(|| place.wrong("keep", NO_KEEP)))
        .transpose()?
        .unwrap_or_default();
    let data = fields
        .data
        .map(|raw| data(raw, place, max_event))
        .transpose()?;
    if data.is_none() && !close {
        return Err(place.whole("\"data\" is missing; only \"close\": true goes without it"));
    }
    Ok(Event {
        channels,
        name,
        data,
        id,
        retry,
        keep,
        close,
        except,
    })
}

/// Whether the event `value`, which was read, has the field `channels`.
pub(super) fn lists(value: &RawValue) -> bool {
    let fields = Fields::of(value, Place { at: "" });
    fields.is_ok_and(|fields| given(fields.channels).is_some())
}

/// The channels that are named, and then that of the user.
fn channels(fields: &Fields<'_>, place: Place<'_>) -> Result<Vec<ChannelName>, Rejected> {
    let mut channels = match (given(fields.channel), given(fields.channels)) {
        (Some(_), Some(_)) => {
            return Err(place.wrong("channels", "cannot go together with \"channel\""));
        }
        (None, None) => Vec::new(),
        (Some(one), None) => {
            let text = json::text(one).map_err(|e| place.wrong("channel", e))?;
            vec![ChannelName::parse(&text).map_err(|e| place.wrong("channel", e))?]
        }
        (None, Some(list)) => listed(list, place)?,
    };
    if let Some(raw) = given(fields.user) {
        let user = user(raw).map_err(|e| place.wrong("user", e))?;
        channels.push(ChannelName::of_user(&user));
    }
    if channels.is_empty() {
        return Err(place.whole("\"channel\", \"channels\" or \"user\" is missing"));
    }
    Ok(channels)
}

fn listed(list: &RawValue, place: Place<'_>) -> Result<Vec<ChannelName>, Rejected> {
    let many = || place.wrong("channels", format!("has at most {MOST_CHANNELS} names"));
    let elements = json::elements(list, MOST_CHANNELS)
        .ok_or_else(|| place.wrong("channels", "must be a list of strings"))?
        .map_err(|json::TooMany| many())?;
    if elements.is_empty() {
        return Err(place.wrong("channels", "must name at least one channel"));
    }
    let mut names = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let field = || format!("channels/{index}");
        let text = json::text(element).map_err(|e| place.wrong(&field(), e))?;
        let name = ChannelName::parse(&text).map_err(|e| place.wrong(&field(), e))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A user is named by a text, or by the number that Django's primary keys are.
pub(in crate::wire) fn user(raw: &RawValue) -> Result<UserId, &'static str> {
    let whole = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let text = match raw.get() {
        number if whole(number) => number.to_owned(),
        text if text.starts_with('"') => json::text(raw)?,
        _ => return Err("must be a string or a whole number"),
    };
    UserId::parse(&text).ok_or(NO_USER)
}

pub(super) fn keep(text: &str) -> Option<Keep> {
    match text {
        "all" => Some(Keep::All),
        "last" => Some(Keep::Last),
        "none" => Some(Keep::None),
        _ => None,
    }
}

fn data(raw: &RawValue, place: Place<'_>, limit: usize) -> Result<Bytes, Rejected> {
    let bytes = if raw.get().starts_with('"') {
        json::text(raw)
            .map_err(|e| place.wrong("data", e))?
            .into_bytes()
    } else {
        json::compact(raw)
    };
    if bytes.len() > limit {
        let pointer = place.of("data");
        return Err(Rejected::TooLarge { pointer, limit });
    }
    Ok(bytes.into())
}

pub(super) fn whole_milliseconds() -> String {
    format!("must be a whole number of milliseconds up to {}", u32::MAX)
}

/// Where an object is in the body: makes the rejections of its fields.
#[derive(Clone, Copy)]
struct Place<'a> {
    at: &'a str,
}

impl Place<'_> {
    fn of(self, field: &str) -> String {
        format!("{}/{field}", self.at)
    }

    fn wrong(self, field: &str, message: impl fmt::Display) -> Rejected {
        Rejected::Field {
            pointer: self.of(field),
            message: message.to_string(),
            hint: None,
        }
    }

    fn whole(self, message: impl fmt::Display) -> Rejected {
        Rejected::Field {
            pointer: self.at.to_owned(),
            message: message.to_string(),
            hint: None,
        }
    }

    /// The name is repeated in the pointer, unless it is so long that the answer would carry the body back.
    fn odd_name(self, name: &str, message: &str, hint: Option<String>) -> Rejected {
        let pointer = if name.len() <= LONGEST_ECHO {
            format!("{}{}", self.at, problem::pointer([name]))
        } else {
            self.at.to_owned()
        };
        Rejected::Field {
            pointer,
            message: format!("{:?} {message}", shortened(name)),
            hint,
        }
    }
}

/// The start of a name, short enough to be repeated in an answer.
pub(in crate::wire) fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST_ECHO {
        return name.into();
    }
    let fits = |&(at, c): &(usize, char)| at + c.len_utf8() <= LONGEST_ECHO;
    let start = name.char_indices().take_while(fits).map(|(_, c)| c);
    start.chain(['…']).collect::<String>().into()
}

/// "Did you mean", if one of `known` is near.
pub(in crate::wire) fn hint(name: &str, known: &[&str]) -> Option<String> {
    if name.len() > LONGEST_ECHO {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let near = |known: &&&str| strsim::damerau_levenshtein(&name, known);
    let best = known.iter().min_by_key(near)?;
    // One mistake in a short name, two in a longer one: more would be guessing.
    let allowed = if best.len() < 5 { 1 } else { 2 };
    (near(&best) <= allowed).then(|| format!("did you mean {best:?}?"))
}

/// A field that is there and not `null`.
fn given(field: Option<&RawValue>) -> Option<&RawValue> {
    field.filter(|raw| raw.get() != "null")
}

/// The fields of an event, not looked into yet.
#[derive(Default)]
struct Fields<'a> {
    channel: Option<&'a RawValue>,
    channels: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    retry: Option<&'a RawValue>,
    keep: Option<&'a RawValue>,
    close: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    except: Option<&'a RawValue>,
    /// The first name that must not be there.
    odd: Option<Odd<'a>>,
}

enum Odd<'a> {
    Unknown(Cow<'a, str>),
    Twice(Cow<'a, str>),
}

impl<'a> Fields<'a> {
    fn of(value: &'a RawValue, place: Place<'_>) -> Result<Self, Rejected> {
        if !value.get().starts_with('{') {
            let message = "an event is a JSON object, a batch is an array of such objects";
            return Err(place.whole(message));
        }
        let read = serde_json::Deserializer::from_str(value.get()).deserialize_map(FieldsVisitor);
        // The grammar is checked: what is left is a name with half of a surrogate pair.
        let fields = read.map_err(|_| place.whole("a name contains half of a surrogate pair"))?;
        match &fields.odd {
            None => Ok(fields),
            Some(Odd::Unknown(name)) => {
                Err(place.odd_name(name, "is no field of an event", hint(name, &FIELDS)))
            }
            Some(Odd::Twice(name)) => Err(place.odd_name(name, "is there twice", None)),
        }
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match name {
            "channel" => &mut self.channel,
            "channels" => &mut self.channels,
            "event" => &mut self.event,
            "data" => &mut self.data,
            "id" => &mut self.id,
            "retry" => &mut self.retry,
            "keep" => &mut self.keep,
            "close" => &mut self.close,
            "user" => &mut self.user,
            "except" => &mut self.except,
            _ => return None,
        })
    }
}

/// The text of a field that is a string, if it is given.
fn text(
    name: &str,
    field: Option<&RawValue>,
    place: Place<'_>,
) -> Result<Option<String>, Rejected> {
    given(field)
        .map(|raw| json::text(raw).map_err(|e| place.wrong(name, e)))
        .transpose()
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Name(name)) = map.next_key()? {
            let odd = match fields.slot(&name) {
                Some(slot @ None) => {
                    *slot = Some(map.next_value()?);
                    continue;
                }
                Some(_) => Odd::Twice(name),
                None => Odd::Unknown(name),
            };
            map.next_value::<IgnoredAny>()?;
            fields.odd.get_or_insert(odd);
        }
        Ok(fields)
    }
}
