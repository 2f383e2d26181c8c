//! The arguments of every subcommand, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A reverse proxy for Django that holds every event stream itself.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about)]
pub struct Arguments {
    /// What to do; without it, `run` if ./gateway.toml exists.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve (also without a subcommand, when ./gateway.toml exists)
    Run(RunArgs),
    /// Tell every mistake in the file, with line and column
    Check(CheckArgs),
    /// Print the configuration in force, defaults included, secrets masked
    Show(ShowArgs),
    /// Tell what would become of a request: which route answers, what Django would be sent
    Explain(ExplainArgs),
    /// Write a gateway.toml to begin with, for a Django project if there is one
    Init(InitArgs),
    /// Publish an event
    Publish(PublishArgs),
    /// Print events as they pass
    Tail(TailArgs),
    /// Show what goes on: streams, rates, channels, lag, the queue to Django; each second anew on a terminal
    Top(TopArgs),
    /// List the channels that have streams or events
    Channels(ChannelsArgs),
    /// End streams: of a user, on a channel, or one
    Kick(KickArgs),
    /// Make the hash of a password, which is read from standard input, for `basic_auth`
    HashPassword(HashPasswordArgs),
    /// Make a token that opens a stream of a route with `token`
    Token(TokenArgs),
    /// Have the running gateway read its file anew
    Reload(ReloadArgs),
    /// Ask the running gateway whether it is ready (exit code 0)
    Health(HealthArgs),
    /// Print what a shell needs to complete these commands
    Completions(CompletionsArgs),
    /// Print the version
    Version,
}

/// Which file.
#[derive(Debug, Clone, Args)]
pub struct FileArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::DEFAULT_FILE)]
    pub config: PathBuf,
}

impl Default for FileArgs {
    fn default() -> Self {
        Self {
            config: super::DEFAULT_FILE.into(),
        }
    }
}

/// `tidegate run`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Which file.
    #[command(flatten)]
    pub file: FileArgs,
}

/// `tidegate check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Which file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Also connect to every server of every upstream
    #[arg(long)]
    pub online: bool,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `tidegate show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Which file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tidegate explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The method (GET if there is none), and the URL or only its path
    #[arg(value_name = "[METHOD] URL", required = true, num_args = 1..=2)]
    pub request: Vec<String>,
    /// A header of the client, as in "Cookie: a=b"; may be given several times
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// The address that the client's connection comes from
    #[arg(long, value_name = "IP")]
    pub from: Option<std::net::IpAddr>,
    /// Which file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tidegate init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// The folder of the Django project [default: this one, if it has a manage.py]
    #[arg(long, value_name = "DIR")]
    pub django: Option<PathBuf>,
    /// The file to write, which must not be there yet
    #[arg(short, long, value_name = "FILE", default_value = super::DEFAULT_FILE)]
    pub config: PathBuf,
}

/// Where the internal listener of a running gateway is, and the token for it.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Find the internal listener and a token in this file [default: ./gateway.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The internal listener itself
    #[arg(long, value_name = "URL|unix:PATH")]
    pub internal: Option<String>,
    /// The bearer token
    #[arg(long)]
    pub token: Option<String>,
}

/// `tidegate publish`.
#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// The channel
    pub channel: String,
    /// The data; "-" reads it from standard input
    pub data: Option<String>,
    /// The event's name
    #[arg(short, long)]
    pub event: Option<String>,
    /// The event's own id
    #[arg(long)]
    pub id: Option<String>,
    /// End the channel's streams after this event
    #[arg(long)]
    pub close: bool,
    /// Standard input is a stream of JSON events, one a line, each delivered as it comes
    #[arg(long, conflicts_with_all = ["event", "id", "close"])]
    pub ndjson: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Where to.
    #[command(flatten)]
    pub connection: Connection,
}

/// `tidegate tail`.
#[derive(Debug, Clone, Args)]
pub struct TailArgs {
    /// Channels, or the URL of an event stream
    #[arg(
        value_name = "CHANNEL|URL",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub channels: Vec<String>,
    /// Every channel
    #[arg(long)]
    pub all: bool,
    /// Print each event as a line of JSON
    #[arg(long)]
    pub json: bool,
    /// Where from.
    #[command(flatten)]
    pub connection: Connection,
}

/// `tidegate channels`.
#[derive(Debug, Clone, Args)]
pub struct ChannelsArgs {
    /// Only channels that fit; * stands for any run of characters
    pub pattern: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Where from.
    #[command(flatten)]
    pub connection: Connection,
}

/// `tidegate top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// Show it once; so it is anyway if standard output is no terminal
    #[arg(long)]
    pub once: bool,
    /// Print it once, as JSON
    #[arg(long)]
    pub json: bool,
    /// The pause between two looks, also of --once, whose rates are those of such a time
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub interval: String,
    /// The order of the channels
    #[arg(long, value_enum, default_value_t)]
    pub by: super::top::By,
    /// Where from.
    #[command(flatten)]
    pub connection: Connection,
}

