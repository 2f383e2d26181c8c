//! The console: one page, put together once from the files beside this one.
//!
//! `internal` makes it and `respond` gives it out, to whoever asks: nothing in it is secret, for it asks the endpoints as
//! anybody does. What a browser lets it do is fixed by its policy, which knows style and script by their hashes: it reaches this
//! listener and nothing else, is in no frame, and turns no text into elements.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;

const FRAME: &str = include_str!("console.html");
const STYLE: &str = include_str!("console.css");
/// One module to the browser: its parts share their names.
const SCRIPT: &str = concat!(
    include_str!("ask.js"),
    include_str!("look.js"),
    include_str!("act.js")
);
/// What in the frame stands for the other two, and for the path of the metrics.
const STYLE_GOES: &str = "<style></style>";
const SCRIPT_GOES: &str = "<script type=\"module\"></script>";
const METRICS_GO: &str = "{metrics}";

/// The page as it is given out.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) text: Bytes,
    /// A strong entity tag, with its quotes.
    pub(super) etag: HeaderValue,
    /// The value of `Content-Security-Policy`.
    pub(super) policy: HeaderValue,
}

impl Page {
    /// A page that reads the metrics at `metrics`, which is a path of letters, digits and `/-_.` (`config` takes no other).
    pub(super) fn new(metrics: &str) -> Self {
        let style = format!("<style>{STYLE}</style>");
        let script = format!("<script type=\"module\">{SCRIPT}</script>");
        let text = FRAME
            .replacen(METRICS_GO, metrics, 1)
            .replacen(STYLE_GOES, &style, 1)
            .replacen(SCRIPT_GOES, &script, 1);
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'",
            STANDARD.encode(hash(SCRIPT)),
            STANDARD.encode(hash(STYLE)),
        );
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash(&text)));
        let value = |text: String| HeaderValue::try_from(text).expect("ASCII makes a field");
        Self {
            text: text.into(),
            etag: value(etag),
            policy: value(policy),
        }
    }
}

fn hash(text: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between the first `open` and the next `close`.
    fn between<'t>(text: &'t str, open: &str, close: &str) -> &'t str {
        let (_, rest) = text.split_once(open).unwrap();
        rest.split_once(close).unwrap().0
    }

    #[test]
    fn the_policy_knows_what_is_in_the_page_and_nothing_else() {
        let page = Page::new("/numbers");
        let text = std::str::from_utf8(&page.text).unwrap();
        let policy = page.policy.to_str().unwrap();
        for (open, close) in [
            ("<style>", "</style>"),
            ("<script type=\"module\">", "</script>"),
        ] {
            assert_eq!(text.matches(open).count(), 1, "{open}");
            assert_eq!(text.matches(close).count(), 1, "{close}");
            let found = STANDARD.encode(hash(between(text, open, close)));
            assert!(policy.contains(&format!("'sha256-{found}'")), "{open}");
        }
        assert!(text.contains("data-metrics=\"/numbers\"") && !text.contains(METRICS_GO));
        assert!(!policy.contains("unsafe") && !text.contains("<!--"));
        // What the policy forbids would only show in a browser.
        for never in [
            " style=",
            " onclick=",
            " onload=",
            "innerHTML",
            "http://",
            "src=",
        ] {
            let at = text.find(never).map(|at| &text[at..]);
            let is_namespace = at.is_some_and(|at| at.starts_with("http://www.w3.org/2000/svg"));
            assert!(at.is_none() || is_namespace, "{never}");
        }
    }

    #[test]
    fn another_page_has_another_tag() {
        let (one, other) = (Page::new("/a"), Page::new("/b"));
        assert_ne!(one.etag, other.etag);
        assert_eq!(one.policy, other.policy);
        assert_eq!(one.etag, Page::new("/a").etag);
    }
}
