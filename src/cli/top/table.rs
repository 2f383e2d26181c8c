//! How a sample is written: a few lines of numbers, the upstreams, then the channels, as many as there is room for.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::sample::{Channel, Lag, MOST_CHANNELS, Sample, Upstream};
use super::screen::Size;
use crate::cli::line::column;

/// How many channels are listed where there is no end to the lines.
const LISTED: usize = 50;
/// How wide the name of a channel is at least, and at most.
const NAME: std::ops::RangeInclusive<usize> = 12..=48;

/// The lines; on a screen no more, and no longer, than it has room for.
pub(super) fn of(sample: &Sample, size: Option<Size>) -> String {
    let mut text = String::new();
    write(&mut text, sample, size).expect("a string takes any text");
    match size {
        Some(size) => cut(&text, size),
        None => text,
    }
}

fn write(out: &mut String, sample: &Sample, size: Option<Size>) -> fmt::Result {
    let stats = &sample.stats;
    let mut version = String::new();
    column(&mut version, &stats.version, "-");
    let up = Duration::from_secs(stats.uptime_seconds);
    writeln!(out, "tidegate {version}, up {}", period(up))?;
    writeln!(
        out,
        "streams {}  channels {}  events {}  connections {}",
        stats.streams, stats.channels, stats.events, sample.connections
    )?;
    let Sample {
        requests_per_second: requests,
        published_per_second: published,
        delivered_per_second: delivered,
        ..
    } = sample;
    writeln!(
        out,
        "requests {requests:.1}/s  published {published:.1}/s  delivered {delivered:.1}/s"
    )?;
    lag(out, sample.lag)?;
    upstreams(out, &sample.upstreams)?;
    let written = out.lines().count();
    let room = size.map_or(LISTED, |size| size.rows.saturating_sub(written + 2));
    match &sample.channels {
        Some(all) => channels(out, all, room),
        None => writeln!(
            out,
            "\nMore than {MOST_CHANNELS} channels: `tidegate channels PATTERN` lists some"
        ),
    }
}

fn lag(out: &mut String, lag: Lag) -> fmt::Result {
    let Lag {
        looked_at,
        behind,
        most,
    } = lag;
    writeln!(
        out,
        "lag {most} events at most, {behind} of {looked_at} streams behind"
    )
}

fn upstreams(out: &mut String, upstreams: &[Upstream]) -> fmt::Result {
    let longest = upstreams
        .iter()
        .map(|upstream| upstream.name.chars().count());
    let width = longest.max().unwrap_or_default().max("UPSTREAM".len());
    if !upstreams.is_empty() {
        writeln!(
            out,
            "\n{:width$}  IN FLIGHT  WAITING  SERVERS UP",
            "UPSTREAM"
        )?;
    }
    for upstream in upstreams {
        let mut name = String::new();
        column(&mut name, &upstream.name, "-");
        let (in_flight, waiting, up) = (upstream.in_flight, upstream.waiting, upstream.servers_up);
        writeln!(out, "{name:width$}  {in_flight:>9}  {waiting:>7}  {up:>10}")?;
    }
    Ok(())
}

fn channels(out: &mut String, all: &[Channel], room: usize) -> fmt::Result {
    let shown = all.get(..room.min(all.len())).unwrap_or_default();
    let longest = shown.iter().map(|channel| channel.name.chars().count());
    let width = longest.max().unwrap_or_default();
    let width = width.clamp(*NAME.start(), *NAME.end());
    writeln!(
        out,
        "\n{:width$}  STREAMS   EVENTS  RATE/S  LAST ID",
        "CHANNEL"
    )?;
    for channel in shown {
        let (mut name, mut last_id) = (String::new(), String::new());
        column(&mut name, &channel.name, "-");
        // A publisher's id is foreign text.
        column(
            &mut last_id,
            channel.last_id.as_deref().unwrap_or_default(),
            "-",
        );
        let (streams, events, rate) = (channel.streams, channel.events, channel.rate);
        writeln!(
            out,
            "{name:width$}  {streams:>7}  {events:>7}  {rate:>6}  {last_id}"
        )?;
    }
    Ok(())
}

/// A period as people say it, in its two largest units.
fn period(period: Duration) -> String {
    let seconds = period.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn cut(text: &str, size: Size) -> String {
    let lines = text.lines().take(size.rows);
    let lines = lines.map(|line| line.chars().take(size.columns).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}
