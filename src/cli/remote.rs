//! `tidegate publish`, `tail`, `top`, `channels`, `kick` and `reload`: where the running gateway is, and with which token it is spoken to.
//!
//! `--internal` and `--token` say it; else the file does. A token of the file goes to an address of the command line
//! only if the file was named there too.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::arguments::{
    ChannelsArgs, Connection, HealthArgs, KickArgs, KickWhat, PublishArgs, ReloadArgs, TailArgs,
    TopArgs,
};
use super::client::Target;
use super::console::{Question, Whom};
use super::error::CommandError;
use super::exit::Exit;
use super::tail::Source;
use super::terminal::say;
use super::{DEFAULT_FILE, file, runtime};
use crate::config::{self, Config};
use crate::domain::{ChannelName, StreamId, UserId};
use crate::server::{Address, Listen, Role};
use crate::tokens::Token;
use crate::wire::duration;

/// The shortest pause between two looks: more often would be a burden.
const SHORTEST: Duration = Duration::from_millis(100);

/// Where to, and with which tokens: the first is the one to show.
type Way = (Target, Vec<String>);

/// Runs `tidegate publish`.
pub(super) fn publish(args: PublishArgs) -> ExitCode {
    let channels: Vec<_> = ChannelName::parse(&args.channel).into_iter().collect();
    let (target, tokens) = match way(&args.connection, Some(&channels)) {
        Ok(way) => way,
        Err(exit) => return exit,
    };
    let args = super::publish::PublishArgs {
        channel: args.channel,
        data: args.data,
        event: args.event,
        id: args.id,
        close: args.close,
        ndjson: args.ndjson,
        json: args.json,
    };
    finish(super::publish::publish(target, shown(&tokens), args))
}

/// Runs `tidegate tail`.
pub(super) fn tail(args: &TailArgs) -> ExitCode {
    let source = match Source::of(&args.channels, args.all) {
        Ok(source) => source,
        Err(error) => return failed(&error),
    };
    let way = match &source {
        Source::Url { server, .. } => Ok((server.clone(), Vec::new())),
        Source::Channels(channels) => way(&args.connection, Some(channels)),
        Source::All => way(&args.connection, None),
    };
    match way {
        Ok((target, tokens)) => {
            finish(super::tail::tail(target, shown(&tokens), source, args.json))
        }
        Err(exit) => exit,
    }
}

/// Runs `tidegate channels`.
pub(super) fn channels(args: &ChannelsArgs) -> ExitCode {
    // A token for some channels is good: it is told those.
    let question = Question::channels(args.pattern.as_deref());
    asked(question, None, args.json, &args.connection)
}

/// Runs `tidegate top`.
pub(super) fn top(args: &TopArgs) -> ExitCode {
    let every = match duration::parse(&args.interval) {
        Ok(every) if every >= SHORTEST => every,
        Ok(_) => return failed(&CommandError::Usage("an interval is 100ms at least")),
        Err(_) => {
            return failed(&CommandError::Usage(
                "an interval is written as in 500ms or 2s",
            ));
        }
    };
    let (target, tokens) = match way(&args.connection, None) {
        Ok(way) => way,
        Err(exit) => return exit,
    };
    let wanted = super::top::Wanted {
        metrics: metrics_path(&args.connection),
        every,
        by: args.by,
        once: args.once,
        json: args.json,
    };
    finish(super::top::top(target, shown(&tokens), wanted))
}

/// Where the metrics are: as the file says, if it is read, else where they usually are.
fn metrics_path(connection: &Connection) -> String {
    let path = match (&connection.config, &connection.internal) {
        (Some(path), _) => Some(path.as_path()),
        (None, Some(_)) => None,
        (None, None) => Some(Path::new(DEFAULT_FILE)),
    };
    let config = path.and_then(|path| config::load(path).ok());
    config.map_or_else(|| "/metrics".to_owned(), |config| config.metrics.path)
}

/// Runs `tidegate kick`.
pub(super) fn kick(args: &KickArgs) -> ExitCode {
    let whom = whom(args.what, &args.name);
    let channel = match &whom {
        Ok(Whom::Channel(name)) => Some(vec![name.clone()]),
        _ => None,
    };
    let question = whom.map(Question::Kick);
    asked(question, channel.as_deref(), args.json, &args.connection)
}

/// Runs `tidegate reload`.
pub(super) fn reload(args: &ReloadArgs) -> ExitCode {
    match way(&args.connection, None) {
        Ok((target, tokens)) => finish(super::reload::reload(target, tokens, args.json)),
        Err(exit) => exit,
    }
}

/// Runs `tidegate health`.
pub(super) fn health(args: HealthArgs) -> ExitCode {
    // A file that was made wrong since the start is no illness of the gateway, which goes on with what it has.
    if args.internal.is_none()
        && let path = args
            .config
            .as_deref()
            .unwrap_or_else(|| Path::new(DEFAULT_FILE))
        && let Ok(listen) = config::listeners(path)
        && let Some(target) = internal(&listen)
    {
        return finish(super::health::health(target));
    }
    let connection = Connection {
        config: args.config,
        internal: args.internal,
        token: None,
    };
    match way(&connection, None) {
        Ok((target, _)) => finish(super::health::health(target)),
        Err(exit) => exit,
    }
}

