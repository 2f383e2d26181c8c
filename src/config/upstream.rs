//! `[upstream.*]`: where Django is.

use std::num::NonZeroUsize;

use toml::de::DeValue;

use super::grip::grip;
use super::problem::name_hint;
use super::reader::{Report, Section};
use super::scalar::Text;
use super::servers::{self, BALANCE};
use super::site::MOST;
use crate::domain::ByteSize;
use crate::upstream::Settings;
use crate::wire::host::HostRule;

/// What is told where an upstream is needed.
pub(super) const NONE: &str = "there is no [upstream.…]";

/// All upstreams. One whose servers could not be read is there all the same, without servers, so that routes find it.
pub(super) fn upstreams(document: &mut Section<'_>, hosts: &[HostRule]) -> Vec<Settings> {
    let mut upstreams = Vec::new();
    for (name, value) in document.named("upstream") {
        let mut settings = Settings::new(&name, Vec::new());
        value.table("upstream.*", |section| {
            settings.servers = servers::servers(section);
            if let Some(balance) = section.choice("balance", &BALANCE) {
                settings.balance = balance;
            }
            settings.health = servers::health(section, hosts);
            settings.tls = servers::tls(section, &settings.servers);
            section.some_time("connect_timeout", &mut settings.connect_timeout);
            section.some_time("response_timeout", &mut settings.response_timeout);
            section.duration("idle_reuse", &mut settings.idle_reuse);
            section.duration("retry_for", &mut settings.retry_for);
            let mut most = 0;
            section.count("max_in_flight", 0..=1_000_000, &mut most);
            settings.max_in_flight = NonZeroUsize::new(most);
            section.some_time("queue_timeout", &mut settings.queue_timeout);
            buffer(section, "buffer_request", &mut settings.buffer_request);
            buffer(section, "buffer_response", &mut settings.buffer_response);
            settings.publish = section.flag("publish").unwrap_or_default();
            settings.grip = grip(section);
        });
        upstreams.push(settings);
    }
    upstreams
}

/// A size, or `false` for none of it; `true` for the default.
fn buffer(section: &mut Section<'_>, key: &'static str, target: &mut Option<ByteSize>) {
    let Some(value) = section.value(key) else {
        return;
    };
    match value.tree {
        DeValue::Boolean(false) => *target = None,
        DeValue::Boolean(true) => {}
        _ => *target = value.size(ByteSize::bytes(0)..=MOST).or(*target),
    }
}

/// The upstream that `text` names.
pub(super) fn named(
    text: &Text<'_>,
    upstreams: &[Settings],
    report: &Report<'_>,
) -> Option<String> {
    if upstreams.iter().any(|known| known.name == text.value) {
        return Some(text.value.clone());
    }
    let known: Vec<_> = upstreams.iter().map(|known| &*known.name).collect();
    let hint = name_hint(&text.value, &known, "there are");
    let hint = hint.unwrap_or_else(|| NONE.to_owned());
    let message = format!("unknown upstream {}", text.written());
    report.missing(text.place(), message, Some(hint));
    None
}
