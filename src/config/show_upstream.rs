//! `[upstream.*]` of the configuration in force, for `show`.

use std::fmt::{self, Write as _};
use std::path::Path;

use super::servers::BALANCE;
use super::show::{list, number, quoted, word};
use super::token::MASKED;
use super::values::duration_text;
use crate::tls::Client;
use crate::upstream::{Grip, Health, Settings};

/// Writes one.
pub(super) fn upstream(out: &mut String, settings: &Settings) -> fmt::Result {
    let servers = settings.servers.iter().map(ToString::to_string);
    writeln!(out, "\n[upstream.{}]", settings.name)?;
    writeln!(out, "servers = {}", list(servers))?;
    writeln!(out, "balance = \"{}\"", word(&BALANCE, &settings.balance))?;
    for (key, duration) in [
        ("connect_timeout", settings.connect_timeout),
        ("response_timeout", settings.response_timeout),
        ("idle_reuse", settings.idle_reuse),
        ("retry_for", settings.retry_for),
        ("queue_timeout", settings.queue_timeout),
    ] {
        writeln!(out, "{key} = \"{}\"", duration_text(duration))?;
    }
    writeln!(out, "max_in_flight = {}", number(settings.max_in_flight))?;
    for (key, size) in [
        ("buffer_request", settings.buffer_request),
        ("buffer_response", settings.buffer_response),
    ] {
        match size {
            Some(size) => writeln!(out, "{key} = \"{size}\"")?,
            None => writeln!(out, "{key} = false")?,
        }
    }
    writeln!(out, "publish = {}", settings.publish)?;
    if let Some(settings) = &settings.health {
        health(out, settings)?;
    }
    if let Some(client) = &settings.tls {
        tls(out, client)?;
    }
    grip(out, settings.grip.as_ref())
}

fn health(out: &mut String, health: &Health) -> fmt::Result {
    let (path, host) = (quoted(health.path.as_str()), quoted(&health.host));
    let (every, timeout) = (duration_text(health.every), duration_text(health.timeout));
    let (fails, passes) = (health.fails, health.passes);
    writeln!(
        out,
        "health = {{ path = {path}, host = {host}, every = \"{every}\", timeout = \"{timeout}\", fails = {fails}, passes = {passes} }}"
    )
}

/// Nothing if it says nothing.
fn tls(out: &mut String, client: &Client) -> fmt::Result {
    let files = client.files();
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let name = files.name.as_ref().map(|name| quoted(&name.to_str()));
    let identity = files.identity.as_ref();
    let keys = [
        ("ca", files.ca.as_deref().map(path)),
        ("name", name),
        ("cert", identity.map(|(cert, _)| path(cert))),
        ("key", identity.map(|(_, key)| path(key))),
    ];
    let keys = keys.into_iter();
    let keys: Vec<_> = keys
        .filter_map(|(key, value)| Some(format!("{key} = {}", value?)))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    writeln!(out, "tls = {{ {} }}", keys.join(", "))
}

fn grip(out: &mut String, grip: Option<&Grip>) -> fmt::Result {
    let Some(grip) = grip else {
        return writeln!(out, "grip = false");
    };
    write!(out, "grip = {{ ")?;
    if grip.key.is_some() {
        write!(out, "key = \"{MASKED}\", ")?;
    }
    let (iss, prefix) = (quoted(&grip.iss), quoted(&grip.prefix));
    let (every, at_once) = (duration_text(grip.link_every), grip.links_at_once);
    writeln!(
        out,
        "iss = {iss}, prefix = {prefix}, link_every = \"{every}\", links_at_once = {at_once} }}"
    )
}
