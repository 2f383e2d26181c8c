//! Instructions in a body of `application/grip-instruct`.
//!
//! Called for an answer with that type and status 200. Headers and body of the answer itself are dropped: `response` in
//! the JSON is what the client gets. The `Grip-*` headers beside it still count; what the body says of the same comes later
//! and counts for more. Unknown fields are passed over.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Response};
use serde::Deserialize;

use super::channel::Channel;
use super::fields::{BASE64, Headers, detail};
use super::instruct::{BadInstruct, Instruct, Mode, poll_timeout, status_of};
use super::keep_alive::{BadKeepAlive, KeepAlive, KeepAliveMode};

#[derive(Deserialize)]
struct Whole {
    hold: Option<Hold>,
    response: Option<Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Hold {
    mode: Option<String>,
    #[serde(default)]
    channels: Vec<Named>,
    timeout: Option<u32>,
    keep_alive: Option<Quiet>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Named {
    name: String,
    prev_id: Option<String>,
    #[serde(default)]
    filters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Quiet {
    content: Option<String>,
    content_bin: Option<String>,
    timeout: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    code: Option<u16>,
    reason: Option<Box<str>>,
    #[serde(default)]
    headers: Headers,
    body: Option<String>,
    body_bin: Option<String>,
}

impl Instruct {
    /// Reads a body that is an instruction, and the headers beside it: also what the client is answered.
    pub fn of_body(
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Self, Response<Bytes>), BadInstruct> {
        let mut instruct = Self::of_headers(headers)?;
        let whole: Whole =
            serde_json::from_slice(body).map_err(|error| BadInstruct::Json(detail(&error)))?;
        if let Some(hold) = whole.hold {
            instruct.add_hold(hold)?;
        }
        let mut answer = whole.response.unwrap_or_default();
        if instruct.status.is_none() {
            instruct.reason = answer.reason.take();
        }
        Ok((instruct, answer.into_response()?))
    }

    fn add_hold(&mut self, hold: Hold) -> Result<(), BadInstruct> {
        self.mode = Some(match hold.mode {
            None => Mode::Response,
            Some(mode) => Mode::parse(&mode)?,
        });
        for Named {
            name,
            prev_id,
            filters,
        } in hold.channels
        {
            let filters = filters.iter().map(String::as_str);
            self.add_channel(Channel::new(&name, prev_id.as_deref(), filters)?)?;
        }
        if let Some(seconds) = hold.timeout {
            self.timeout = Some(poll_timeout(seconds.into()));
        }
        if let Some(quiet) = hold.keep_alive {
            self.keep_alive = Some(quiet.read()?);
        }
        for (name, value) in &hold.meta {
            self.add_meta(name, value)?;
        }
        Ok(())
    }
}

impl Quiet {
    /// There is no mode in JSON; it runs from one keep-alive to the next.
    fn read(self) -> Result<KeepAlive, BadInstruct> {
        let data = match (self.content_bin, self.content) {
            (Some(text), _) => BASE64.decode(text).map_err(|_| BadKeepAlive::Base64)?,
            (None, text) => text.unwrap_or_default().into_bytes(),
        };
        let timeout = self.timeout.map(u64::from);
        Ok(KeepAlive::new(data, timeout, KeepAliveMode::Interval)?)
    }
}

impl Answer {
    fn into_response(self) -> Result<Response<Bytes>, BadInstruct> {
        let body = match (self.body_bin, self.body) {
            (Some(text), _) => {
                let bytes = BASE64.decode(text);
                bytes.map_err(|_| BadInstruct::Base64("body-bin"))?.into()
            }
            (None, text) => text.unwrap_or_default().into(),
        };
        let mut response = Response::new(body);
        if let Some(code) = self.code {
            *response.status_mut() = status_of(code).ok_or(BadInstruct::Status)?;
        }
        for (name, value) in self.headers.0 {
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, StatusCode};

    use super::*;
    use crate::wire::grip::Filter;

    fn read(json: &str) -> Result<(Instruct, Response<Bytes>), BadInstruct> {
        let mut headers = HeaderMap::new();
        let link = HeaderValue::from_static("</x>; rel=next");
        headers.insert("grip-link", link);
        headers.insert("grip-channel", HeaderValue::from_static("a; prev-id=1"));
        Instruct::of_body(&headers, json.as_bytes())
    }

    #[test]
    fn what_gripcontrol_makes() {
        let (instruct, response) = read(
            r#"{"hold": {"mode": "stream", "timeout": 3, "x": 1,
                "channels": [{"name": "a"}, {"name": "b", "prev-id": "4", "filters": ["build-id", "y"]}],
                "keep-alive": {"content-bin": "Ogo=", "timeout": 20}, "meta": {"user": "7"}},
              "response": {"code": 201, "reason": "Fine", "headers": [["A", "1"], ["a", "2"]], "body": "Hä"}}"#,
        )
        .unwrap();
        assert_eq!(instruct.mode, Some(Mode::Stream));
        assert_eq!(instruct.timeout, Some(Duration::from_secs(5)));
        assert_eq!(&*instruct.next.unwrap().uri, "/x");
        let [a, b] = instruct.channels.as_slice() else {
            panic!("{:?}", instruct.channels);
        };
        assert_eq!((&*a.name, a.prev_id.as_deref()), ("a", Some("1")));
        assert_eq!((&*b.name, b.prev_id.as_deref()), ("b", Some("4")));
        assert_eq!(b.filters.iter().collect::<Vec<_>>(), [Filter::BuildId]);
        let quiet = instruct.keep_alive.unwrap();
        assert_eq!(quiet.data, ":\n");
        assert_eq!(quiet.timeout, Duration::from_secs(20));
        assert_eq!(quiet.mode, KeepAliveMode::Interval);
        assert_eq!(instruct.meta, [("user".into(), "7".into())]);
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(instruct.reason.as_deref(), Some("Fine"));
        assert_eq!(response.headers().get_all("a").iter().count(), 2);
        assert_eq!(response.body(), "Hä");
    }

    #[test]
    fn a_hold_is_one_of_a_response_unless_it_says_so() {
        let (instruct, response) = read(r#"{"hold": {"channels": []}}"#).unwrap();
        assert_eq!(instruct.mode, Some(Mode::Response));
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.body().is_empty());
        let (instruct, response) = read(r#"{"response": {"body-bin": "/w=="}}"#).unwrap();
        assert_eq!(instruct.mode, None);
        assert_eq!(&**response.body(), b"\xff");
    }

    #[test]
    fn wrong_types_are_errors() {
        for json in [
            "",
            "[]",
            r#"{"hold": 1}"#,
            r#"{"hold": {"channels": {}}}"#,
            r#"{"hold": {"channels": [{}]}}"#,
            r#"{"hold": {"channels": [{"name": "a\nb"}]}}"#,
            r#"{"hold": {"channels": [{"name": "b", "prev-id": 4}]}}"#,
            r#"{"hold": {"mode": "websocket"}}"#,
            r#"{"hold": {"timeout": -1}}"#,
            r#"{"hold": {"keep-alive": {}}}"#,
            r#"{"hold": {"keep-alive": {"content-bin": "*"}}}"#,
            r#"{"hold": {"meta": {"user": 4}}}"#,
            r#"{"response": {"code": 101}}"#,
            r#"{"response": {"code": 1000}}"#,
            r#"{"response": {"headers": {"a": "b\nc"}}}"#,
            r#"{"response": {"body-bin": "*"}}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
