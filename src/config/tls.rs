//! `[tls.*]`: certificates, and the listeners' choice among them.
//!
//! The files are read here, so that a wrong one is told at its place and not by every client's handshake, and what was
//! read is what is served.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use super::acme;
use super::problem::name_hint;
use super::reader::{Section, Value};
use super::scalar::Text;
use crate::base::live::Live;
use crate::server::Listen;
use crate::tls::{Chain, Clients, Files, Identity, Key, MinVersion, SelfSigned, Settings, Source};

/// The words of `min_version`.
pub(super) const VERSIONS: [(&str, MinVersion); 2] =
    [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];

/// All of `[tls.*]`.
pub(super) struct Certificates<'a>(Vec<Table<'a>>);

/// One of them: its name, what is in it if that is right, and where `acme` is.
type Table<'a> = (String, Option<Arc<Settings>>, Option<Value<'a>>);

/// Reads them. One that is wrong is there all the same, without settings, so that listeners find it.
pub(super) fn certificates<'a>(document: &mut Section<'a>) -> Certificates<'a> {
    let tables = document.named("tls").into_iter().map(|(name, value)| {
        let read = value.table("tls.*", |section| {
            (settings(&name, section), section.value("acme"))
        });
        let (settings, acme) = read.unwrap_or_default();
        (name, settings.map(Arc::new), acme)
    });
    Certificates(tables.collect())
}

/// What a listener has of them.
#[derive(Default)]
pub(super) struct Chosen {
    /// In the order of the listener.
    pub(super) settings: Vec<Arc<Settings>>,
    /// Whether only clients with a certificate are to be let in; of one that is wrong it is not known, and so not told.
    pub(super) certified: bool,
}

impl Certificates<'_> {
    /// What `value` names: one, or a list. What is wrong is told.
    pub(super) fn chosen(&self, value: &Value<'_>) -> Chosen {
        let names = if value.is_list() {
            value.texts().unwrap_or_default()
        } else {
            value.text().into_iter().collect()
        };
        if value.is_empty_list() {
            let hint = "leave `tls` out to speak plainly".to_owned();
            value.problem("no certificate is named", Some(hint));
        }
        let mut chosen = Chosen::default();
        for (place, name) in names.iter().enumerate() {
            let before = names.iter().take(place);
            if before.clone().any(|other| other.value == name.value) {
                name.problem(format!("{} is named twice", name.written()), None);
                continue;
            }
            let Some(settings) = self.named(name) else {
                chosen.certified = true;
                continue;
            };
            chosen.certified |= settings.clients.is_some();
            if let Some(first) = chosen.settings.first()
                && !first.goes_with(&settings)
            {
                let message = format!("{} does not go with \"{}\"", name.written(), first.name);
                let hint = "the same `client_ca` and `min_version`, or a listener of its own";
                name.problem(message, Some(hint.to_owned()));
                continue;
            }
            chosen.settings.push(settings);
        }
        chosen
    }

    /// The settings that `text` names; `None` if there are none, or they are wrong, which is told.
    fn named(&self, text: &Text<'_>) -> Option<Arc<Settings>> {
        let found = self.0.iter().find(|(name, ..)| *name == text.value);
        if let Some((_, settings, _)) = found {
            return settings.clone();
        }
        let known: Vec<_> = self.0.iter().map(|(name, ..)| &**name).collect();
        let hint = name_hint(&text.value, &known, "there are");
        let hint = hint.unwrap_or_else(|| "there is no [tls.…]".to_owned());
        text.missing(
            format!("unknown certificate {}", text.written()),
            Some(hint),
        );
        None
    }

    /// Reports those that these listeners cannot prove to be ours.
    pub(super) fn check(&self, listen: &[Listen]) {
        for (_, settings, value) in &self.0 {
            if let (Some(settings), Some(value)) = (settings, value) {
                acme::check(value, settings, listen);
            }
        }
    }

    /// Those that are right, in the order of the file.
    pub(super) fn finish(self) -> Vec<Arc<Settings>> {
        self.0
            .into_iter()
            .filter_map(|(_, settings, _)| settings)
            .collect()
    }
}

fn settings(name: &str, section: &mut Section<'_>) -> Option<Settings> {
    let source = source(section);
    let min_version = section.choice("min_version", &VERSIONS);
    let ca = section.value("client_ca").map(|value| value.text());
    // One that is wrong must not become none.
    let clients = match ca {
        Some(file) => file
            .and_then(|file| {
                let ca = PathBuf::from(&file.value);
                pem(&file, section, |text| Clients::from_pem(ca, text))
            })
            .map(Some),
        None => Some(None),
    };
    let (source, identity) = source?;
    Some(Settings {
        name: name.to_owned(),
        source,
        min_version: min_version.unwrap_or_default(),
        clients: clients?,
        identity: Live::new(identity),
    })
}

/// Where the certificate comes from, and what is there of it already.
fn source(section: &mut Section<'_>) -> Option<(Source, Option<Identity>)> {
    let (acme, own) = (section.value("acme"), section.value("self_signed"));
    if acme.is_none() && own.is_none() {
        return files(section);
    }
    let second = acme.as_ref().and_then(|_| own.clone());
    let [cert, key] = ["cert", "key"].map(|key| section.value(key));
    if let Some(second) = second.or(cert).or(key) {
        let hint = "`cert` and `key`, or `acme`, or `self_signed`".to_owned();
        second.problem("a certificate comes from one place", Some(hint));
    }
    match (acme, own) {
        (Some(value), _) => {
            let acme = acme::acme(&value)?;
            Some((Source::Acme(Box::new(acme)), None))
        }
        (None, own) => self_signed(&own?),
    }
}

/// `self_signed`.
fn self_signed(value: &Value<'_>) -> Option<(Source, Option<Identity>)> {
    if value.is_empty_list() {
        let hint = "as in self_signed = [\"localhost\", \"127.0.0.1\"]".to_owned();
        value.problem("a certificate has at least one name", Some(hint));
    }
    let written = value.texts()?;
    let names = written
        .iter()
        .filter_map(|text| text.parse(SelfSigned::name));
    let names = SelfSigned::new(names.collect())?;
    Some((Source::SelfSigned(names), None))
}

/// `cert` and `key`.
fn files(section: &mut Section<'_>) -> Option<(Source, Option<Identity>)> {
    let mut path = |key| section.required(key).and_then(|value| value.text());
    let (cert, key) = (path("cert"), path("key"));
    let chain = cert
        .as_ref()
        .and_then(|file| pem(file, section, Chain::from_pem));
    let private = key
        .as_ref()
        .and_then(|file| pem(file, section, Key::from_pem));
    let (cert, key) = (cert?, key?);
    let (chain, private) = (chain?, private?);
    let identity = key.parse(|_| Identity::new(chain, private))?;
    let files = Files {
        cert: PathBuf::from(cert.value),
        key: PathBuf::from(key.value),
    };
    Some((Source::Files(files), Some(identity)))
}

/// What `read` makes of the file that is named.
pub(super) fn pem<T, E: Display>(
    file: &Text<'_>,
    section: &Section<'_>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = file.parse(|path| section.report.environment.file(path))?;
    file.parse(|_| read(&text))
}
