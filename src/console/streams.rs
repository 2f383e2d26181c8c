//! Who is listening: the open streams, all or those of a channel.

use bytes::Bytes;
use jiff::Timestamp;

use super::Console;
use crate::domain::{ChannelName, ChannelPattern, UserId};
use crate::hub::Stream;
use crate::tokens::Grant;
use crate::wire::console::{self, streams};

/// Which of the open streams are told.
#[derive(Debug, Default)]
pub struct Which {
    /// Only those of this user.
    pub user: Option<UserId>,
    /// Only those on a channel that fits one of these; all if there are none.
    pub channels: Vec<ChannelPattern>,
    /// Only those that this route opened.
    pub route: Option<String>,
    /// At most so many.
    pub most: Option<usize>,
}

impl Which {
    fn fits(&self, stream: &Stream) -> bool {
        let user = self.user.is_none() || self.user == stream.user;
        let route = self.route.as_deref();
        let named = || stream.channels.iter().filter(|name| name.is_named());
        let on = |pattern: &ChannelPattern| named().any(|name| pattern.matches(name));
        user && route.is_none_or(|route| route == &*stream.route)
            && (self.channels.is_empty() || self.channels.iter().any(on))
    }
}

impl Console {
    /// The JSON of the open streams, the longest open first.
    pub fn streams(&self, which: &Which) -> Bytes {
        let all = self.hub.streams(None);
        let fitting = all.iter().filter(|stream| which.fits(stream));
        let most = which.most.unwrap_or(usize::MAX);
        self.told(fitting.take(most), None)
    }

    /// The JSON of the streams on `channel`. Of their other channels those are told that `grant` allows.
    pub fn presence(&self, channel: &ChannelName, grant: Option<&Grant>) -> Bytes {
        self.told(self.hub.streams(Some(channel)).iter(), grant)
    }

    fn told<'a>(&self, all: impl Iterator<Item = &'a Stream>, grant: Option<&Grant>) -> Bytes {
        let is_shown =
            |name: &&ChannelName| name.is_named() && grant.is_none_or(|grant| grant.allows(name));
        let told = all.map(|stream| {
            let shown = stream.channels.iter().filter(is_shown);
            console::Stream {
                id: stream.id.to_string(),
                user: stream.user.as_ref().map(UserId::as_str),
                route: &stream.route,
                channels: shown.map(ChannelName::as_str).collect(),
                address: stream.client,
                // A clock that is beyond what can be written is no reason to tell nothing.
                since: Timestamp::try_from(stream.since).unwrap_or_default(),
                sent: stream.sent,
                lag: self.hub.log().lag(&stream.channels, stream.position),
            }
        });
        streams(&told.collect::<Vec<_>>())
    }
}
