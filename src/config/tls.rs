//! `[tls.*]`: certificates, and the listeners' choice among them.
//!
//! The files are read here, so that a wrong one is told at its place and not by every client's handshake, and what was
//! read is what is served.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use super::problem::name_hint;
use super::reader::{Report, Section};
use super::scalar::Text;
use crate::tls::{Chain, Identity, Key, MinVersion, Settings};

/// The words of `min_version`.
pub(super) const VERSIONS: [(&str, MinVersion); 2] =
    [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];

/// All of `[tls.*]`.
pub(super) struct Certificates(Vec<(String, Option<Arc<Settings>>)>);

/// Reads them. One that is wrong is there all the same, without settings, so that listeners find it.
pub(super) fn certificates(document: &mut Section<'_>) -> Certificates {
    let tables = document.named("tls").into_iter().map(|(name, value)| {
        let settings = value.table("tls.*", |section| settings(&name, section));
        (name, settings.flatten().map(Arc::new))
    });
    Certificates(tables.collect())
}

impl Certificates {
    /// The settings that `text` names; `None` if there are none, or they are wrong, which is told.
    pub(super) fn named(&self, text: &Text<'_>, report: &Report<'_>) -> Option<Arc<Settings>> {
        let found = self.0.iter().find(|(name, _)| *name == text.value);
        if let Some((_, settings)) = found {
            return settings.clone();
        }
        let known: Vec<_> = self.0.iter().map(|(name, _)| &**name).collect();
        let hint = name_hint(&text.value, &known, "there are");
        let hint = hint.unwrap_or_else(|| "there is no [tls.…]".to_owned());
        let message = format!("unknown certificate {}", text.written());
        report.missing(text.place(), message, Some(hint));
        None
    }

    /// Those that are right, in the order of the file.
    pub(super) fn finish(self) -> Vec<Arc<Settings>> {
        self.0
            .into_iter()
            .filter_map(|(_, settings)| settings)
            .collect()
    }
}

fn settings(name: &str, section: &mut Section<'_>) -> Option<Settings> {
    let mut path = |key| section.required(key).and_then(|value| value.text());
    let (cert, key) = (path("cert"), path("key"));
    let min_version = section.choice("min_version", &VERSIONS);
    let chain = cert
        .as_ref()
        .and_then(|file| pem(file, section, Chain::from_pem));
    let private = key
        .as_ref()
        .and_then(|file| pem(file, section, Key::from_pem));
    let (cert, key) = (cert?, key?);
    let (chain, private) = (chain?, private?);
    let identity = key.parse(|_| Identity::new(chain, private))?;
    Some(Settings {
        name: name.to_owned(),
        cert: PathBuf::from(cert.value),
        key: PathBuf::from(key.value),
        min_version: min_version.unwrap_or_default(),
        identity,
    })
}

/// What `read` makes of the file that is named.
fn pem<T, E: Display>(
    file: &Text<'_>,
    section: &Section<'_>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = file.parse(|path| section.report.environment.file(path))?;
    file.parse(|_| read(&text))
}
