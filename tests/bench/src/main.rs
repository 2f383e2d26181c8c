//! What the benches of Tidegate are made of: a load generator, the least a server can do, and an origin to ask.
//!
//! Started by `tests/bench/compare`, or by hand. Each is one thread around one epoll, so that one core carries it and
//! nothing but the kernel stands between a number and its cause. Results are lines of JSON on standard output.

mod arguments;
mod body;
mod clock;
mod error;
mod floor;
mod histogram;
mod http;
mod load;
mod net;
mod origin;
mod output;
mod serve;
mod stamp;
mod target;
mod tls;

use std::process::ExitCode;

use arguments::{Arguments, Command, Load};
use clap::Parser as _;
use error::Error;

fn main() -> ExitCode {
    net::raise_open_files();
    let result = match Arguments::parse().command {
        Command::Load(Load::Hold(options)) => load::hold(&options),
        Command::Load(Load::Fanout(options)) => load::fanout(&options),
        Command::Load(Load::Churn(options)) => load::churn(&options),
        Command::Load(Load::Proxy(options)) => load::proxy(&options),
        Command::Load(Load::Handshakes(options)) => load::handshakes(&options),
        Command::Floor(options) => floor::run(&options),
        Command::Origin(options) => origin::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn report(error: &Error) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    eprintln!("tidegate-bench: {text}");
}
