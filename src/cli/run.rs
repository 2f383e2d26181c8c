//! `tidegate run`: serve until told to stop.
//!
//! SIGTERM drains gently, SIGINT (Ctrl-C) quickly; a second signal of either kind ends the process at once. SIGUSR1 has
//! the access log opened again, also while draining; without one it does nothing, so that a rotation cannot end us. SIGHUP
//! has the file read anew.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::RunArgs;
use super::error::with_causes;
use super::exit::Exit;
use super::{file, terminal, watchdog};
use crate::app::{Gateway, Pace, Source, StartError};
use crate::base::access::Lines;
use crate::base::{log, systemd};
use crate::config::Config;
use crate::internal::reload::Reloads;

/// How long what runs off the event loop may still take.
const LAST_PATIENCE: Duration = Duration::from_millis(100);

/// Runs the subcommand.
pub(super) fn run(args: &RunArgs) -> ExitCode {
    let config = match file::load(&args.file.config) {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    // Nothing has started a thread yet.
    systemd::collect();
    log::start(config.log);
    match serve(config, Source::file(args.file.config.clone())) {
        Ok(()) => Exit::Good.into(),
        Err(error) => {
            terminal::say(with_causes(&error));
            Exit::Failed.into()
        }
    }
}

fn serve(config: Config, source: Source) -> Result<(), StartError> {
    let runtime = runtime(config.workers).map_err(StartError::Runtime)?;
    let served = runtime.block_on(async {
        let mut signals = Signals::new().map_err(StartError::Runtime)?;
        let rotated = signal(SignalKind::user_defined1()).map_err(StartError::Runtime)?;
        let hangup = signal(SignalKind::hangup()).map_err(StartError::Runtime)?;
        // In a box, for the start is much larger than what comes after it.
        let gateway = Box::pin(Gateway::start(config, source)).await?;
        watchdog::begin();
        let (lines, reloads) = (gateway.access_lines(), gateway.reloads());
        let servers = gateway.servers();
        tokio::select! {
            // The end first: a rotation has nothing to say after it.
            biased;
            () = until_stopped(gateway, &mut signals) => {}
            never = reopen(rotated, lines) => match never {},
            never = reload(hangup, reloads) => match never {},
            never = watchdog::watch(&servers) => match never {},
        }
        Ok(())
    });
    runtime.shutdown_timeout(LAST_PATIENCE);
    served
}

async fn until_stopped(gateway: Gateway, signals: &mut Signals) {
    let pace = signals.next().await;
    tokio::select! {
        () = gateway.stop(pace) => {}
        _ = signals.next() => tracing::warn!("Stopped at once by a second signal"),
    }
}

async fn reopen(mut rotated: Signal, lines: Option<Lines>) -> Infallible {
    while rotated.recv().await.is_some() {
        if let Some(lines) = &lines {
            lines.reopen();
        }
    }
    std::future::pending().await
}

async fn reload(mut hangup: Signal, reloads: Reloads) -> Infallible {
    while hangup.recv().await.is_some() {
        // Whoever reloads has told the log what came of it.
        drop(reloads.ask().await);
    }
    std::future::pending().await
}

fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Pace {
        tokio::select! {
            _ = self.terminate.recv() => Pace::Gentle,
            _ = self.interrupt.recv() => Pace::Quick,
        }
    }
}
