//! One line of the access log: what was asked, by whom, and what came of it.
//!
//! `proxy` makes a [`Record`] of each request and writes its line when the answer has ended. Invariant: a line is
//! printable ASCII and one line feed at its end, and nothing a client sends can forge a line or a field of it. A query is
//! never written (it may hold a token), not even that of a referer. Bound: [`LONGEST`] bytes of each text of a client.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use http::header::{HOST, HeaderName, REFERER, USER_AGENT};
use http::{HeaderValue, Method, Request, Version};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::domain::RequestId;

/// What is kept of one text of a client; a longer one is cut and ends with `...`.
pub const LONGEST: usize = 1024;

/// The status of a request whose client left before an answer began, as nginx writes it.
pub const NO_ANSWER: u16 = 499;

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The common log format and after it the referer and the user agent, both in quotes.
    Combined,
    /// The NCSA common log format: `client - - [time] "request" status bytes`.
    Common,
    /// One JSON object; its names are those of the fields in the gateway's own log.
    Json,
}

/// A request and its answer. Owns its texts: it lives as long as a stream, which must not keep the whole head.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose request it was, trusted proxies aside.
    pub client: IpAddr,
    /// When it came.
    pub at: Timestamp,
    /// Its method.
    pub method: Method,
    /// Its path as it was written, without the query.
    pub path: Text,
    /// Its version of HTTP.
    pub version: Version,
    /// The host it named, whether or not that is served; `None` if it named none.
    pub host: Option<Text>,
    /// `Referer` without query, fragment and password.
    pub referer: Option<Text>,
    /// `User-Agent`.
    pub user_agent: Option<Text>,
    /// The route that answered; `None` if it was refused before one was found.
    pub route: Option<String>,
    /// Its id, towards Django and in the gateway's own log.
    pub request_id: RequestId,
    /// The status of the answer.
    pub status: u16,
    /// The bytes of the answer's body that were handed on to the client's connection.
    pub bytes: u64,
    /// From the request to the end of the answer.
    pub duration: Duration,
}

/// A text of a client, cut after [`LONGEST`] bytes. Any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Box<[u8]>);

impl Text {
    /// Keeps the beginning of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        match bytes.get(..LONGEST) {
            Some(beginning) if bytes.len() > LONGEST => Self([beginning, b"..."].concat().into()),
            _ => Self(bytes.into()),
        }
    }
}

impl Record {
    /// The record of a request that has no answer yet.
    pub fn new<B>(request: &Request<B>, client: IpAddr, at: Timestamp, id: RequestId) -> Self {
        let header = |name: HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
        let authority = request.uri().authority();
        let authority = authority.map(|authority| without_user(authority.as_str().as_bytes()));
        Self {
            client,
            at,
            method: request.method().clone(),
            path: Text::new(request.uri().path().as_bytes()),
            version: request.version(),
            host: header(HOST).or(authority).map(Text::new),
            referer: header(REFERER).map(|url| Text::new(&without_secrets(url))),
            user_agent: header(USER_AGENT).map(Text::new),
            route: None,
            request_id: id,
            status: NO_ANSWER,
            bytes: 0,
            duration: Duration::ZERO,
        }
    }

    /// The line, its end included.
    pub fn line(&self, format: Format) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        match format {
            Format::Common => self.common(&mut line),
            Format::Combined => {
                self.common(&mut line);
                for text in [&self.referer, &self.user_agent] {
                    line.extend_from_slice(b" \"");
                    match text {
                        Some(Text(bytes)) => escape(&mut line, bytes, b' '),
                        None => line.push(b'-'),
                    }
                    line.push(b'"');
                }
            }
            Format::Json => self.json(&mut line),
        }
        line.push(b'\n');
        line
    }

    fn common(&self, line: &mut Vec<u8>) {
        const MEMORY: &str = "memory takes any line";
        let at = self.at.strftime("%d/%b/%Y:%H:%M:%S +0000");
        write!(line, "{} - - [{at}] \"", self.client).expect(MEMORY);
        // The parts of a request line are told apart by spaces, so there is none within them.
        escape(line, &Text::new(self.method.as_str().as_bytes()).0, b'!');
        line.push(b' ');
        escape(line, or_dash(&self.path.0), b'!');
        write!(line, " {:?}\" {} ", self.version, self.status).expect(MEMORY);
        match self.bytes {
            0 => line.push(b'-'),
            bytes => write!(line, "{bytes}").expect(MEMORY),
        }
    }

    fn json(&self, line: &mut Vec<u8>) {
        let text = |text: &Option<Text>| text.as_ref().map(readable);
        let fields = Fields {
            timestamp: format!("{:.3}", self.at),
            client: self.client,
            request_id: self.request_id.as_str(),
            method: readable(&Text::new(self.method.as_str().as_bytes())),
            host: text(&self.host),
            path: readable(&self.path),
            version: format!("{:?}", self.version),
            route: self.route.as_deref(),
            status: self.status,
            bytes: self.bytes,
            duration_ms: u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            referer: text(&self.referer),
            user_agent: text(&self.user_agent),
        };
        let mut json = Serializer::with_formatter(line, Ascii);
        fields
            .serialize(&mut json)
            .expect("texts and numbers are JSON, and memory takes them");
    }
}