/// `tidegate kick`.
#[derive(Debug, Clone, Args)]
pub struct KickArgs {
    /// Whose streams
    #[arg(value_enum, value_name = "user|channel|stream")]
    pub what: KickWhat,
    /// The user, the channel, or the stream's id
    #[arg(allow_hyphen_values = true)]
    pub name: String,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Where to.
    #[command(flatten)]
    pub connection: Connection,
}

/// `tidegate hash-password`.
#[derive(Debug, Clone, Args)]
pub struct HashPasswordArgs {
    /// Whose password it is: the line is then what `users` and a file of users hold
    pub name: Option<String>,
}

/// `tidegate token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// What it opens, with commas between
    #[arg(long, required = true, value_delimiter = ',', value_name = "CHANNEL,…")]
    pub channels: Vec<String>,
    /// Whose stream it is
    #[arg(long)]
    pub user: Option<String>,
    /// For how long it is good, as in 90s or 1h [default: an hour, or as long as the route allows]
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,
    /// The path of the route, if there are several with `token`
    #[arg(long, value_name = "PATH")]
    pub route: Option<String>,
    /// The private key in PEM form, if the route has a public one
    #[arg(long, value_name = "PEM")]
    pub key_file: Option<PathBuf>,
    /// Which file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Print the token, and what it says, as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tidegate reload`.
#[derive(Debug, Clone, Args)]
pub struct ReloadArgs {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Where to.
    #[command(flatten)]
    pub connection: Connection,
}

/// `tidegate health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// Find the internal listener in this file [default: ./gateway.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The internal listener itself
    #[arg(long, value_name = "URL|unix:PATH")]
    pub internal: Option<String>,
}

/// `tidegate completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Whose streams a kick ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KickWhat {
    /// Those of a user
    User,
    /// Those on a channel
    Channel,
    /// This one
    Stream,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_contract_s_command_lines_are_read() {
        for line in [
            "",
            "run -c other.toml",
            "check --online --json",
            "show --config x",
            "show --json",
            "publish room-1 - -e tick --id 7 --close --internal unix:/run/x --token t --json",
            "publish room-1 {} -c gateway.toml",
            "publish room-1 --ndjson",
            "publish room-1 --close",
            "tail a b --json",
            "tail --all --internal http://127.0.0.1:9090",
            "tail http://localhost/events/",
            "top",
            "top --once --json --interval 2s --by rate -c x",
            "top --internal unix:/run/x --token t",
            "channels",
            "channels room-* --json -c x",
            "kick user 42",
            "kick user -1 --token t",
            "kick channel room-1 --json",
            "kick stream 00000000000000000000000000000001 --internal unix:/run/x",
            "hash-password",
            "hash-password ann",
            "token --channels a,b",
            "token --channels a --user 42 --ttl 5m --route /live/ --key-file k -c x --json",
            "reload",
            "reload -c x --json",
            "reload --internal unix:/run/x --token t",
            "health",
            "health -c x --internal unix:/run/x",
            "explain /a/",
            "explain POST https://site.test/a/?b -c x --json --from 10.0.0.1 -H A:b -H C:d",
            "init",
            "init --django /srv/app -c x",
            "completions bash",
            "completions powershell",
            "version",
        ] {
            let words = ["tidegate"].into_iter().chain(line.split_whitespace());
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "serve",
            "publish",
            "tail",
            "tail --all a",
            "check -x",
            "run more",
            "channels a b",
            "kick 42",
            "kick user",
            "kick users 42",
            "hash-password ann secret",
            "top 5",
            "top --by name",
            "token",
            "token a",
            "reload gateway.toml",
            "explain",
            "explain GET /a /b",
            "explain /a --from somewhere",
            "init /srv/app",
            "init --force",
            "completions",
            "completions tcsh",
        ] {
            let words = ["tidegate"].into_iter().chain(line.split_whitespace());
            assert!(Arguments::try_parse_from(words).is_err(), "{line}");
        }
    }
}
