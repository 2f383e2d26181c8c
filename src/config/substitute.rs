//! `${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}` in a string value; `$$` is a dollar sign.
//!
//! Done after TOML was read, so what is put in can never change the structure of the file, and it is not itself looked
//! through again. As in a shell, the default counts for an empty variable too. A relative file is looked for in the
//! working directory.

use std::io::{self, Read as _};

/// No secret is longer, nor a list of users or of networks.
const LONGEST_FILE: u64 = 1 << 20;

/// Where the values come from; tests bring their own.
pub trait Environment {
    /// The value of a variable; `None` if it is not set.
    fn variable(&self, name: &str) -> Option<String>;
    /// The content of a file.
    fn file(&self, path: &str) -> io::Result<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct Process;

impl Environment for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        let read = file.take(LONGEST_FILE + 1).read_to_string(&mut text)? as u64;
        // Half a list would be another list, and half a line of it another line.
        if read > LONGEST_FILE {
            return Err(io::Error::other("the file is larger than 1 MiB"));
        }
        Ok(text)
    }
}

/// What cannot be put in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error("\"${{\" without \"}}\"")]
    Unclosed,
    #[error("{0:?} is no name of an environment variable")]
    InvalidName(String),
}

impl Cause {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NotSet(name) => Some(format!("or give a default: ${{{name}:-…}}")),
            Self::Unclosed => Some("a dollar sign itself is written $$".to_owned()),
            Self::InvalidName(_) => Some("${NAME}, ${NAME:-default} or ${file:/path}".to_owned()),
            Self::File { .. } => None,
        }
    }
}

/// Puts everything in; on failure all causes with their places in `text`, in bytes.
pub(super) fn substitute(
    text: &str,
    environment: &dyn Environment,
) -> Result<String, Vec<(usize, Cause)>> {
    let mut filled = String::new();
    let mut causes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let at = text.len() - after.len() - 1;
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(opened) = after.strip_prefix('{') {
            let Some((inner, after)) = opened.split_once('}') else {
                causes.push((at, Cause::Unclosed));
                return Err(causes);
            };
            match value(inner, environment) {
                Ok(value) => filled.push_str(&value),
                Err(cause) => causes.push((at, cause)),
            }
            rest = after;
        } else {
            filled.push('$');
            rest = after;
        }
    }
    filled.push_str(rest);
    if causes.is_empty() {
        Ok(filled)
    } else {
        Err(causes)
    }
}

fn value(inner: &str, environment: &dyn Environment) -> Result<String, Cause> {
    if let Some(path) = inner.strip_prefix("file:") {
        let mut text = environment.file(path).map_err(|source| Cause::File {
            path: path.to_owned(),
            source,
        })?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        return Ok(text);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let mut chars = name.chars();
    let first = chars.next();
    let is_name = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Cause::InvalidName(name.to_owned()));
    }
    match (environment.variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Cause::NotSet(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixed;
    use super::*;

    #[test]
    fn values_are_put_in() {
        let filled = |text| substitute(text, &Fixed).unwrap();
        assert_eq!(filled("a-${TOKEN}-b"), "a-from-the-environment-b");
        assert_eq!(filled("${file:/run/secret}"), "from-the-file");
        assert_eq!(
            filled("${MISSING:-x}${EMPTY:-y}${EMPTY}${TOKEN:-z}"),
            "xyfrom-the-environment"
        );
        assert_eq!(filled("$$ $5 $"), "$ $5 $");
        assert_eq!(filled("$${TOKEN}"), "${TOKEN}");
        assert_eq!(
            filled("${NESTED}"),
            "${TOKEN}",
            "what was put in is not looked through again"
        );
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let read = |length: usize| {
            std::fs::write(&path, "x".repeat(length)).unwrap();
            Process.file(path.to_str().unwrap())
        };
        let longest = usize::try_from(LONGEST_FILE).unwrap();
        assert_eq!(read(longest).unwrap().len(), longest);
        assert!(read(longest + 1).is_err());
    }

    #[test]
    fn all_that_is_missing_is_told() {
        let causes = substitute("é${MISSING}${file:/none}${1x}${", &Fixed).unwrap_err();
        assert_eq!(
            causes.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [2, 12, 25, 30]
        );
        assert!(matches!(causes[0].1, Cause::NotSet(_)) && matches!(causes[3].1, Cause::Unclosed));
    }
}
