//! `sse.notify` and the keys that go with it.

use std::time::Duration;

use http::uri::PathAndQuery;

use super::reader::{Section, Value};
use super::scalar::Text;
use super::upstream::{NONE, named};
use crate::upstream;
use crate::wire::webhook::Secret;

/// The keys that mean nothing without `notify`.
const DEPENDENT: [&str; 2] = ["notify_secret", "leave_after"];

const EXAMPLE: &str = "as in { to = \"django\", path = \"/sse/notify/\" }";

/// Whom to tell who comes on which channel, and who leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The name of the upstream.
    pub upstream: String,
    /// The path of its view.
    pub path: PathAndQuery,
    /// `notify_secret`: signs what it is told.
    pub secret: Secret,
    /// `leave_after`: how long somebody may be away unnoticed. Default 10 s.
    pub leave_after: Duration,
}

/// The keys in `[sse]`.
pub(super) fn notify(
    section: &mut Section<'_>,
    upstreams: &[upstream::Settings],
) -> Option<Notify> {
    let Some(value) = section.value("notify") else {
        let misspelt = section.has_misspelt(&["notify"]);
        for value in DEPENDENT.into_iter().filter_map(|key| section.value(key)) {
            if !misspelt {
                value.problem("does nothing without `notify`", Some(EXAMPLE.to_owned()));
            }
        }
        return None;
    };
    let target = target(&value, upstreams);
    let secret = section.required("notify_secret");
    let mut leave_after = Duration::from_secs(10);
    section.duration("leave_after", &mut leave_after);
    let (upstream, path) = target?;
    Some(Notify {
        upstream,
        path,
        secret: secret.and_then(|value| self::secret(&value))?,
        leave_after,
    })
}

/// `{ to, path }`, or the path alone where there is one upstream.
fn target(value: &Value<'_>, upstreams: &[upstream::Settings]) -> Option<(String, PathAndQuery)> {
    if value.is_table() {
        let (to, path) = value.table("sse.notify", |section| {
            let to = section.required("to").and_then(|value| value.text());
            let path = section.required("path").and_then(|value| value.text());
            (to, path)
        })?;
        let upstream = to.and_then(|to| named(&to, upstreams, value.report));
        let path = path.and_then(|path| self::path(&path));
        return upstream.zip(path);
    }
    let path = path(&value.text()?);
    match upstreams {
        [only] => return Some((only.name.clone(), path?)),
        [] => value.report.missing(
            &value.place,
            "there is nobody to tell",
            Some(NONE.to_owned()),
        ),
        [_, _, ..] => value.problem("which upstream is told?", Some(EXAMPLE.to_owned())),
    }
    None
}

fn path(text: &Text<'_>) -> Option<PathAndQuery> {
    let path = text.value.parse::<PathAndQuery>().ok();
    // What was cut off, as a fragment is, would be missed.
    let fits = |path: &PathAndQuery| {
        path.as_str() == text.value && text.value.starts_with('/') && path.query().is_none()
    };
    let path = path.filter(fits);
    if path.is_none() {
        let message = format!("{} is no path", text.written());
        text.problem(message, Some("as in \"/sse/notify/\"".to_owned()));
    }
    path
}

/// The text is never quoted in a problem.
fn secret(value: &Value<'_>) -> Option<Secret> {
    match Secret::parse(&value.text()?.value) {
        Ok(secret) => Some(secret),
        Err(error) => {
            let hint = "echo whsec_$(openssl rand -base64 32) makes one";
            value.problem(error.to_string(), Some(hint.to_owned()));
            None
        }
    }
}
