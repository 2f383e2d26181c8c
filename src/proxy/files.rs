//! Routes of kind `static`: a file as an answer, with its validators, parts, codings and lifetime.
//!
//! `serve` comes here with a request of a client, `redirect` with an answer of Django that names a file. What is below
//! the root is `crate::files`' business; here is what HTTP says about it (RFC 9110, sections 8, 13 and 14).

use std::time::Duration;

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderValue, LAST_MODIFIED, LOCATION,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode, request};
use httpdate::HttpDate;

use super::respond::Refusal;
use crate::files::{Content, Entry, FileError, Name, Opened, Root, Settings};
use crate::routes::Captures;
use crate::stream::Body;
use crate::wire::accept_encoding::{Accepted, Coding};
use crate::wire::conditional::{self, Validators, Verdict};
use crate::wire::path;
use crate::wire::range::{self, Wanted};

/// What a client may do with a file.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Files that are beside others, the smaller first.
const BESIDE: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// `static` of a route.
#[derive(Debug, Clone)]
pub struct Static {
    /// What is served.
    pub root: Root,
    /// The variable of the path that names the file; `None`: the whole path does.
    pub variable: Option<Box<str>>,
    /// Whether only those with a password see it, so that no cache may keep it for others.
    pub closed: bool,
}

/// A request for a file.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Without its leading slash; decoded.
    pub(super) path: &'a str,
    pub(super) head_only: bool,
    /// The conditions and wishes of the client.
    pub(super) headers: &'a HeaderMap,
    /// Where a directory leads that was asked for without its slash; `None`: nowhere.
    pub(super) directory: Option<String>,
    /// The head of Django's answer, if that named the file.
    pub(super) said: Option<HeaderMap>,
}

impl Static {
    /// The part of a path that names the file.
    pub(super) fn path<'p>(&self, path: &'p str, captures: &'p Captures<'_>) -> &'p str {
        match &self.variable {
            Some(variable) => captures.get(variable).unwrap_or_default(),
            None => path.strip_prefix('/').unwrap_or(path),
        }
    }

    /// The file that a path names, the index of a directory included.
    pub(super) fn name(&self, path: &str) -> Result<Name, Refusal> {
        let settings = self.root.settings();
        let name = Name::parse(path, settings.dot_files);
        let name = name.ok_or(Refusal::File(FileError::Missing))?;
        if !name.is_directory() {
            return Ok(name);
        }
        let index = settings.index.as_deref();
        Ok(name.index(index.ok_or(Refusal::File(FileError::Missing))?))
    }

    /// Answers a client.
    pub(super) async fn serve(
        &self,
        parts: &request::Parts,
        path: &str,
    ) -> Result<Response<Body>, Refusal> {
        if parts.method == Method::OPTIONS {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let allow = HeaderValue::from_static(METHODS);
            response.headers_mut().insert(ALLOW, allow);
            return Ok(response);
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Refusal::Method(METHODS));
        }
        // A proxy in front that decodes less, or twice, would take it for another file.
        if path::hides_slash(parts.uri.path()) {
            return Err(Refusal::HiddenSeparator);
        }
        self.answer(Asked {
            path,
            head_only: parts.method == Method::HEAD,
            headers: &parts.headers,
            directory: with_slash(parts),
            said: None,
        })
        .await
    }

    /// Answers with a file.
    pub(super) async fn answer(&self, asked: Asked<'_>) -> Result<Response<Body>, Refusal> {
        let settings = self.root.settings();
        let name = self.name(asked.path)?;
        let mut codings = [Coding::Gzip; 3];
        let mut count = 0;
        if settings.precompressed {
            let ranked = Accepted::of_request(asked.headers).ranked(&BESIDE);
            for (slot, coding) in codings.iter_mut().zip(ranked) {
                *slot = coding;
                count += 1;
            }
        }
        let codings = codings.get(..count).unwrap_or_default();
        let opened = match self.root.open(&name, codings).await {
            Ok(Entry::File(opened)) => opened,
            Ok(Entry::Directory) => {
                let directory = asked.directory.filter(|_| settings.index.is_some());
                return directory
                    .map(|to| moved(&to))
                    .ok_or(Refusal::File(FileError::Missing));
            }
            Err(error) => return Err(Refusal::File(error)),
        };
        respond(self, &name, opened, asked).await
    }
}

