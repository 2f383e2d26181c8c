//! `tidegate reload`: has the running gateway read its file anew, and says what came of it.
//!
//! Called by `remote`. The tokens of the file are tried one after the other, for a new one is not known to the gateway
//! before the reload. With `--json` the answer goes to stdout as it came, mistakes included; else both are told on stderr.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;

use super::client::{Client, Target, accepted, gather};
use super::error::{BadFile, CommandError};
use super::publish::Outputs;
use crate::wire::reload::{Mistake, Reloaded};

/// Reloads, and writes what has changed.
pub(crate) async fn reload(
    target: Target,
    tokens: Vec<String>,
    json: bool,
) -> Result<(), CommandError> {
    let outputs = Outputs {
        data: &mut io::stdout(),
        words: &mut io::stderr(),
    };
    run(target, tokens, json, outputs).await
}

async fn run(
    target: Target,
    tokens: Vec<String>,
    json: bool,
    outputs: Outputs<'_>,
) -> Result<(), CommandError> {
    let mut tokens = tokens.into_iter();
    let answer = loop {
        let token = tokens.next();
        let mut client = Client::new(target.clone(), token.as_deref())?;
        let answer = client.send(request()).await?;
        let status = answer.status();
        let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
        if denied && tokens.len() > 0 {
            continue;
        }
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            let body = gather(answer.into_body()).await?;
            if json {
                write(outputs.data, &body)?;
            }
            return Err(refusal(&body));
        }
        break gather(accepted(answer).await?.into_body()).await?;
    };
    if json {
        return write(outputs.data, &answer);
    }
    let told = told(&answer)?;
    let written = outputs.words.write_all(told.as_bytes());
    written.map_err(CommandError::Output)
}

fn request() -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri("/v1/reload");
    let request = request.body(Full::default());
    request.expect("what is constant makes a valid request")
}

fn write(data: &mut dyn io::Write, answer: &[u8]) -> Result<(), CommandError> {
    let written = data.write_all(answer.trim_ascii_end());
    let written = written.and_then(|()| data.write_all(b"\n"));
    written.map_err(CommandError::Output)
}

fn refusal(body: &[u8]) -> CommandError {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
        file: String,
        #[serde(default)]
        problems: Vec<Mistake>,
    }
    let Ok(problem) = serde_json::from_slice(body) else {
        return CommandError::Foreign;
    };
    let Problem {
        detail,
        file,
        problems,
    } = problem;
    CommandError::File(BadFile {
        name: file,
        mistakes: problems,
        detail,
    })
}

fn told(answer: &[u8]) -> Result<String, CommandError> {
    let answer = serde_json::from_slice(answer);
    let Reloaded { changed, restart } = answer.map_err(|_| CommandError::Foreign)?;
    let mut told = if changed.is_empty() {
        "Nothing has changed\n".to_owned()
    } else {
        format!("Changed: {}\n", changed.join(", "))
    };
    if !restart.is_empty() {
        told.push_str("After a restart: ");
        told.push_str(&restart.join(", "));
        told.push('\n');
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_told_in_words() {
        for (answer, words) in [
            (r#"{"changed":[],"restart":[]}"#, "Nothing has changed\n"),
            (
                r#"{"changed":["route","sse"],"restart":["redis"]}"#,
                "Changed: route, sse\nAfter a restart: redis\n",
            ),
        ] {
            assert_eq!(told(answer.as_bytes()).unwrap(), words);
        }
        assert!(matches!(told(b"<html>"), Err(CommandError::Foreign)));
    }

    #[test]
    fn mistakes_are_told_as_by_check() {
        let body = r#"{"detail":"g.toml has mistakes: 1","file":"g.toml","problems":[{"line":2,"column":3,"key":"a.b","message":"no","hint":"yes"}]}"#;
        let error = refusal(body.as_bytes());
        assert_eq!(
            error.report(),
            "g.toml:2:3: a.b: no (yes)\ng.toml has mistakes: 1"
        );
        assert_eq!(error.exit_code(), 78);
        assert!(matches!(refusal(b"{}"), CommandError::Foreign));
    }
}
