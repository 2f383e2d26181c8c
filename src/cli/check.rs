//! `tidegate check`: is the file right, and with `--online`, do the upstreams answer, and are the certificates good today?

use std::io;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::arguments::CheckArgs;
use super::exit::Exit;
use super::terminal::{data, say};
use super::{file, runtime};
use crate::acme;
use crate::config::{self, Config, ConfigError};
use crate::redis;
use crate::tls::Standing;
use crate::upstream::{self, UpstreamError};

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
    let dialled = if args.online {
        [dialled, certificates(&config)].concat()
    } else {
        dialled
    };
    let reached = dialled.iter().all(|found| found.error.is_none());
    if args.json {
        let servers: Vec<_> = dialled
            .iter()
            .map(|found| json!({ "server": found.what, "error": found.error, "warning": found.warning }))
            .collect();
        let answer = json!({ "good": true, "problems": [], "online": servers });
        data(format_args!("{answer}\n"));
    } else {
        say(format_args!(
            "{}: good ({})",
            args.file.config.display(),
            summary(&config)
        ));
        for found in &dialled {
            let told = found.error.as_ref().or(found.warning.as_ref());
            let told = told.map_or(found.good, String::as_str);
            say(format_args!("{}: {told}", found.what));
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
        ConfigError::Invalid { problems, .. } => json!({ "good": false, "problems": problems }),
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

/// What was found of one thing outside the file.
#[derive(Clone)]
struct Found {
    what: String,
    /// What is said if all is well.
    good: &'static str,
    error: Option<String>,
    /// What is good today, and will not be for long.
    warning: Option<String>,
}

impl Found {
    fn dialled(what: String, result: Result<(), Unreached>) -> Self {
        Self {
            what,
            good: "reached",
            error: result.err().map(|error| error.to_string()),
            warning: None,
        }
    }
}

/// What is to be said of the certificates today.
fn certificates(config: &Config) -> Vec<Found> {
    let now = Timestamp::now();
    let found = config.tls.iter().filter_map(|settings| {
        let identity = settings.identity.load();
        let validity = identity.as_ref().as_ref()?.validity();
        let end = validity.not_after;
        let (error, warning) = match validity.at(now) {
            Standing::Good => (None, None),
            Standing::EndsSoon => (None, Some(format!("ends soon, at {end}"))),
            Standing::Expired => (Some(format!("has ended, at {end}")), None),
            Standing::Early => {
                let error = format!("not good before {}", validity.not_before);
                (Some(error), None)
            }
        };
        Some(Found {
            what: format!("tls.{}", settings.name),
            good: "good",
            error,
            warning,
        })
    });
    found.collect()
}

/// Why somebody was not reached.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error("{}", with_causes(.0))]
    Upstream(#[from] UpstreamError),
    #[error("{}", with_causes(.0))]
    Redis(#[from] redis::Lost),
    #[error("{}", with_causes(.0))]
    Acme(#[from] acme::Failed),
}

/// An error with what has caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let told: Vec<_> = causes.map(ToString::to_string).collect();
    told.join(": ")
}

/// Connects to every server of every upstream, one after the other, each within its own `connect_timeout`; then to Redis, and
/// to the authorities of certificates.
fn dial(config: &Config) -> io::Result<Vec<Found>> {
    runtime::run(async {
        let mut dialled = Vec::new();
        for settings in &config.upstreams {
            for server in &settings.servers {
                let result = upstream::reach(server, settings).await;
                let result = result.map_err(Unreached::from);
                let what = format!("upstream.{}: {server}", settings.name);
                dialled.push(Found::dialled(what, result));
            }
        }
        if let Some(settings) = &config.redis {
            let result = redis::reach(settings).await.map_err(Unreached::from);
            let what = format!("redis: {}", settings.address);
            dialled.push(Found::dialled(what, result));
        }
        for settings in &config.tls {
            let Some(acme) = settings.acme() else {
                continue;
            };
            let result = acme::reach(acme).await.map_err(Unreached::from);
            let what = format!("tls.{}: {}", settings.name, acme.directory);
            dialled.push(Found::dialled(what, result));
        }
        dialled
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FileArgs;
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::Duration;

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

    #[test]
    fn a_certificate_that_has_ended_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (cert, secret) = (path("cert.pem"), path("key.pem"));
        let text = format!(
            "{}[tls.main]\ncert = \"{cert}\"\nkey = \"{secret}\"\n",
            file(&address)
        );
        let day = Duration::from_secs(24 * 60 * 60);
        let now = std::time::SystemTime::now();
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        for (from, until, error, warning) in [
            (now - day, now + day, false, false),
            (now - 80 * day, now + 10 * day, false, true),
            (now - 80 * day, now - day, true, false),
            (now + day, now + 80 * day, true, false),
        ] {
            let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
            (params.not_before, params.not_after) = (from.into(), until.into());
            let made = params.self_signed(&key).unwrap();
            std::fs::write(&cert, made.pem()).unwrap();
            let config = config::parse(&text, &config::Process).unwrap();
            let found = certificates(&config).remove(0);
            assert_eq!(
                (found.error.is_some(), found.warning.is_some()),
                (error, warning)
            );
            let expected = if error { Exit::Unreachable } else { Exit::Good };
            assert_eq!(checked(&text, true), expected);
            assert_eq!(checked(&text, false), Exit::Good);
        }
    }
}
