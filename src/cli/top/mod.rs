//! `tidegate top`: what goes on in the running gateway, each second anew.
//!
//! Called by `remote`. `sample` asks, `table` writes. On a terminal the table stays until Ctrl-C, on a screen of its own, which is
//! put away however this ends; elsewhere, and with `--once` or `--json`, there is one table. Rates are those between two
//! looks, so one table takes an interval as well. Bounds: [`sample::MOST_CHANNELS`], [`sample::MOST_STREAMS`], and what the client
//! takes for an answer.

mod sample;
mod screen;
mod table;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Client, Target};
use super::error::CommandError;
use sample::{Look, Sample};
use screen::{Screen, Size};

/// In what order channels are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum By {
    /// Those with the most streams first
    #[default]
    Streams,
    /// Those with the most events a second first
    Rate,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The path of the metrics.
    pub(crate) metrics: String,
    pub(crate) every: Duration,
    pub(crate) by: By,
    pub(crate) once: bool,
    pub(crate) json: bool,
}

/// Looks until it is enough.
pub(crate) async fn top(
    target: Target,
    token: Option<&str>,
    wanted: Wanted,
) -> Result<(), CommandError> {
    let client = Client::new(target, token)?;
    let mut out = io::stdout();
    if wanted.once || wanted.json || !out.is_terminal() {
        return once(client, &wanted, &mut out).await;
    }
    let end = end().map_err(CommandError::Output)?;
    let screen = Screen::begin(&mut out).map_err(CommandError::Output)?;
    live(client, &wanted, screen, screen::size, end).await
}

/// Two looks, and what came of them.
async fn once(
    mut client: Client,
    wanted: &Wanted,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let first = Look::at(&mut client, &wanted.metrics).await?;
    let mut pause = ticks(wanted.every);
    pause.tick().await;
    pause.tick().await;
    let second = Look::at(&mut client, &wanted.metrics).await?;
    let sample = Sample::between(&first, second, wanted.by);
    let text = if wanted.json {
        format!("{}\n", sample.as_json())
    } else {
        table::of(&sample, None)
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `tidegate top --once | head` has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// A look each interval, until `end`.
async fn live<W: Write>(
    mut client: Client,
    wanted: &Wanted,
    mut screen: Screen<W>,
    size: impl Fn() -> Size,
    end: impl Future<Output = ()>,
) -> Result<(), CommandError> {
    let looking = async {
        let mut before = Look::at(&mut client, &wanted.metrics).await?;
        let mut ticks = ticks(wanted.every);
        loop {
            ticks.tick().await;
            let look = Look::at(&mut client, &wanted.metrics).await?;
            let sample = Sample::between(&before, look.clone(), wanted.by);
            // The terminal may have another size by now.
            let text = table::of(&sample, Some(size()));
            screen.show(&text).map_err(CommandError::Output)?;
            before = look;
        }
    };
    tokio::select! {
        biased;
        () = end => Ok(()),
        failed = looking => failed,
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    // A gateway that was slow to answer is not asked the more often for it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Ctrl-C, or another polite end.
fn end() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        // Whichever it is, the end is the same.
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