fn whom(what: KickWhat, name: &str) -> Result<Whom, CommandError> {
    match what {
        KickWhat::User => UserId::parse(name)
            .map(Whom::User)
            .ok_or(CommandError::Usage(
                "a user has 1 to 200 bytes and no control characters",
            )),
        KickWhat::Channel => ChannelName::parse(name)
            .map(Whom::Channel)
            .map_err(|source| CommandError::Channel {
                name: name.to_owned(),
                source,
            }),
        KickWhat::Stream => StreamId::parse(name)
            .map(Whom::Stream)
            .ok_or(CommandError::Usage(
                "a stream is named by 32 hexadecimal digits in lower case",
            )),
    }
}

fn asked(
    question: Result<Question, CommandError>,
    channels: Option<&[ChannelName]>,
    json: bool,
    connection: &Connection,
) -> ExitCode {
    let question = match question {
        Ok(question) => question,
        Err(error) => return failed(&error),
    };
    match way(connection, channels) {
        Ok((target, tokens)) => finish(super::console::ask(target, shown(&tokens), question, json)),
        Err(exit) => exit,
    }
}

fn finish(command: impl Future<Output = Result<(), CommandError>>) -> ExitCode {
    match runtime::run(command) {
        Ok(Ok(())) => Exit::Good.into(),
        Ok(Err(error)) => failed(&error),
        Err(error) => {
            say(format_args!("no runtime: {error}"));
            Exit::Failed.into()
        }
    }
}

fn failed(error: &CommandError) -> ExitCode {
    say(error.report());
    ExitCode::from(error.exit_code())
}

fn shown(tokens: &[String]) -> Option<&str> {
    tokens.first().map(String::as_str)
}

/// `channels`: what the tokens must be good for; `None` is every channel.
fn way(connection: &Connection, channels: Option<&[ChannelName]>) -> Result<Way, ExitCode> {
    let mut tokens: Vec<_> = connection.token.iter().cloned().collect();
    if let Some(address) = &connection.internal {
        let target = Target::parse(address).map_err(|error| failed(&error.into()))?;
        if let (true, Some(path)) = (tokens.is_empty(), &connection.config) {
            tokens = fitting(&file::load(path)?, channels);
        }
        return Ok((target, tokens));
    }
    let path = connection.config.as_deref();
    let path = path.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let config = file::load(path)?;
    let Some(target) = internal(&config.listen) else {
        let path = path.display();
        say(format_args!(
            "{path} has no internal listener with a port and without TLS: name one by --internal"
        ));
        return Err(Exit::Config.into());
    };
    if tokens.is_empty() {
        tokens = fitting(&config, channels);
    }
    Ok((target, tokens))
}

/// The first internal listener that can be found from outside the gateway, and is spoken with plainly.
fn internal(listen: &[Listen]) -> Option<Target> {
    let internal = |listen: &&Listen| listen.role == Role::Internal && listen.tls.is_empty();
    listen
        .iter()
        .filter(internal)
        .find_map(|listen| match &listen.address {
            Address::Unix(path) => Some(Target::Unix(path.clone())),
            // Which port it is, only systemd knows.
            Address::Systemd(_) => None,
            Address::Tcp(address) if address.port() == 0 => None,
            Address::Tcp(address) => Target::parse(&format!("http://{}", reachable(*address))).ok(),
        })
}

/// The address to connect to for one that is listened on.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The tokens that are good for all the channels; else the first, so that the gateway says what is wrong.
fn fitting(config: &Config, channels: Option<&[ChannelName]>) -> Vec<String> {
    let allows = |token: &Token, channel: &ChannelName| {
        let patterns = &token.channels;
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(channel))
    };
    let fits = |token: &&Token| match channels {
        Some(channels) => channels.iter().all(|channel| allows(token, channel)),
        None => token.channels.is_empty(),
    };
    // One that only signs is of no use here.
    let shown = || config.tokens.iter().filter(|token| token.secret.is_some());
    let mut fitting: Vec<_> = shown().filter(fits).collect();
    if fitting.is_empty() {
        fitting.extend(shown().next());
    }
    let secrets = fitting.iter().filter_map(|token| token.secret.as_ref());
    secrets.map(|secret| secret.expose().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Process, parse};

    fn config(listen: &str) -> Config {
        let text = format!(
            "version = 1\n[listen.http]\naddress = \"127.0.0.1:0\"\n[listen.a]\nrole = \"internal\"\naddress = \"{listen}\"\n\
             [upstream.django]\nservers = [\"127.0.0.1:1\"]\n[[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n\
             [publish]\ntokens = [{{ name = \"a\", secret = \"one\", channels = [\"a-*\"] }}, {{ name = \"b\", secret = \"two\" }}]\n"
        );
        parse(&text, &Process).unwrap()
    }

    #[test]
    fn the_internal_listener_is_found_in_the_file() {
        for (listen, target) in [
            ("127.0.0.1:9090", Some("http://127.0.0.1:9090")),
            ("0.0.0.0:9090", Some("http://127.0.0.1:9090")),
            ("[::]:9090", Some("http://[::1]:9090")),
            ("unix:/run/x", Some("unix:/run/x")),
            ("127.0.0.1:0", None),
        ] {
            let expected = target.map(|target| Target::parse(target).unwrap());
            assert_eq!(internal(&config(listen).listen), expected, "{listen}");
        }
    }

    #[test]
    fn a_token_that_fits_is_taken() {
        let config = config("unix:/run/x");
        let channel = |name| ChannelName::parse(name).unwrap();
        let tokens = |channels: &[ChannelName]| fitting(&config, Some(channels));
        assert_eq!(tokens(&[channel("a-1")]), ["one", "two"]);
        assert_eq!(tokens(&[channel("a-1"), channel("b-1")]), ["two"]);
        assert_eq!(fitting(&config, None), ["two"]);
    }
}
