//! What `top` asks the gateway, and what comes of two looks.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::By;
use crate::cli::client::Client;
use crate::cli::error::CommandError;

/// A gateway with more channels is not asked for them each second.
pub(super) const MOST_CHANNELS: u64 = 5_000;
/// How many streams are looked at for what they lag.
pub(super) const MOST_STREAMS: usize = 1_000;

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Look {
    at: Instant,
    stats: Stats,
    /// `None` if there are too many.
    channels: Option<Vec<Channel>>,
    streams: Vec<Stream>,
    /// Of the metrics, by their names: those with `upstream` by that, the others summed up.
    upstreams: BTreeMap<String, Upstream>,
    published: f64,
    delivered: f64,
    requests: f64,
    connections: f64,
}

/// What is shown.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    #[serde(flatten)]
    pub(super) stats: Stats,
    pub(super) connections: f64,
    pub(super) requests_per_second: f64,
    pub(super) published_per_second: f64,
    pub(super) delivered_per_second: f64,
    pub(super) lag: Lag,
    pub(super) upstreams: Vec<Upstream>,
    /// In the order that was wanted; `null` if there are too many.
    #[serde(rename = "list")]
    pub(super) channels: Option<Vec<Channel>>,
}

/// `GET /v1/stats`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stats {
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) streams: u64,
    pub(super) channels: u64,
    pub(super) events: u64,
    pub(super) last_id: String,
}

/// One of `GET /v1/channels`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) streams: u64,
    pub(super) events: u64,
    pub(super) rate: f64,
    pub(super) last_id: Option<String>,
}

/// One of `GET /v1/streams`.
#[derive(Debug, Clone, Deserialize)]
struct Stream {
    lag: u64,
}

/// How far streams are behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Lag {
    /// How many were looked at, the longest open first.
    pub(super) looked_at: usize,
    pub(super) behind: usize,
    /// Events that one of them is still to be given.
    pub(super) most: u64,
}

/// The queue in front of Django.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) in_flight: f64,
    pub(super) waiting: f64,
    pub(super) servers_up: f64,
}

impl Look {
    pub(super) async fn at(client: &mut Client, metrics: &str) -> Result<Self, CommandError> {
        #[derive(Deserialize)]
        struct Channels {
            channels: Vec<Channel>,
        }
        #[derive(Deserialize)]
        struct Streams {
            streams: Vec<Stream>,
        }
        let stats: Stats = read(&asked(client, "/v1/stats").await?)?;
        let channels = if stats.channels > MOST_CHANNELS {
            None
        } else {
            let told: Channels = read(&asked(client, "/v1/channels").await?)?;
            Some(told.channels)
        };
        let streams = asked(client, &format!("/v1/streams?limit={MOST_STREAMS}")).await?;
        let Streams { streams } = read(&streams)?;
        let text = asked(client, metrics).await?;
        let mut look = Self {
            at: Instant::now(),
            stats,
            channels,
            streams,
            upstreams: BTreeMap::new(),
            published: 0.0,
            delivered: 0.0,
            requests: 0.0,
            connections: 0.0,
        };
        look.read_metrics(&String::from_utf8_lossy(&text));
        Ok(look)
    }

    fn read_metrics(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // Neither names nor the labels that matter have spaces in them.
            let Some((series, value)) = line.split_once(' ') else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Ok(value) = value.trim().parse::<f64>() else {
                continue;
            };
            match name {
                "tidegate_events_published_total" => self.published += value,
                "tidegate_events_delivered_total" => self.delivered += value,
                "tidegate_requests_total" => self.requests += value,
                "tidegate_connections_open" => self.connections += value,
                "tidegate_upstream_in_flight" => self.upstream(labels).in_flight = value,
                "tidegate_upstream_waiting" => self.upstream(labels).waiting = value,
                "tidegate_upstream_servers_up" => self.upstream(labels).servers_up = value,
                _ => {}
            }
        }
    }

    fn upstream(&mut self, labels: &str) -> &mut Upstream {
        let name = labels.strip_prefix("upstream=\"");
        let name = name.and_then(|rest| rest.split('"').next());
        let name = name.unwrap_or_default().to_owned();
        let new = || Upstream {
            name: name.clone(),
            ..Upstream::default()
        };
        self.upstreams.entry(name.clone()).or_insert_with(new)
    }
}

impl Sample {
    /// What `look` says, with the rates since `before`.
    pub(super) fn between(before: &Look, look: Look, by: By) -> Self {
        let passed = look.at.saturating_duration_since(before.at);
        let channels = look.channels.map(|mut channels| {
            channels.sort_by(|one, other| {
                let streams = other.streams.cmp(&one.streams);
                let rate = other.rate.total_cmp(&one.rate);
                match by {
                    By::Streams => streams.then(rate),
                    By::Rate => rate.then(streams),
                }
            });
            channels
        });
        let lags = || look.streams.iter().map(|stream| stream.lag);
        Self {
            connections: look.connections,
            requests_per_second: rate(before.requests, look.requests, passed),
            published_per_second: rate(before.published, look.published, passed),
            delivered_per_second: rate(before.delivered, look.delivered, passed),
            lag: Lag {
                looked_at: look.streams.len(),
                behind: lags().filter(|lag| *lag > 0).count(),
                most: lags().max().unwrap_or_default(),
            },
            upstreams: look.upstreams.into_values().collect(),
            channels,
            stats: look.stats,
        }
    }

    pub(super) fn as_json(&self) -> Value {
        serde_json::to_value(self).expect("texts and numbers can always be written as JSON")
    }
}

/// How much a counter has grown in a second. One that is smaller now is of another life of the gateway.
fn rate(before: f64, now: f64, passed: Duration) -> f64 {
    let seconds = passed.as_secs_f64();
    if now < before || seconds <= 0.0 {
        return 0.0;
    }
    ((now - before) / seconds * 10.0).round() / 10.0
}

async fn asked(client: &mut Client, path: &str) -> Result<Bytes, CommandError> {
    let uri: Uri = path.parse().map_err(|_| CommandError::Foreign)?;
    let request = Request::builder().uri(uri).body(Full::default());
    let request = request.expect("a path makes a valid request");
    client.ask(request).await
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, CommandError> {
    serde_json::from_slice(answer).map_err(|_| CommandError::Foreign)
}