/// The answer with an open file, as far as the client does not have it.
async fn respond(
    files: &Static,
    name: &Name,
    opened: Opened,
    asked: Asked<'_>,
) -> Result<Response<Body>, Refusal> {
    let Asked {
        head_only,
        headers: request,
        said,
        ..
    } = asked;
    let settings = files.root.settings();
    let (etag, modified, length) = (opened.etag(), opened.modified(), opened.length());
    let validators = Validators {
        etag: &etag,
        modified,
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let is_said = said.is_some();
    *headers = said.unwrap_or_default();
    headers.insert(ETAG, text(&etag));
    let modified = HttpDate::from(std::time::UNIX_EPOCH + Duration::from_secs(modified));
    headers.insert(LAST_MODIFIED, text(&modified.to_string()));
    lifetime(headers, files, name, is_said);
    if settings.precompressed {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    match conditional::evaluate(request, validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            headers.remove(CONTENT_TYPE);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Verdict::Failed => {
            headers.remove(CONTENT_TYPE);
            keep_nowhere(headers);
            *response.status_mut() = StatusCode::PRECONDITION_FAILED;
            return Ok(response);
        }
    }
    describe(headers, settings, name, opened.coding);
    let mut part = 0..length;
    if !head_only && conditional::range_counts(request, validators) {
        match range::wanted(request, length) {
            Wanted::Whole => {}
            Wanted::Part(wanted) => {
                let (start, last) = (wanted.start, wanted.end - 1);
                headers.insert(
                    CONTENT_RANGE,
                    text(&format!("bytes {start}-{last}/{length}")),
                );
                part = wanted;
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            Wanted::Unsatisfiable => {
                headers.remove(CONTENT_TYPE);
                headers.remove(CONTENT_ENCODING);
                headers.insert(CONTENT_RANGE, text(&format!("bytes */{length}")));
                keep_nowhere(headers);
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                return Ok(response);
            }
        }
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, (part.end - part.start).into());
    if !head_only {
        let content = opened.read(name, part).await.map_err(Refusal::File)?;
        *response.body_mut() = match content {
            Content::Whole(bytes) => Body::Text(bytes),
            Content::Rest(body) => Body::File(body),
        };
    }
    Ok(response)
}

/// How long it may be kept. What Django said about it holds.
fn lifetime(headers: &mut HeaderMap, files: &Static, name: &Name, is_said: bool) {
    if headers.contains_key(CACHE_CONTROL) {
        return;
    }
    let settings = files.root.settings();
    let hashed = settings.hashed.filter(|_| name.is_hashed());
    let value = match (hashed, settings.max_age.as_secs()) {
        // Django has decided who may see it, and did not say that others may keep it.
        _ if is_said => HeaderValue::from_static("private, no-cache"),
        (Some(time), _) => {
            let whose = if files.closed { "private" } else { "public" };
            text(&format!("{whose}, max-age={}, immutable", time.as_secs()))
        }
        (None, 0) => HeaderValue::from_static("no-cache"),
        (None, seconds) if files.closed => text(&format!("private, max-age={seconds}")),
        (None, seconds) => text(&format!("max-age={seconds}")),
    };
    headers.insert(CACHE_CONTROL, value);
}

/// The lifetime is the file's. A cache in front that knows an answer by its URL alone would give this one, which anybody
/// can ask for, to everybody in the file's place.
fn keep_nowhere(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(EXPIRES);
}

/// What the content is, and what a browser may do with it. What Django said about it holds.
fn describe(headers: &mut HeaderMap, settings: &Settings, name: &Name, coding: Option<Coding>) {
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get(CONTENT_TYPE).is_none_or(HeaderValue::is_empty) {
        headers.insert(CONTENT_TYPE, content_type(name));
    }
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    if let Some(inline) = &settings.inline
        && !headers.contains_key(CONTENT_DISPOSITION)
    {
        let of = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let of = of.unwrap_or_default();
        if !inline.iter().any(|range| range.matches_safely(of)) {
            let attachment = HeaderValue::from_static("attachment");
            headers.insert(CONTENT_DISPOSITION, attachment);
        }
    }
}

/// By the extension of the plain file.
fn content_type(name: &Name) -> HeaderValue {
    let guessed = mime_guess::from_path(name.as_str()).first_raw();
    match guessed.unwrap_or("application/octet-stream") {
        known if known.starts_with("text/") || known == "application/javascript" => {
            text(&format!("{known}; charset=utf-8"))
        }
        known => HeaderValue::from_static(known),
    }
}

/// Where a directory is, if this request named one without its slash.
fn with_slash(parts: &request::Parts) -> Option<String> {
    let path = parts.uri.path();
    // What begins with two slashes would be another host.
    if path.ends_with('/') || path.starts_with("//") {
        return None;
    }
    let query = parts.uri.query();
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Some(format!("{path}/{query}"))
}

fn moved(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(to));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A value that we have made.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("numbers, words and targets of requests are visible ASCII")
}
