//! `[headers]` and `[errors]`: what is done to every answer.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::reader::{Section, Value};
use super::scalar::Text;
use crate::proxy::{Finish, Hsts, MaintenanceSettings, Page};

/// The longest page. A file that is read ends there at the latest.
const LONGEST_PAGE: usize = 1 << 20;

/// Below this, browsers do not take a site into their lists.
const LONG_ENOUGH: Duration = Duration::from_secs(365 * 86_400);

/// What one answer says of itself, and no file of all of them.
const OF_ONE_ANSWER: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `[headers]`.
pub(super) fn finish(document: &mut Section<'_>) -> Finish {
    let mut finish = Finish::default();
    document.table("headers", "headers", |section| {
        finish.set = headers(section, "set", &[]);
        finish.hsts = hsts(section);
    });
    finish
}

fn hsts(section: &mut Section<'_>) -> Option<Hsts> {
    let max_age = section.value("hsts").and_then(|value| value.duration());
    let max_age = max_age.unwrap_or_default();
    let subdomains = section.flag("hsts_subdomains").unwrap_or(false);
    let preload = section.value("hsts_preload");
    let listed = preload.as_ref().and_then(Value::flag).unwrap_or(false);
    if let Some(value) = &preload
        && listed
        && !(subdomains && max_age >= LONG_ENOUGH)
    {
        let hint = "hsts = \"1y\" and hsts_subdomains = true".to_owned();
        value.problem(
            "browsers list nobody with less than a year and subdomains",
            Some(hint),
        );
    }
    (!max_age.is_zero()).then(|| Hsts::new(max_age, subdomains, listed))
}

/// A table of headers; `allowed` are some that otherwise belong to a single answer.
pub(super) fn headers(
    section: &mut Section<'_>,
    key: &'static str,
    allowed: &[&str],
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, value) in section.named(key) {
        let Some(text) = value.text() else { continue };
        let Ok(header) = HeaderName::try_from(name.to_ascii_lowercase()) else {
            continue;
        };
        let wrong = match header.as_str() {
            name if allowed.contains(&name) => None,
            name if OF_ONE_ANSWER.contains(&name) => {
                Some(("each answer says this of itself", None))
            }
            "strict-transport-security" => {
                let hint = "as in hsts = \"1y\" of [headers], which is said over https only";
                Some(("HSTS has a key of its own", Some(hint)))
            }
            name if name.starts_with("access-control-") => {
                let hint = "`cors` of a route";
                Some(("pages of other origins have a key of their own", Some(hint)))
            }
            _ if headers.iter().any(|(known, _)| *known == header) => {
                Some(("this header is there already", None))
            }
            _ => None,
        };
        match wrong {
            Some((message, hint)) => text.problem(message, hint.map(str::to_owned)),
            None => headers.extend(header_value(&text).map(|value| (header, value))),
        }
    }
    headers
}

/// A value of a header: printable ASCII, and some of it.
pub(super) fn header_value(text: &Text<'_>) -> Option<HeaderValue> {
    let value = text.value.trim();
    let found = HeaderValue::from_str(value).ok();
    let found = found.filter(|_| !value.is_empty());
    if found.is_none() {
        text.problem("a header has printable ASCII characters, and some", None);
    }
    found
}

/// `[errors]`.
pub(super) fn errors(
    document: &mut Section<'_>,
    mut finish: Finish,
) -> (Finish, Option<MaintenanceSettings>) {
    let maintenance = document.table("errors", "errors", |section| {
        for (name, value) in section.named("pages") {
            let status = name.parse::<u16>().ok().filter(|n| (400..=599).contains(n));
            let status = status.and_then(|number| StatusCode::from_u16(number).ok());
            if status.is_none() {
                let hint = "as in 502 = \"/srv/errors/502.html\"".to_owned();
                value.problem("pages are for the statuses from 400 to 599", Some(hint));
            }
            let page = value.text().and_then(|text| page(&text));
            finish.pages.extend(status.zip(page));
        }
        let maintenance = section.table("maintenance", "errors.maintenance", maintenance);
        maintenance.flatten()
    });
    (finish, maintenance.flatten())
}

fn maintenance(section: &mut Section<'_>) -> Option<MaintenanceSettings> {
    let when_file = section.required("when_file").and_then(|value| value.text());
    let page = section.text("page").and_then(|text| page(&text));
    let mut retry_after = Duration::from_secs(60);
    section.some_time("retry_after", &mut retry_after);
    let when_file = when_file?;
    if when_file.value.is_empty() {
        when_file.problem("the name of a file is not empty", None);
    }
    Some(MaintenanceSettings {
        when_file: PathBuf::from(when_file.value),
        page,
        retry_after,
    })
}

fn page(file: &Text<'_>) -> Option<Page> {
    let text = file.parse(|path| file.file(path))?;
    if text.len() >= LONGEST_PAGE {
        file.problem("a page is shorter than 1 MiB", None);
    }
    Some(Page {
        path: PathBuf::from(&file.value),
        text: text.into(),
    })
}
