//! The access log: a request of any bytes is one line of printable ASCII with as many fields as any other.
//!
//! The input is target, referer, user agent and host, with 0xFF between them; the texts may be any bytes but that.

use std::net::IpAddr;

use http::header::{HOST, HeaderValue, REFERER, USER_AGENT};
use http::{Method, Request, Uri};
use jiff::Timestamp;
use tidegate::domain::RequestId;
use tidegate::wire::access::{Format, LONGEST, Record, Text};

/// The longest line: four texts of which each byte may become six, and what is between them.
const LONGEST_LINE: usize = 4 * 6 * (LONGEST + 3) + 512;

pub fn check(data: &[u8]) -> Option<()> {
    let mut parts = data.splitn(4, |&b| b == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let [target, referer, agent, host] = [part(), part(), part(), part()];
    let mut request = Request::new(());
    if let Ok(uri) = Uri::try_from(target) {
        *request.uri_mut() = uri;
    }
    if let Ok(method) = Method::from_bytes(agent) {
        *request.method_mut() = method;
    }
    for (name, value) in [(REFERER, referer), (USER_AGENT, agent), (HOST, host)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().insert(name, value);
        }
    }
    let client = IpAddr::from([192, 0, 2, 1]);
    let mut record = Record::new(
        &request,
        client,
        Timestamp::UNIX_EPOCH,
        RequestId::from_random(7),
    );
    has_its_fields(&record);
    // No request has such texts, but nothing else may depend on that.
    record.path = Text::new(target);
    record.user_agent = Some(Text::new(agent));
    record.referer = Some(Text::new(referer));
    record.host = Some(Text::new(host));
    has_its_fields(&record);
    Some(())
}

fn has_its_fields(record: &Record) {
    let line = |format| {
        let text = String::from_utf8(record.line(format)).expect("ASCII");
        let inner = text.strip_suffix('\n').expect("a line").to_owned();
        assert!(inner.chars().all(|c| matches!(c, ' '..='~')), "{inner:?}");
        assert!(text.len() <= LONGEST_LINE, "{}", text.len());
        inner
    };
    for (format, quotes) in [(Format::Common, 2), (Format::Combined, 6)] {
        let line = line(format);
        assert_eq!(line.matches('"').count(), quotes, "{line}");
        let asked = line.split('"').nth(1).expect("a request line");
        assert_eq!(asked.split(' ').count(), 3, "{line}");
    }
    let json: serde_json::Value = serde_json::from_str(&line(Format::Json)).expect("JSON");
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(13));
    assert!(!json["path"].as_str().unwrap_or("?").is_empty() || record.path == Text::new(b""));
}
