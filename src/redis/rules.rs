//! From a message to events: which rules it falls under, what it says, and which channel it goes to.
//!
//! Rules with the same channel of Redis share one subscription, and each makes an event of the message; two patterns that
//! both fit are two subscriptions, and Redis sends the message for each.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::settings::{Listen, Settings};
use crate::base::metrics::{CounterBy, Registry};
use crate::base::seldom::Seldom;
use crate::domain::{ChannelName, ChannelPattern, Event, Keep};
use crate::wire::redis::{Malformed, read};

/// How often the log repeats that messages of one kind are dropped.
const REMINDER: Duration = Duration::from_secs(60);

/// The rules in force.
#[derive(Debug)]
pub(super) struct Rules {
    /// By the name, or the pattern, of a channel of Redis.
    names: HashMap<Box<str>, Vec<Listen>>,
    patterns: HashMap<Box<str>, Vec<Listen>>,
    max_event: usize,
    dropped: CounterBy,
    told: [Seldom; Dropped::ALL.len()],
}

/// A message as Redis gives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    /// The pattern of the subscription, if it has one.
    pub(super) pattern: Option<&'a [u8]>,
    pub(super) channel: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// Why a message is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    TooLarge,
    NotUtf8,
    NotJson,
    Shape,
    NoField,
    NoChannel,
}

impl Dropped {
    const ALL: [Self; 6] = [
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::Shape,
        Self::NoField,
        Self::NoChannel,
    ];

    /// The metric label.
    const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NotUtf8 => "not-utf8",
            Self::NotJson => "not-json",
            Self::Shape => "shape",
            Self::NoField => "no-field",
            Self::NoChannel => "no-channel",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::TooLarge => "publish.max_event is the longest data of one event",
            Self::NotUtf8 | Self::NotJson => {
                "does the rule listen to a channel with other messages?"
            }
            Self::Shape => "is the format of the rule that of the messages?",
            Self::NoField => "the message has no string or whole number where `to` names a field",
            Self::NoChannel => "what `to` makes of the message is no channel name",
        }
    }
}

impl From<Malformed> for Dropped {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::NotUtf8 => Self::NotUtf8,
            Malformed::NotJson => Self::NotJson,
            Malformed::Shape => Self::Shape,
        }
    }
}

impl Rules {
    pub(super) fn new(settings: &Settings, registry: &Registry) -> Self {
        let (mut names, mut patterns) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for listen in &settings.listen {
            let rules = if listen.is_pattern() {
                &mut patterns
            } else {
                &mut names
            };
            let same = rules.entry(listen.channel.clone()).or_default();
            same.push(listen.clone());
        }
        let dropped = registry.counter_by(
            "redis_dropped",
            "Messages of Redis that made no event, by reason",
        );
        for reason in Dropped::ALL {
            drop(dropped.get_or_create(&[("reason", reason.as_str())]));
        }
        Self {
            names,
            patterns,
            max_event: settings.max_event.as_len(),
            dropped,
            told: std::array::from_fn(|_| Seldom::every(REMINDER)),
        }
    }

    /// The names to subscribe to.
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.keys().map(|name| &**name).collect()
    }

    /// The patterns to subscribe to.
    pub(super) fn patterns(&self) -> Vec<&str> {
        self.patterns.keys().map(|pattern| &**pattern).collect()
    }

    /// What fits every channel that a rule may publish to, each once.
    pub(super) fn reach(&self) -> Vec<ChannelPattern> {
        let rules = self.names.values().chain(self.patterns.values()).flatten();
        let mut reach: Vec<_> = rules.map(Listen::reach).collect();
        reach.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        reach.dedup();
        reach
    }

    /// Adds the events of one message to `events`; what makes none is counted.
    pub(super) fn take(&self, heard: Heard<'_>, events: &mut Vec<Event>) {
        let (rules, key) = match heard.pattern {
            Some(pattern) => (&self.patterns, pattern),
            None => (&self.names, heard.channel),
        };
        let key = std::str::from_utf8(key).unwrap_or_default();
        for rule in rules.get(key).into_iter().flatten() {
            match event(rule, heard, self.max_event) {
                Ok(event) => events.push(event),
                Err(dropped) => self.drop_one(dropped, Some(rule)),
            }
        }
    }

    /// Counts a message that made no event, and now and then says so.
    pub(super) fn drop_one(&self, reason: Dropped, rule: Option<&Listen>) {
        let label = [("reason", reason.as_str())];
        self.dropped.get_or_create(&label).inc();
        let told = Dropped::ALL.iter().zip(&self.told);
        let seldom = told
            .filter(|(known, _)| **known == reason)
            .map(|(_, seldom)| seldom);
        if seldom.into_iter().any(Seldom::now) {
            tracing::warn!(
                redis.channel = rule.map(|rule| &*rule.channel),
                reason = reason.as_str(),
                hint = reason.hint(),
                "Message of Redis dropped"
            );
        }
    }
}

fn event(rule: &Listen, heard: Heard<'_>, max_event: usize) -> Result<Event, Dropped> {
    // Each character of the text may be six in JSON, and little stands beside it.
    if heard.payload.len() > max_event.saturating_mul(6).saturating_add(16 << 10) {
        return Err(Dropped::TooLarge);
    }
    let message = read(rule.format, heard.payload)?;
    if message.data.len() > max_event {
        return Err(Dropped::TooLarge);
    }
    let channel = std::str::from_utf8(heard.channel).ok();
    let part = |name: &str| {
        if rule.means_redis(name) {
            channel.map(Cow::Borrowed)
        } else {
            message.field(name)
        }
    };
    let name = rule.to.filled(part).ok_or(Dropped::NoField)?;
    let name = ChannelName::parse(&name).map_err(|_| Dropped::NoChannel)?;
    Ok(Event {
        channels: vec![name],
        name: message.name,
        data: Some(message.data),
        id: message.id,
        retry: None,
        keep: Keep::All,
        close: false,
        except: None,
    })
}
