//! What the operator sees and ends: health, metrics, channels and their history, streams, numbers, and the tap. Called by
//! `internal`.

mod history;
mod per_channel;
mod streams;
mod tap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::metrics::Registry;
use crate::base::random;
use crate::domain::{ChannelName, ChannelPattern, StreamId};
use crate::history::Depth;
use crate::hub::{Hub, Whom};
use crate::limits::Slots;
use crate::tokens::Grant;
use crate::wire::console::{Channel, Stats, channels, ended, stats};
use crate::wire::kick::Target;

pub use history::NoPage;
use per_channel::PerChannel;
pub use streams::Which;
pub use tap::{Tap, Wanted};

/// Taps at once.
const MOST_TAPS: usize = 16;

/// Whether requests are welcome. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/readyz` answers so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// What `/readyz` answers.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks at the gateway.
#[derive(Debug)]
pub struct Console {
    hub: Hub,
    registry: Registry,
    readiness: Readiness,
    taps: Slots,
    started: Instant,
}

/// Events a second, in thousandths.
fn rate(depth: &Depth) -> f64 {
    (depth.per_second * 1000.0).round() / 1000.0
}

impl Console {
    /// A console over `hub`.
    pub fn new(hub: Hub, registry: Registry, readiness: Readiness) -> Self {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        registry.info("build", "The program", version);
        Self {
            hub,
            registry,
            readiness,
            taps: Slots::new(MOST_TAPS),
            started: Instant::now(),
        }
    }

    /// From now on the metrics have gauges for each channel.
    pub fn count_channels(&self) {
        let channels = PerChannel::new(self.hub.clone());
        self.registry.collector(Box::new(channels));
    }

    /// Whether requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// All metrics, as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.hub.log().observe();
        self.registry.text()
    }

    /// The JSON of the channels that fit `pattern` and that `grant` allows.
    pub fn channels(&self, pattern: Option<&ChannelPattern>, grant: Option<&Grant>) -> Bytes {
        let mut found: BTreeMap<ChannelName, (usize, Option<Depth>)> = BTreeMap::new();
        for depth in self.hub.log().depths() {
            found.insert(depth.channel.clone(), (0, Some(depth)));
        }
        for audience in self.hub.audiences() {
            found.entry(audience.channel).or_default().0 = audience.streams;
        }
        found.retain(|name, _| {
            pattern.is_none_or(|pattern| pattern.matches(name))
                && grant.is_none_or(|grant| grant.allows(name))
        });
        let list: Vec<_> = found
            .iter()
            .map(|(name, (streams, depth))| Channel {
                name: name.as_str(),
                streams: *streams,
                events: depth.as_ref().map_or(0, |depth| depth.events),
                last_id: depth.as_ref().and_then(|depth| depth.last_id.as_deref()),
                rate: depth.as_ref().map_or(0.0, rate),
            })
            .collect();
        channels(&list)
    }

    /// The JSON of the gateway's numbers.
    pub fn stats(&self) -> Bytes {
        let log = self.hub.log();
        let size = log.size();
        stats(&Stats {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            streams: self.hub.stream_count(),
            channels: size.channels,
            events: size.events,
            last_id: log.id(log.position()).to_string(),
        })
    }

    /// Ends the streams of a target, also those about to open with a permission from before; the JSON of how many.
    pub fn kick(&self, target: Target) -> Bytes {
        ended(self.hub.kick(&match target {
            Target::User(user) => Whom::User(user),
            Target::Channel(name) => Whom::Channel(name),
            Target::Stream(id) => Whom::Stream(id),
        }))
    }

    /// Ends the streams on `channel` and forgets its history; the JSON of how many.
    pub fn delete(&self, channel: &ChannelName) -> Bytes {
        ended(self.hub.delete(channel))
    }

    /// A stream of what is published from now on, as far as it is wanted and `grant` allows; `None` if there are too many
    /// taps already.
    pub fn tap(&self, wanted: Wanted, grant: Option<Grant>) -> Option<Tap> {
        let slot = self.taps.take()?;
        let seat = self
            .hub
            .seat(StreamId::from_random(random::unguessable()), None);
        Some(Tap::new(self.hub.log().clone(), seat, slot, wanted, grant))
    }
}
