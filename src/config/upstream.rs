//! `[upstream.*]`: where Django is.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::grip::grip;
use super::later::unsupported;
use super::problem::name_hint;
use super::reader::{Report, Section};
use super::scalar::Text;
use super::site::MOST;
use crate::domain::ByteSize;
use crate::upstream::{Server, Settings};

/// What is told where an upstream is needed.
pub(super) const NONE: &str = "there is no [upstream.…]";

/// All upstreams. One whose servers could not be read is there all the same, without servers, so that routes find it.
pub(super) fn upstreams(document: &mut Section<'_>) -> Vec<Settings> {
    let mut upstreams = Vec::new();
    for (name, value) in document.named("upstream") {
        let mut settings = Settings::new(&name, Vec::new());
        value.table("upstream.*", |section| {
            if let Some(value) = section.required("servers") {
                let texts = value.texts().unwrap_or_default();
                if value.is_empty_list() {
                    let hint = "as in [\"127.0.0.1:8000\"] or [\"unix:/run/gunicorn.sock\"]";
                    value.problem("an upstream has at least one server", Some(hint.to_owned()));
                }
                settings.servers = texts.iter().filter_map(server).collect();
            }
            section.some_time("connect_timeout", &mut settings.connect_timeout);
            section.some_time("response_timeout", &mut settings.response_timeout);
            section.duration("idle_reuse", &mut settings.idle_reuse);
            section.duration("retry_for", &mut settings.retry_for);
            let mut most = 0;
            section.count("max_in_flight", 0..=1_000_000, &mut most);
            settings.max_in_flight = NonZeroUsize::new(most);
            section.some_time("queue_timeout", &mut settings.queue_timeout);
            let most = ByteSize::bytes(0)..=MOST;
            section.size("buffer_request", most, &mut settings.buffer_request);
            settings.publish = section.flag("publish").unwrap_or_default();
            settings.grip = grip(section);
        });
        upstreams.push(settings);
    }
    upstreams
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

fn server(text: &Text<'_>) -> Option<Server> {
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.is_empty() {
            text.problem("\"unix:\" without a path", None);
            return None;
        }
        return Some(Server::Unix(PathBuf::from(path)));
    }
    if text.value.starts_with("https:") {
        text.problem(unsupported("TLS towards an upstream"), None);
        return None;
    }
    if is_host_and_port(&text.value) {
        return Some(Server::Tcp(text.value.clone()));
    }
    let bare = text.value.strip_prefix("http://").unwrap_or(&text.value);
    let bare = bare.trim_end_matches('/');
    let hint = if is_host_and_port(bare) {
        format!("did you mean {bare:?}?")
    } else {
        "as in \"127.0.0.1:8000\" or \"unix:/run/gunicorn.sock\"".to_owned()
    };
    text.problem(format!("{} is no server", text.written()), Some(hint));
    None
}

/// Whether `text` is a name or an address (IPv6 in brackets) and a port.
fn is_host_and_port(text: &str) -> bool {
    crate::wire::host::parse(text).is_some_and(|host| host.port.is_some_and(|port| port != 0))
}
