//! Files: the path of a request, `Accept-Encoding`, `Range` and a condition, with 0xFF between them.

use http::header::{
    ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use std::path::{Component, Path};
use tidegate::files::{DotFiles, Name};
use tidegate::wire::accept_encoding::{Accepted, Coding};
use tidegate::wire::conditional::{Validators, Verdict, evaluate, range_counts};
use tidegate::wire::path::decode;
use tidegate::wire::range::{Wanted, wanted};

pub fn check(data: &[u8]) -> Option<()> {
    let mut parts = data.splitn(4, |&b| b == 0xff);
    let path = std::str::from_utf8(parts.next()?).ok()?;
    names(path);
    let mut value = || HeaderValue::from_bytes(parts.next().unwrap_or_default()).ok();
    let (codings, range, condition) = (value()?, value()?, value()?);
    codings_of(codings);
    parts_of(range);
    conditions(condition);
    Some(())
}

/// Decoded or not, a name goes down only and is one file's.
fn names(path: &str) {
    let decoded = decode(path).ok();
    let decoded = decoded.as_deref().and_then(|path| path.strip_prefix('/'));
    for path in [Some(path), decoded].into_iter().flatten() {
        for dot_files in [DotFiles::Hidden, DotFiles::Served] {
            let Some(name) = Name::parse(path, dot_files) else {
                continue;
            };
            let text = name.as_str();
            assert!(!text.contains(['\\', ':', '\0']) && !text.starts_with('/'));
            let only_down = |part| matches!(part, Component::Normal(_));
            assert!(Path::new(text).components().all(only_down));
            assert_eq!(text.trim_end_matches('/'), path.trim_end_matches('/'));
            assert!(dot_files == DotFiles::Served || !text.split('/').any(|s| s.starts_with('.')));
            if name.is_hashed() {
                assert!(text.len() > 12);
            }
        }
    }
}

fn codings_of(line: HeaderValue) {
    let refuses_all = line.as_bytes().is_empty();
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, line)]);
    let accepted = Accepted::of_request(&headers);
    let all = [Coding::Zstd, Coding::Brotli, Coding::Gzip];
    let ranked: Vec<_> = accepted.ranked(&all).collect();
    assert_eq!(ranked.first().copied(), accepted.preferred(&all));
    assert!(!refuses_all || ranked.is_empty());
    for coding in all {
        let alone = accepted.preferred(&[coding]).is_some();
        assert_eq!(alone, ranked.contains(&coding), "others change nothing");
    }
}

fn parts_of(line: HeaderValue) {
    let headers = HeaderMap::from_iter([(RANGE, line)]);
    for length in [0, 1, 10, u64::MAX] {
        match wanted(&headers, length) {
            Wanted::Part(part) => assert!(part.start < part.end && part.end <= length),
            Wanted::Whole | Wanted::Unsatisfiable => {}
        }
    }
}

fn conditions(line: HeaderValue) {
    let validators = Validators {
        etag: "\"a\"",
        modified: 784_111_777,
    };
    let has = |text: &[u8]| line.as_bytes().windows(text.len()).any(|part| part == text);
    let (names, is_any) = (has(b"\"a\""), has(b"*"));
    let verdict = |name| evaluate(&HeaderMap::from_iter([(name, line.clone())]), validators);
    if verdict(IF_NONE_MATCH) == Verdict::NotModified || verdict(IF_MATCH) == Verdict::Proceed {
        assert!(names || is_any);
    }
    if range_counts(
        &HeaderMap::from_iter([(IF_RANGE, line.clone())]),
        validators,
    ) {
        assert!(names || has(b"GMT") || has(b"1994"));
    }
}
