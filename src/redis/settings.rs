//! What is listened to, and how.

use std::time::Duration;

use super::Address;
use crate::domain::{ByteSize, ChannelPattern};
use crate::routes::ChannelTemplate;
use crate::wire::redis::Format;

/// `[redis]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `url`: where Redis is.
    pub address: Address,
    /// `[[redis.listen]]` in the order of the file.
    pub listen: Vec<Listen>,
    /// The longest data of one event. Default 256 KiB (`publish.max_event`).
    pub max_event: ByteSize,
    /// How long connecting and subscribing may take. Always 5 s.
    pub patience: Duration,
    /// How often Redis is asked whether it is there, and how long it has to answer. Always 10 s.
    pub pulse: Duration,
    /// The first and the longest pause after it was not. Always 250 ms and 10 s.
    pub pauses: (Duration, Duration),
}

/// `[[redis.listen]]`: what is heard on a channel of Redis, and which channel it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// `channel`: its name in Redis, or a pattern if it has `*`, `?` or `[`.
    pub channel: Box<str>,
    /// `format`.
    pub format: Format,
    /// `to`.
    pub to: ChannelTemplate,
}

impl Settings {
    /// These rules, with everything else as it always is.
    pub const fn new(address: Address, listen: Vec<Listen>, max_event: ByteSize) -> Self {
        Self {
            address,
            listen,
            max_event,
            patience: Duration::from_secs(5),
            pulse: Duration::from_secs(10),
            pauses: (Duration::from_millis(250), Duration::from_secs(10)),
        }
    }
}

impl Listen {
    /// Whether `channel` is a pattern, so that Redis says with each message which channel it was.
    pub fn is_pattern(&self) -> bool {
        self.channel.contains(['*', '?', '['])
    }

    /// Whether the variable `name` of `to` is the channel of Redis, and not what the message says. `{channel}` is, but where
    /// a message names a channel of its own: one of django-eventstream, and an object of which all come on one channel.
    pub fn means_redis(&self, name: &str) -> bool {
        let own = match self.format {
            Format::DjangoSse => false,
            Format::Json => !self.is_pattern(),
            Format::DjangoEventstream => true,
        };
        name == "channel" && !own
    }

    /// The one name that all events of this rule go to, if they all go to one. It may be no channel name.
    pub fn only_channel(&self) -> Option<String> {
        let redis = |name: &str| {
            let known = !self.is_pattern() && self.means_redis(name);
            known.then(|| self.channel.as_ref().into())
        };
        self.to.filled(redis)
    }

    /// What fits every channel that this rule may publish to.
    pub fn reach(&self) -> ChannelPattern {
        let only = self.only_channel();
        let only = only.and_then(|name| ChannelPattern::parse(&name).ok());
        only.unwrap_or_else(|| self.to.pattern())
    }
}