#[derive(Serialize)]
struct Fields<'a> {
    timestamp: String,
    #[serde(rename = "client.addr")]
    client: IpAddr,
    #[serde(rename = "request.id")]
    request_id: &'a str,
    method: String,
    host: Option<String>,
    path: String,
    version: String,
    route: Option<&'a str>,
    status: u16,
    bytes: u64,
    duration_ms: u64,
    referer: Option<String>,
    user_agent: Option<String>,
}

/// JSON in printable ASCII. serde_json leaves U+0085 and U+2028 as they are, at which some readers of lines break them,
/// and the control characters from U+007F on, which a terminal obeys.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        for part in fragment.split_inclusive(|c| !is_printable(c)) {
            let plain = part.trim_end_matches(|c| !is_printable(c));
            writer.write_all(plain.as_bytes())?;
            for unit in part.encode_utf16().skip(plain.len()) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// Bytes that are no UTF-8 become U+FFFD.
fn readable(text: &Text) -> String {
    String::from_utf8_lossy(&text.0).into_owned()
}

/// Writes `bytes` so that they end neither the line nor the quotes around them: whatever is not printable from `least`
/// on becomes `\xNN`, as with Apache and nginx.
fn escape(line: &mut Vec<u8>, bytes: &[u8], least: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if (least..=b'~').contains(&byte) && byte != b'"' && byte != b'\\' {
            line.push(byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
            line.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

const fn or_dash(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { b"-" } else { bytes }
}

/// `user:password@` is no part of a host.
fn without_user(authority: &[u8]) -> &[u8] {
    let at = authority.iter().rposition(|&b| b == b'@');
    authority
        .get(at.map_or(0, |at| at + 1)..)
        .unwrap_or_default()
}

/// A URL without what is secret in it: user and password, query, fragment.
fn without_secrets(url: &[u8]) -> Vec<u8> {
    let end = url.iter().position(|b| matches!(b, b'?' | b'#'));
    let url = url.get(..end.unwrap_or(url.len())).unwrap_or_default();
    let Some(slashes) = url.windows(2).position(|two| two == b"//") else {
        return url.to_vec();
    };
    let (scheme, rest) = url.split_at(slashes + 2);
    let path = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    [scheme, without_user(authority), path].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(request: http::request::Builder) -> Record {
        let request = request.body(()).unwrap();
        let at = Timestamp::from_millisecond(1_795_243_380_042).unwrap();
        let id = RequestId::from_random(7);
        let mut record = Record::new(&request, IpAddr::from([192, 0, 2, 1]), at, id);
        record.status = 200;
        record.bytes = 512;
        record.duration = Duration::from_micros(1_999);
        record.route = Some("/<path:rest>".to_owned());
        record
    }

    fn page() -> http::request::Builder {
        Request::get("http://u:p@site.test:8000/a%20b/?token=s")
            .version(Version::HTTP_11)
            .header("referer", "https://u:p@x.test/from@/?token=s#t")
            .header("user-agent", "Mozilla/5.0 (X11)")
    }

    fn text(record: &Record, format: Format) -> String {
        String::from_utf8(record.line(format)).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_apache_and_no_query() {
        let common = r#"192.0.2.1 - - [21/Nov/2026:06:43:00 +0000] "GET /a%20b/ HTTP/1.1" 200 512"#;
        let record = record(page());
        assert_eq!(text(&record, Format::Common), format!("{common}\n"));
        let combined = format!("{common} \"https://x.test/from@/\" \"Mozilla/5.0 (X11)\"\n");
        assert_eq!(text(&record, Format::Combined), combined);
    }

    #[test]
    fn a_json_line_says_it_all_with_milliseconds() {
        let expected = concat!(
            r#"{"timestamp":"2026-11-21T06:43:00.042Z","client.addr":"192.0.2.1","#,
            r#""request.id":"00000000000000000000000000000007","method":"GET","host":"site.test:8000","#,
            r#""path":"/a%20b/","version":"HTTP/1.1","route":"/<path:rest>","status":200,"bytes":512,"#,
            r#""duration_ms":1,"referer":"https://x.test/from@/","user_agent":"Mozilla/5.0 (X11)"}"#,
            "\n"
        );
        assert_eq!(text(&record(page()), Format::Json), expected);
    }

    #[test]
    fn what_is_absent_is_a_dash_or_null() {
        let mut record = record(Request::options("*").version(Version::HTTP_2));
        (record.bytes, record.route) = (0, None);
        let line = text(&record, Format::Combined);
        assert!(
            line.ends_with("\"OPTIONS * HTTP/2.0\" 200 - \"-\" \"-\"\n"),
            "{line}"
        );
        let line = text(&record, Format::Json);
        assert!(line.contains("\"host\":null,") && line.contains("\"user_agent\":null}"));
    }

    #[test]
    fn hostile_texts_stay_within_their_quotes() {
        let mut record = record(page());
        record.user_agent = Some(Text::new(b"\" 200 1\r\n\\\x1b[2J\xff"));
        record.path = Text::new(b"/a HTTP/1.1\" 200");
        let line = text(&record, Format::Combined);
        assert!(
            line.contains(r#""GET /a\x20HTTP/1.1\x22\x20200 HTTP/1.1" 200 512 ""#),
            "{line}"
        );
        assert!(
            line.ends_with("\"\\x22 200 1\\x0D\\x0A\\x5C\\x1B[2J\\xFF\"\n"),
            "{line}"
        );
        record.user_agent = Some(Text::new("\u{85}\u{2028}\u{7f}\u{1f600}é".as_bytes()));
        let line = text(&record, Format::Json);
        assert!(
            line.ends_with("\"\\u0085\\u2028\\u007f\\ud83d\\ude00\\u00e9\"}\n"),
            "{line}"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(Text::new(&[b'a'; LONGEST]).0.len(), LONGEST);
        let cut = Text::new(&[b'a'; LONGEST + 1]).0;
        assert!(cut.len() == LONGEST + 3 && cut.ends_with(b"a..."));
    }

    /// What stood there before it was escaped.
    fn read(text: &str) -> Vec<u8> {
        let mut parts = text.split("\\x");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend(part[2..].bytes());
        }
        bytes
    }

    proptest! {
        #[test]
        fn no_input_forges_a_line_or_a_field(
            path in any::<Vec<u8>>(),
            referer in prop_oneof![any::<Vec<u8>>(), "[\"\\\\ x\r\n{}:,]{0,9}".prop_map(String::into_bytes)],
            agent in prop_oneof![any::<String>(), "[\"\\\\ x\r\n{}:,\u{85}]{0,9}"].prop_map(String::into_bytes),
        ) {
            let mut record = record(page());
            record.path = Text::new(&path);
            record.referer = Some(Text::new(&referer));
            record.user_agent = Some(Text::new(&agent));
            for format in [Format::Common, Format::Combined, Format::Json] {
                let line = text(&record, format);
                let inner = line.strip_suffix('\n').unwrap();
                prop_assert!(inner.chars().all(is_printable), "{inner:?}");
            }
            let line = text(&record, Format::Combined);
            let quotes: Vec<_> = line.split('"').collect();
            prop_assert_eq!(quotes.len(), 7);
            let words: Vec<_> = quotes[1].split(' ').collect();
            prop_assert_eq!((words.len(), words[0], words[2]), (3, "GET", "HTTP/1.1"));
            prop_assert_eq!(read(words[1]), or_dash(&path));
            prop_assert_eq!((read(quotes[3]), read(quotes[5])), (referer, agent.clone()));
            let json: serde_json::Value = serde_json::from_slice(&record.line(Format::Json)).unwrap();
            prop_assert_eq!(json.as_object().unwrap().len(), 13);
            prop_assert_eq!(json["user_agent"].as_str(), Some(&*String::from_utf8_lossy(&agent)));
            prop_assert_eq!(json["path"].as_str(), Some(&*String::from_utf8_lossy(&path)));
        }

        #[test]
        fn a_referer_gives_away_no_secret(url in "[a-z:/@?#]{0,12}") {
            let kept = without_secrets(url.as_bytes());
            prop_assert!(!kept.iter().any(|b| matches!(b, b'?' | b'#')));
        }
    }
}
