//! `redirect` and `respond` of a route, and `strip` of its `proxy`.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::edge::{header_value, headers};
use super::reader::{Section, Value};
use super::route::are_of_the_path;
use super::scalar::Text;
use crate::proxy::{Fixed, Redirect};
use crate::routes::{Location, PathPattern};

/// What a redirect may be.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// `redirect`, an address or a table.
pub(super) fn redirect(value: &Value<'_>, pattern: Option<&PathPattern>) -> Option<Redirect> {
    let mut status = StatusCode::PERMANENT_REDIRECT;
    let to = if value.is_table() {
        value.table("route[].redirect", |section| {
            if let Some(value) = section.value("status") {
                status = redirect_status(&value).unwrap_or(status);
            }
            section.required("to").and_then(|value| value.text())
        })?
    } else {
        value.text()
    }?;
    let location = to.pattern(Location::parse)?;
    are_of_the_path(&to, location.variables(), pattern);
    Some(Redirect {
        to: location,
        status,
    })
}

fn redirect_status(value: &Value<'_>) -> Option<StatusCode> {
    let number = value.count(0..=999).and_then(|n| u16::try_from(n).ok())?;
    if !REDIRECTS.contains(&number) {
        let hint = "one of 301, 302, 303, 307 and 308".to_owned();
        value.problem(format!("{number} is no redirect"), Some(hint));
        return None;
    }
    StatusCode::from_u16(number).ok()
}

/// `respond`.
pub(super) fn respond(value: &Value<'_>) -> Option<Fixed> {
    value.table("route[].respond", |section| {
        let mut fixed = Fixed {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
            headers: Vec::new(),
            body: Bytes::new(),
        };
        if let Some(status) = section.value("status")
            && let Some(number) = status.count(200..=599)
        {
            let status = u16::try_from(number).ok();
            let status = status.and_then(|number| StatusCode::from_u16(number).ok());
            fixed.status = status.unwrap_or(fixed.status);
        }
        if let Some(text) = section.text("type") {
            fixed.content_type = content_type(&text).unwrap_or(fixed.content_type);
        }
        let body = section.text("body");
        if let Some(text) = &body
            && !text.value.is_empty()
            && matches!(fixed.status.as_u16(), 204 | 205 | 304)
        {
            text.problem(
                format!("an answer {} has no body", fixed.status.as_u16()),
                None,
            );
        }
        fixed.body = body.map(|text| text.value.into()).unwrap_or_default();
        fixed.headers = more_headers(section);
        fixed
    })
}

fn more_headers(section: &mut Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    headers(section, "headers", &["location"])
}

/// A media type; text is UTF-8 unless the file says otherwise.
fn content_type(text: &Text<'_>) -> Option<HeaderValue> {
    if !text.value.contains('/') {
        let hint = "as in \"text/plain\" or \"application/json\"".to_owned();
        text.problem(format!("{} is no media type", text.written()), Some(hint));
        return None;
    }
    let value = header_value(text)?;
    if text.value.starts_with("text/") && !text.value.contains("charset") {
        return HeaderValue::try_from(format!("{}; charset=utf-8", text.value)).ok();
    }
    Some(value)
}

/// `strip`: whole segments at the beginning of the route's path.
pub(super) fn strip(text: &Text<'_>, pattern: Option<&PathPattern>) -> Option<Box<str>> {
    let prefix = text.value.strip_suffix('/').unwrap_or(&text.value);
    let segments = prefix.strip_prefix('/').unwrap_or_default();
    if segments.split('/').any(str::is_empty) {
        let hint = "as in \"/api\"".to_owned();
        text.problem(
            format!("{} is no path to take off", text.written()),
            Some(hint),
        );
        return None;
    }
    let rest = pattern.and_then(|pattern| pattern.as_str().strip_prefix(prefix));
    if pattern.is_some() && !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        let hint = format!("as in path = \"{prefix}/<path:rest>\"");
        text.problem("the path of this route does not begin with it", Some(hint));
        return None;
    }
    Some(prefix.into())
}
