//! `tidegate check`: is the file right, and with `--online`, do the upstreams answer?

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::arguments::CheckArgs;
use super::exit::Exit;
use super::file;
use super::terminal::{data, say};
use crate::config::{self, Config, ConfigError};
use crate::redis;
use crate::upstream::Server;

/// Runs the subcommand.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    check(args).into()
}

fn check(args: &CheckArgs) -> Exit {
    let config = match config::load(&args.file.config) {
        Ok(config) => config,
        Err(error) if args.json => {
            data(format_args!("{}\n", mistakes(&error)));
            return Exit::Config;
        }
        Err(error) => {
            file::tell(&error);
            return Exit::Config;
        }
    };
    let dialled = if args.online {
        dial(&config)
    } else {
        Ok(Vec::new())
    };
    let dialled = match dialled {
        Ok(dialled) => dialled,
        Err(error) => {
            say(format_args!("no runtime to dial with: {error}"));
            return Exit::Failed;
        }
    };
    let reached = dialled.iter().all(|(_, result)| result.is_ok());
    if args.json {
        let servers: Vec<_> = dialled
            .iter()
            .map(|(server, result)| {
                let error = result.as_ref().err().map(ToString::to_string);
                json!({ "server": server, "error": error })
            })
            .collect();
        let answer = json!({ "good": true, "problems": [], "online": servers });
        data(format_args!("{answer}\n"));
    } else {
        say(format_args!(
            "{}: good ({})",
            args.file.config.display(),
            summary(&config)
        ));
        for (server, result) in &dialled {
            match result {
                Ok(()) => say(format_args!("{server}: reached")),
                Err(error) => say(format_args!("{server}: {error}")),
            }
        }
    }
    if reached {
        Exit::Good
    } else {
        Exit::Unreachable
    }
}

fn mistakes(error: &ConfigError) -> Value {
    match error {
        ConfigError::Unreadable { source, .. } => {
            json!({ "good": false, "error": format!("{error}: {source}"), "problems": [] })
        }
        ConfigError::Invalid { problems, .. } => {
            let problems: Vec<_> = problems
                .iter()
                .map(|problem| {
                    json!({
                        "line": problem.line,
                        "column": problem.column,
                        "key": problem.key,
                        "message": problem.message,
                        "hint": problem.hint,
                    })
                })
                .collect();
            json!({ "good": false, "problems": problems })
        }
    }
}

fn summary(config: &Config) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    [
        count(config.listen.len(), "listener"),
        count(config.upstreams.len(), "upstream"),
        count(config.routes.entries().len(), "route"),
        count(config.tokens.iter().count(), "token"),
    ]
    .join(", ")
}

/// Why somebody was not reached.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error(transparent)]
    Upstream(#[from] io::Error),
    #[error("{}", with_causes(.0))]
    Redis(#[from] redis::Lost),
}

/// An error with what has caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let told: Vec<_> = causes.map(ToString::to_string).collect();
    told.join(": ")
}

/// Connects to every server of every upstream, one after the other, each within its own `connect_timeout`; then to Redis.
fn dial(config: &Config) -> io::Result<Vec<(String, Result<(), Unreached>)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async {
        let mut dialled = Vec::new();
        for upstream in &config.upstreams {
            for server in &upstream.servers {
                let result = connect(server, upstream.connect_timeout).await;
                let result = result.map_err(Unreached::from);
                dialled.push((format!("upstream.{}: {server}", upstream.name), result));
            }
        }
        if let Some(settings) = &config.redis {
            let result = redis::reach(settings).await.map_err(Unreached::from);
            dialled.push((format!("redis: {}", settings.address), result));
        }
        dialled
    }))
}

async fn connect(server: &Server, patience: Duration) -> io::Result<()> {
    let connected = async {
        match server {
            Server::Tcp(address) => TcpStream::connect(address).await.map(drop),
            Server::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    timeout(patience, connected)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FileArgs;
    use std::io::Write as _;
    use std::net::TcpListener;

    fn checked(text: &str, online: bool) -> Exit {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        check(&CheckArgs {
            file: FileArgs {
                config: file.path().to_owned(),
            },
            online,
            json: true,
        })
    }

    fn file(server: &str) -> String {
        format!(
            "version = 1\n[listen.http]\naddress = \"127.0.0.1:0\"\n[upstream.django]\nservers = [\"{server}\"]\n\
             [[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n"
        )
    }

    #[test]
    fn the_exit_code_tells_what_is_wrong() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(checked(&file(&address), true), Exit::Good);
        drop(listener);
        assert_eq!(checked(&file(&address), true), Exit::Unreachable);
        assert_eq!(checked(&file(&address), false), Exit::Good);
        assert_eq!(checked("version = 2", true), Exit::Config);
        let missing = FileArgs {
            config: "/does/not/exist".into(),
        };
        let args = CheckArgs {
            file: missing,
            online: false,
            json: false,
        };
        assert_eq!(check(&args), Exit::Config);
    }
}
