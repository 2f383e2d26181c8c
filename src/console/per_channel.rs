//! Gauges for each channel, for who asks for them: `metrics.per_channel`.
//!
//! They are made anew whenever the metrics are read. Names of channels make bad labels, for there may be any number, and
//! whoever reads the metrics sees them; so the bound is 1,000 channels, those with the most streams first, and how many are
//! left out is a gauge as well.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use crate::domain::ChannelName;
use crate::hub::Hub;

/// The channels that are told apart.
const MOST: usize = 1000;

type Gauges = Family<[(&'static str, String); 1], Gauge>;

/// Counts when it is asked.
#[derive(Debug)]
pub(super) struct PerChannel(Hub);

impl PerChannel {
    pub(super) const fn new(hub: Hub) -> Self {
        Self(hub)
    }

    /// The channels with their streams and events, at most [`MOST`] of them, and how many others there are.
    fn channels(&self) -> (Vec<(ChannelName, usize, usize)>, usize) {
        let mut counts: HashMap<ChannelName, (usize, usize)> = HashMap::new();
        for depth in self.0.log().depths() {
            counts.insert(depth.channel, (0, depth.events));
        }
        for audience in self.0.audiences() {
            counts.entry(audience.channel).or_default().0 = audience.streams;
        }
        let mut channels: Vec<_> = counts
            .into_iter()
            .map(|(name, (streams, events))| (name, streams, events))
            .collect();
        channels.sort_unstable_by(|(a, one, _), (b, other, _)| {
            Reverse(one).cmp(&Reverse(other)).then_with(|| a.cmp(b))
        });
        let left_out = channels.len().saturating_sub(MOST);
        channels.truncate(MOST);
        (channels, left_out)
    }
}

impl Collector for PerChannel {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (channels, left_out) = self.channels();
        let (streams, events) = (Gauges::default(), Gauges::default());
        let set = |gauges: &Gauges, name: &ChannelName, value: usize| {
            let label = [("channel", name.as_str().to_owned())];
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauges.get_or_create(&label).set(value);
        };
        for (name, on, kept) in &channels {
            set(&streams, name, *on);
            set(&events, name, *kept);
        }
        for (name, help, gauges) in [
            ("channel_streams", "Open streams on a channel", streams),
            ("channel_events", "Events that a channel keeps", events),
        ] {
            gauges.encode(encoder.encode_descriptor(name, help, None, gauges.metric_type())?)?;
        }
        let left_out = ConstGauge::new(i64::try_from(left_out).unwrap_or(i64::MAX));
        let help = "Channels beyond those that have gauges of their own";
        let kind = left_out.metric_type();
        left_out.encode(encoder.encode_descriptor("channels_left_out", help, None, kind)?)
    }
}
