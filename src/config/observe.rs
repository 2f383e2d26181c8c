//! `[metrics]` and `[console]`: what an internal listener shows.

use super::reader::Section;
use super::scalar::Text;
use crate::wire::openapi;

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where they are read. Default `/metrics`.
    pub path: String,
    /// Whether there are gauges for each channel. Default no.
    pub per_channel: bool,
}

/// `[metrics]`.
pub(super) fn metrics(document: &mut Section<'_>) -> MetricsSettings {
    let mut metrics = MetricsSettings {
        path: openapi::METRICS.to_owned(),
        per_channel: false,
    };
    document.table("metrics", "metrics", |section| {
        if let Some(path) = section.text("path").and_then(|text| path(&text)) {
            metrics.path = path;
        }
        metrics.per_channel = section.flag("per_channel").unwrap_or(false);
    });
    metrics
}

/// Any path that is plain and leads to nothing else.
fn path(text: &Text<'_>) -> Option<String> {
    let path = text.value.as_str();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    if !path.starts_with('/') || !path.bytes().all(plain) {
        let hint = "as in \"/metrics\"".to_owned();
        text.problem(format!("{} is no path", text.written()), Some(hint));
        return None;
    }
    let trimmed = path.trim_end_matches('/');
    let same = |known: &str| known.trim_end_matches('/') == trimmed;
    let mut others = openapi::OPERATIONS
        .iter()
        .map(|operation| operation.path)
        .filter(|known| *known != openapi::METRICS);
    if path.starts_with("/v1/") || others.any(same) {
        text.problem(format!("{} leads to something else", text.written()), None);
        return None;
    }
    Some(path.to_owned())
}

/// `[console]`: whether there is one.
pub(super) fn console(document: &mut Section<'_>) -> bool {
    let enabled = document.table("console", "console", |section| {
        section.flag("enabled").unwrap_or(true)
    });
    enabled.unwrap_or(true)
}
