//! `tidegate token`: a token that opens a stream of a route with `token`, on standard output.
//!
//! Key and kind are those of the file; only a private key that belongs to a public one is brought along. What was made is held
//! against the gateway's own verifier before it is printed, so a wrong key is noticed here and not by a listener's 401.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::arguments::TokenArgs;
use super::error::with_causes;
use super::exit::Exit;
use super::file;
use super::terminal::{data, say};
use crate::config::{Config, RouteKind};
use crate::domain::{ChannelName, InvalidChannel, UserId};
use crate::wire::ask::MOST_CHANNELS;
use crate::wire::duration;
use crate::wire::signed::{Signed, TokenError, Unsigned, Verifier};

/// How long a token is good that the route sets no bound to.
const HOUR: Duration = Duration::from_secs(3600);
/// The longest key that is read, in bytes.
const LONGEST_KEY: u64 = 64 << 10;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("no route has `sse` with `token`")]
    NoRoute,
    #[error("no route with `token` is {0:?} or answers it; there is: {1}")]
    WrongRoute(String, String),
    #[error("several routes have `token`, name one by --route: {0}")]
    Several(String),
    #[error("{0:?} is no channel")]
    Channel(String, #[source] InvalidChannel),
    #[error("a stream has at most {MOST_CHANNELS} channels")]
    TooMany,
    #[error("a user has 1 to 200 bytes and no control characters")]
    User,
    #[error("--ttl {0:?}")]
    Ttl(String, #[source] duration::InvalidDuration),
    #[error("a token is good for a second at least")]
    Short,
    #[error("{} cannot be read", file.display())]
    KeyFile {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Unsigned(Unsigned),
    #[error("the route would not take the token: is the private key that of the route?")]
    Refused(#[source] TokenError),
}

impl NoToken {
    const fn exit(&self) -> Exit {
        match self {
            Self::NoRoute => Exit::Config,
            Self::KeyFile { .. } | Self::Refused(_) => Exit::Failed,
            Self::WrongRoute(..)
            | Self::Several(_)
            | Self::Channel(..)
            | Self::TooMany
            | Self::User
            | Self::Ttl(..)
            | Self::Short
            | Self::Unsigned(_) => Exit::Usage,
        }
    }
}

/// Runs the subcommand.
pub(super) fn run(args: &TokenArgs) -> ExitCode {
    let config = match file::load(&args.file.config) {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    // A clock that is before 1970 makes tokens nobody takes.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    match made(args, &config, now.unwrap_or_default()) {
        Ok((token, content)) => {
            if args.json {
                let channels = content.channels.iter().map(ChannelName::as_str);
                let channels: Vec<_> = channels.collect();
                let user = content.user.as_ref().map(UserId::as_str);
                let until = content.until.as_secs();
                let said =
                    json!({ "token": token, "channels": channels, "user": user, "expires": until });
                data(format_args!("{said}\n"));
            } else {
                data(format_args!("{token}\n"));
            }
            Exit::Good.into()
        }
        Err(error) => {
            say(with_causes(&error));
            error.exit().into()
        }
    }
}

/// The token, and what it says.
fn made(args: &TokenArgs, config: &Config, now: Duration) -> Result<(String, Signed), NoToken> {
    let verifier = verifier(config, args.route.as_deref())?;
    let mut channels = Vec::new();
    for name in &args.channels {
        let parsed = ChannelName::parse(name);
        let channel = parsed.map_err(|source| NoToken::Channel(name.clone(), source))?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > MOST_CHANNELS {
        return Err(NoToken::TooMany);
    }
    let user = args.user.as_deref();
    let user = user.map(|user| UserId::parse(user).ok_or(NoToken::User));
    let content = Signed {
        channels,
        user: user.transpose()?,
        // A token says whole seconds.
        until: Duration::from_secs(now.as_secs()).saturating_add(ttl(args, verifier)?),
    };
    let private = private_key(args)?;
    let token = verifier.sign(&content, now, private.as_deref());
    let token = token.map_err(NoToken::Unsigned)?;
    let read = verifier.verify(&token, now).map_err(NoToken::Refused)?;
    Ok((token, read))
}

fn ttl(args: &TokenArgs, verifier: &Verifier) -> Result<Duration, NoToken> {
    let ttl = match (&args.ttl, verifier) {
        (Some(text), _) => {
            duration::parse(text).map_err(|source| NoToken::Ttl(text.clone(), source))?
        }
        (None, Verifier::Django(django)) => django.max_age(),
        (None, Verifier::Jwt(_)) => HOUR,
    };
    match Duration::from_secs(ttl.as_secs()) {
        Duration::ZERO => Err(NoToken::Short),
        ttl => Ok(ttl),
    }
}

/// What verifies the tokens of the route that is meant: by its path as written, or by one that it answers.
fn verifier<'c>(config: &'c Config, route: Option<&str>) -> Result<&'c Verifier, NoToken> {
    let entries = config.routes.entries().iter();
    let all: Vec<_> = entries
        .filter_map(|entry| match &entry.target.kind {
            RouteKind::Token { token, .. } => Some((entry, &token.verifier)),
            _ => None,
        })
        .collect();
    let names = || {
        let names = all.iter().map(|(entry, _)| format!("{:?}", entry.name));
        names.collect::<Vec<_>>().join(", ")
    };
    match (&*all, route) {
        ([], _) => Err(NoToken::NoRoute),
        (all, Some(route)) => {
            let named = all.iter().find(|(entry, _)| entry.name == route);
            let answers = || {
                all.iter()
                    .find(|(entry, _)| entry.pattern.matches(route).is_some())
            };
            let found = named.or_else(answers).map(|(_, verifier)| *verifier);
            found.ok_or_else(|| NoToken::WrongRoute(route.to_owned(), names()))
        }
        ([(_, only)], None) => Ok(only),
        ([(_, first), others @ ..], None) if others.iter().all(|(_, other)| other == first) => {
            Ok(first)
        }
        _ => Err(NoToken::Several(names())),
    }
}

fn private_key(args: &TokenArgs) -> Result<Option<String>, NoToken> {
    use io::Read as _;
    let Some(file) = &args.key_file else {
        return Ok(None);
    };
    let mut pem = String::new();
    let opened = std::fs::File::open(file);
    let read = opened.and_then(|key| key.take(LONGEST_KEY).read_to_string(&mut pem));
    let failed = |source| NoToken::KeyFile {
        file: file.clone(),
        source,
    };
    read.map(|_| Some(pem)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use crate::config::{Process, parse};
    use clap::Parser as _;
    use std::io::Write as _;

    const NOW: Duration = Duration::from_millis(1_700_000_000_500);

    fn token(routes: &str, line: &str) -> Result<(String, Signed), NoToken> {
        let text = format!(
            "version = 1\n[listen.http]\naddress = \"127.0.0.1:0\"\n[upstream.django]\nservers = [\"127.0.0.1:1\"]\n\
             {routes}[[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n"
        );
        let config = parse(&text, &Process).unwrap_or_else(|problems| panic!("{problems:?}"));
        let words = ["tidegate", "token"]
            .into_iter()
            .chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Some(Command::Token(args)) => made(&args, &config, NOW),
            other => panic!("{other:?}"),
        }
    }

    fn route(path: &str, token: &str) -> String {
        format!("[[route]]\npath = \"{path}\"\nsse = {{ token = {{ {token} }} }}\n")
    }

    #[test]
    fn the_route_says_how_a_token_is_made() {
        let django = route(
            "/live/",
            "kind = \"django-signed\", key = \"k\", max_age = \"10m\"",
        );
        let (made, content) = token(&django, "--channels a,b,a --user 42").unwrap();
        assert_eq!(made.matches(':').count(), 2);
        assert_eq!(content.channels.len(), 2);
        assert_eq!(content.until, Duration::from_secs(1_700_000_600));
        let (_, content) = token(&django, "--channels a --ttl 1m --route /live/").unwrap();
        assert_eq!(content.until, Duration::from_secs(1_700_000_060));
        let key = "s".repeat(32);
        let jwt = route(
            "/<slug:a>/",
            &format!("kind = \"jwt\", alg = \"HS256\", key = \"{key}\", audience = \"x\""),
        );
        let both = [django.clone(), jwt].concat();
        let (made, content) = token(&both, "--channels a --route /other/").unwrap();
        assert_eq!(made.matches('.').count(), 2);
        assert_eq!(content.until, Duration::from_secs(1_700_003_600));
        assert!(matches!(
            token(&both, "--channels a"),
            Err(NoToken::Several(_))
        ));
        // Which of two it is does not matter if they are alike.
        let alike = [django.clone(), django.replace("/live/", "/too/")].concat();
        assert!(token(&alike, "--channels a").is_ok());
    }

    #[test]
    fn what_makes_no_token_is_said_with_its_exit_code() {
        let django = route("/live/", "kind = \"django-signed\", key = \"k\"");
        for (routes, line, exit) in [
            ("", "--channels a", Exit::Config),
            (&*django, "--channels a --route /other/", Exit::Usage),
            (&*django, "--channels a,b:c$", Exit::Usage),
            (&*django, "--channels a --ttl 2h", Exit::Usage),
            (&*django, "--channels a --ttl 100ms", Exit::Usage),
            (&*django, "--channels a --ttl soon", Exit::Usage),
            (
                &*django,
                "--channels a --key-file /does/not/exist",
                Exit::Failed,
            ),
        ] {
            let error = token(routes, line).unwrap_err();
            assert_eq!(error.exit(), exit, "{line}: {error}");
        }
        let many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
        let many = format!("--channels {}", many.join(","));
        assert!(matches!(token(&django, &many), Err(NoToken::TooMany)));
    }

    #[test]
    fn a_public_key_needs_its_private_one() {
        let pair = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let (own, other) = (pair(), pair());
        let public = own.public_key_pem().replace('\n', "\\n");
        let routes = route(
            "/live/",
            &format!("kind = \"jwt\", alg = \"EdDSA\", key = \"{public}\""),
        );
        assert!(matches!(
            token(&routes, "--channels a"),
            Err(NoToken::Unsigned(_))
        ));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(own.serialize_pem().as_bytes()).unwrap();
        let line = format!("--channels a --key-file {}", file.path().display());
        assert!(token(&routes, &line).is_ok());
        file.as_file().set_len(0).unwrap();
        std::fs::write(file.path(), other.serialize_pem()).unwrap();
        let wrong = token(&routes, &line).unwrap_err();
        assert!(
            matches!(wrong, NoToken::Refused(TokenError::Signature)),
            "{wrong}"
        );
    }
}
