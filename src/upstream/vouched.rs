//! What the gateway vouches for in a client's request: written behind the client's own headers, or set among them.
//!
//! A proxied request is written once and its vouched headers go straight into the buffer; an ask, and a request that may
//! begin a recording, is kept and compared, so there they stand in the map. Both say the same. Invariant: the head was stripped
//! of all these names before, and no value can end its line.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::head::Head;
use crate::domain::{EventId, RequestId};
use crate::wire::forwarded::{self, Forwarded};
use crate::wire::http1;

/// Where the log is.
pub const CURSOR: HeaderName = HeaderName::from_static("sse-cursor");

/// Who asked, under which id, and where the log was.
#[derive(Debug)]
pub struct Vouched {
    /// The client as Django is told of it.
    pub forwarded: Forwarded,
    /// The name of the request.
    pub id: RequestId,
    /// The header it is in; not one of the others here.
    pub id_header: HeaderName,
    /// The end of the log, so that a page can render its data and open a stream from that very place.
    pub cursor: EventId,
}

/// A client's request as Django gets it, but for its body.
#[derive(Debug)]
pub struct Rebuilt {
    /// What is left of what the client said.
    pub head: Head,
    /// What it could not say; `None` if that stands in the head already.
    pub vouched: Option<Vouched>,
}

impl From<Head> for Rebuilt {
    /// One that [`Rebuilt::into_head`] made.
    fn from(head: Head) -> Self {
        Self {
            head,
            vouched: None,
        }
    }
}

impl Rebuilt {
    /// The same as one head.
    pub fn into_head(self) -> Head {
        let Self { mut head, vouched } = self;
        if let Some(vouched) = vouched {
            vouched.apply(&mut head.headers);
        }
        head
    }
}

impl Vouched {
    /// Whether this is one of its headers.
    pub fn says(name: &HeaderName) -> bool {
        [
            forwarded::FOR,
            forwarded::PROTO,
            forwarded::HOST,
            forwarded::PORT,
            forwarded::REAL_IP,
            CURSOR,
        ]
        .contains(name)
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        self.forwarded.apply(headers);
        for (name, value) in [
            (&self.id_header, HeaderValue::from_str(self.id.as_str())),
            (&CURSOR, HeaderValue::from_str(&self.cursor.to_string())),
        ] {
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Forwarded {
            client: _,
            chain,
            proto,
            host,
            port,
        } = &self.forwarded;
        http1::text(out, &forwarded::FOR, chain);
        http1::text(out, &forwarded::PROTO, proto.as_str());
        http1::text(out, &forwarded::HOST, host);
        http1::number(out, &forwarded::PORT, u64::from(*port));
        http1::text(out, &forwarded::REAL_IP, self.forwarded.client_text());
        http1::text(out, &self.id_header, self.id.as_str());
        http1::shown(out, &CURSOR, &self.cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Position};
    use crate::upstream::RequestBody;
    use crate::wire::forwarded::Proto;
    use http::Method;

    #[test]
    fn what_is_written_is_what_would_be_set() {
        for chain in ["1.2.3.4, 10.0.0.1", "2001:db8::1", "10.0.0.1"] {
            let client = chain.split(", ").next().unwrap();
            let rebuilt = Rebuilt {
                head: Head {
                    method: Method::GET,
                    target: "/a?b".parse().unwrap(),
                    headers: HeaderMap::new(),
                },
                vouched: Some(Vouched {
                    forwarded: Forwarded {
                        client: client.parse().unwrap(),
                        chain: chain.to_owned(),
                        proto: Proto::Https,
                        host: "site.test:8000".to_owned(),
                        port: 8000,
                    },
                    id: RequestId::from_random(7),
                    id_header: HeaderName::from_static("x-trace"),
                    cursor: EventId {
                        epoch: Epoch::from_random(0xab),
                        position: Position::after(1_234_567_890_123),
                    },
                }),
            };
            let (mut written, mut set) = (Vec::new(), Vec::new());
            let body = RequestBody::Empty;
            rebuilt
                .head
                .write(&mut written, rebuilt.vouched.as_ref(), &body);
            rebuilt.into_head().write(&mut set, None, &body);
            let lines = |bytes: Vec<u8>| {
                let text = String::from_utf8(bytes).unwrap();
                let mut lines: Vec<_> = text.split("\r\n").map(str::to_owned).collect();
                assert_eq!((&*lines[0], lines.len()), ("GET /a?b HTTP/1.1", 10));
                lines.sort();
                lines
            };
            assert_eq!(lines(written), lines(set));
        }
    }
}
