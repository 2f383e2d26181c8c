//! What is done to every answer before it leaves: an error page in place of our own text, headers that are absent, HSTS,
//! compression, and last what other origins may read.
//!
//! `Proxy::handle` calls [`Told::finish`] once for each request, whoever answered it. Without any of it configured this
//! costs a few branches; header names and values are made when the configuration is read.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, STRICT_TRANSPORT_SECURITY};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::access::Entry;
use super::compress::{Asked, Compress, Compressor};
use crate::stream::Body;
use crate::wire::cors;

/// `[headers]`, the pages of `[errors]`, and `[compress]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finish {
    /// Added where an answer has no such header. Default none.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Default none.
    pub hsts: Option<Hsts>,
    /// What a browser is shown in place of our own text, by status. Default none.
    pub pages: Vec<(StatusCode, Page)>,
    /// What is compressed. Default nothing.
    pub compress: Option<Compress>,
}

/// A page out of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The file.
    pub path: PathBuf,
    /// What was in it.
    pub text: Bytes,
}

/// For how long browsers are to come by https only (RFC 6797).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hsts {
    max_age: Duration,
    subdomains: bool,
    preload: bool,
    value: HeaderValue,
}

impl Hsts {
    /// For so long, for hosts below as well, and for the lists that browsers ship with.
    pub fn new(max_age: Duration, subdomains: bool, preload: bool) -> Self {
        let mut value = format!("max-age={}", max_age.as_secs());
        if subdomains {
            value.push_str("; includeSubDomains");
        }
        if preload {
            value.push_str("; preload");
        }
        Self {
            max_age,
            subdomains,
            preload,
            value: HeaderValue::try_from(value).expect("digits and words are a header's value"),
        }
    }

    /// For how long.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Whether for hosts below as well.
    pub const fn subdomains(&self) -> bool {
        self.subdomains
    }

    /// Whether for the lists of browsers.
    pub const fn preload(&self) -> bool {
        self.preload
    }
}

/// What is told of a request while it is served, and outlives how it is answered.
#[derive(Default)]
pub(super) struct Told {
    /// `None` without an access log.
    pub(super) entry: Option<Entry>,
    /// `None` until a route with rules of its own was found.
    pub(super) cors: Option<cors::Answer>,
    /// Whether the client came by https to a host that is served here.
    pub(super) https: bool,
    /// What is shown in place of the page for the status.
    pub(super) shown: Option<Page>,
    /// Whether somebody opens a page; not looked at where nothing depends on it.
    pub(super) page: bool,
    /// How the answer may be sent; `None` where nothing is compressed.
    pub(super) asked: Option<Asked>,
}

impl Told {
    /// Finishes an answer. `own` is one that stands for a refusal.
    pub(super) fn finish(
        &mut self,
        rules: &Finish,
        compressor: &Compressor,
        response: &mut Response<Body>,
        own: bool,
    ) {
        if own && self.page {
            match &self.shown {
                Some(page) => put_page(response, page),
                None => rules.show_page(response),
            }
        }
        rules.add_absent(response, self.https);
        // After `Cache-Control` and `Vary` of the configuration: they count, and are not taken to be there already.
        if let Some((compress, asked)) = rules.compress.as_ref().zip(self.asked.as_ref()) {
            compressor.apply(compress, asked, response);
        }
        // Every answer of the route, also a refusal: a page that may not read it could not tell it from a lost network.
        if let Some(cors) = self.cors.take() {
            cors.write(response.headers_mut());
        }
        if let Some(entry) = &mut self.entry {
            entry.answered(response.status());
        }
    }
}

impl Finish {
    fn show_page(&self, response: &mut Response<Body>) {
        let status = response.status();
        if let Some((_, page)) = self.pages.iter().find(|(of, _)| *of == status) {
            put_page(response, page);
        }
    }

    fn add_absent(&self, response: &mut Response<Body>, https: bool) {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        if let Some(hsts) = &self.hsts
            && https
        {
            add(headers, &STRICT_TRANSPORT_SECURITY, &hsts.value);
        }
        if !switches {
            for (name, value) in &self.set {
                add(headers, name, value);
            }
        }
    }
}

fn add(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name.clone(), value.clone());
    }
}

/// Puts a page in the place of a text.
fn put_page(response: &mut Response<Body>, page: &Page) {
    *response.body_mut() = Body::Text(page.text.clone());
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
}
