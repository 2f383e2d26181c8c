//! Where to: URLs of the command line, and templates in which `{i}` is the number of a channel.

use std::io::Write as _;
use std::net::SocketAddrV4;

use crate::error::Error;

/// A text with holes for the number of a channel and for a payload.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Number,
    Payload,
}

impl Template {
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, hole) = rest.split_at(at);
            let (part, length) = if hole.starts_with("{i}") {
                (Part::Number, 3)
            } else if hole.starts_with("{payload}") {
                (Part::Payload, 9)
            } else {
                (Part::Text("{".into()), 1)
            };
            parts.extend([Part::Text(before.into()), part]);
            rest = &hole[length..];
        }
        parts.push(Part::Text(rest.into()));
        Self(parts)
    }

    /// Appends the text for this channel and payload.
    pub fn write(&self, channel: usize, payload: &[u8], out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                // Writing to memory does not fail.
                Part::Number => drop(write!(out, "{channel}")),
                Part::Payload => out.extend_from_slice(payload),
            }
        }
    }
}

/// A URL: how, to whom, for what.
#[derive(Debug)]
pub struct Target {
    pub tls: bool,
    pub address: SocketAddrV4,
    pub path: Template,
}

impl Target {
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = || Error::Url(url.into());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let at = rest.find('/').ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(at);
        Ok(Self {
            tls,
            address: authority.parse().map_err(|_| wrong())?,
            path: Template::parse(path),
        })
    }

    /// Appends the request of an `EventSource` on this channel.
    pub fn event_source(&self, channel: usize, out: &mut Vec<u8>) {
        self.line("GET", channel, out);
        out.extend_from_slice(
            b"Accept: text/event-stream\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (bench)\r\n\
              Accept-Language: en\r\nConnection: keep-alive\r\n\r\n",
        );
    }

    /// Appends the request for a page.
    pub fn page(&self, out: &mut Vec<u8>) {
        self.line("GET", 0, out);
        out.extend_from_slice(b"Accept: */*\r\nUser-Agent: bench\r\n\r\n");
    }

    /// Appends a POST of this body.
    pub fn post(&self, channel: usize, content_type: &str, body: &[u8], out: &mut Vec<u8>) {
        self.line("POST", channel, out);
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.extend_from_slice(body);
    }

    fn line(&self, method: &str, channel: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        self.path.write(channel, b"", out);
        // Writing to memory does not fail.
        let _ = write!(out, " HTTP/1.1\r\nHost: {}\r\n", self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_and_other_braces_stay() {
        let mut out = Vec::new();
        Template::parse(r#"{"channel":"c{i}","d":"{payload}"}"#).write(7, b"xy", &mut out);
        assert_eq!(out, br#"{"channel":"c7","d":"xy"}"#);
    }

    #[test]
    fn urls_have_a_scheme_an_address_and_a_path() {
        let target = Target::parse("https://127.0.0.1:8443/events/c{i}/").unwrap();
        assert!(target.tls && target.address.port() == 8443);
        for wrong in [
            "127.0.0.1:1/",
            "ftp://127.0.0.1:1/",
            "http://127.0.0.1:1",
            "http://x/",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
