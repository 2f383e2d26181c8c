//! GRIP's instructions: lines of `name: value`, a byte 0xFF, and a body, which is also content that filters read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http::uri::PathAndQuery;
use tidegate::wire::grip::link::resolve;
use tidegate::wire::grip::signature::Key;
use tidegate::wire::grip::template::{Content, Encoding};
use tidegate::wire::grip::{Instruct, MOST_CHANNELS, clean};

use crate::cut::same_however_cut;
use crate::parts;

pub fn check(data: &[u8]) -> Option<()> {
    let mut both = data.splitn(2, |&b| b == 0xff);
    let headers = parts::headers(both.next().unwrap_or_default())?;
    let body = both.next().unwrap_or_default();
    if let Ok(instruct) = Instruct::of_headers(&headers) {
        is_bounded(&instruct);
        are_named(&headers, &instruct);
        is_clean(headers.clone(), &instruct);
    }
    if let Ok((instruct, response)) = Instruct::of_body(&headers, body) {
        is_bounded(&instruct);
        assert!(response.status().as_u16() >= 200);
        is_clean(response.into_parts().0.headers, &instruct);
    }
    for filter in [
        Content::build_id(Encoding::Plain),
        Content::build_id(Encoding::Hex),
        Content::var_subst(),
    ] {
        let text = same_however_cut(body, |pieces| filtered(filter.clone(), pieces));
        if !body.contains(&b'%') {
            assert_eq!(text, body);
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let key = Key::parse("a secret that is nowhere in the corpus").expect("a key");
        assert!(!key.opens(text, 0));
    }
    Some(())
}

fn filtered(mut filter: Content, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<u8> {
    let value = |name: &str| (name.len() < 3).then_some(Cow::Borrowed("room:%I"));
    let mut out = Vec::new();
    pieces.for_each(|piece| filter.feed(piece, &value, &mut out));
    filter.finish(&mut out);
    out
}

fn is_bounded(instruct: &Instruct) {
    let line = |text: &str| !text.contains(char::is_control);
    let names: BTreeSet<_> = instruct.channels.iter().map(|c| &c.name).collect();
    assert!(names.len() == instruct.channels.len() && names.len() <= MOST_CHANNELS);
    for channel in &instruct.channels {
        assert!(line(&channel.name) && (1..=512).contains(&channel.name.len()));
        assert!(channel.prev_id.as_deref().is_none_or(line));
        assert!(channel.filters.iter().count() <= 5);
    }
    let names: BTreeSet<_> = instruct.meta.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), instruct.meta.len());
    let length: usize = instruct.meta.iter().map(|(n, v)| n.len() + v.len()).sum();
    assert!(names.len() <= 64 && length <= 8192);
    let at_least = |seconds, time: Duration| time >= Duration::from_secs(seconds);
    assert!(instruct.timeout.is_none_or(|time| at_least(5, time)));
    if let Some(keep_alive) = &instruct.keep_alive {
        assert!(!keep_alive.data.is_empty() && at_least(1, keep_alive.timeout));
    }
    for link in [&instruct.next, &instruct.gone].into_iter().flatten() {
        assert!(!link.uri.is_empty());
        let base = PathAndQuery::from_static("/a/b?c");
        if let Ok(target) = resolve(&base, "example.com", &link.uri) {
            let target = target.as_str();
            assert!(target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic()));
            assert!(!target.contains('#'));
        }
    }
}

/// Where nothing is quoted, whoever splits at commas and semicolons finds the same channels.
fn are_named(headers: &HeaderMap, instruct: &Instruct) {
    let mut naive: Vec<&str> = Vec::new();
    for line in headers.get_all("grip-channel") {
        // What is no UTF-8 is read as Latin-1.
        let Ok(line) = std::str::from_utf8(line.as_bytes()) else {
            return;
        };
        if line.contains(['"', '<']) {
            return;
        }
        let entries = line.split(',').filter(|entry| !entry.trim().is_empty());
        naive.extend(
            entries
                .filter_map(|entry| entry.split(';').next())
                .map(str::trim),
        );
    }
    let mut seen = BTreeSet::new();
    naive.retain(|name| seen.insert(*name));
    let own: Vec<&str> = instruct.channels.iter().map(|c| &*c.name).collect();
    assert_eq!(own, naive);
}

fn is_clean(mut headers: HeaderMap, instruct: &Instruct) {
    clean(&mut headers, instruct);
    let left = |name: &str| name.starts_with("grip-") || name == "content-length";
    assert!(headers.keys().all(|name| !left(name.as_str())));
    if let Some(kept) = &instruct.expose {
        let stays = |name| kept.contains(name) || *name == CONTENT_ENCODING;
        assert!(headers.keys().all(stays));
    }
}
