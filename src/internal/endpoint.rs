//! The endpoints of the internal listener: path and method to what is meant. Which there are stands in
//! `wire::openapi::OPERATIONS`.

use http::request;
use percent_encoding::percent_decode_str;

use crate::domain::ChannelName;
use crate::wire::openapi::{self, Verb};
use crate::wire::problem::Problem;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/`
    Here,
    /// `/publish/`, also without the last slash.
    Items,
    /// `/recover/`, also without the last slash.
    Recover,
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/openapi.json`
    Document,
    /// `/v1/events`
    Events,
    /// `/v1/channels`
    Channels,
    /// `/v1/channels/{channel}`
    Channel(ChannelName),
    /// `/v1/channels/{channel}/events`
    ChannelEvents(ChannelName),
    /// `/v1/channels/{channel}/streams`
    ChannelStreams(ChannelName),
    /// `/v1/kick`
    Kick,
    /// `/v1/reload`
    Reload,
    /// `/v1/streams`
    Streams,
    /// `/v1/stats`
    Stats,
    /// `/v1/tap`
    Tap,
}

/// What of the paths the file may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where the metrics are. Default `/metrics`.
    pub metrics: String,
    /// Whether `/` answers, and the console may call. Default yes.
    pub here: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            metrics: openapi::METRICS.to_owned(),
            here: true,
        }
    }
}

/// Finds the endpoint; 404 for a path that is none, 405 for a method it does not know, 422 for a bad channel name.
pub(super) fn find(parts: &request::Parts, places: &Places) -> Result<(Endpoint, Verb), Problem> {
    let path = parts.uri.path();
    let nothing = || Problem::not_found("there is nothing at this path".to_owned());
    let endpoint = match path {
        path if path == places.metrics => Endpoint::Metrics,
        openapi::METRICS => return Err(nothing()),
        openapi::HERE if !places.here => return Err(nothing()),
        path => Endpoint::of(path)?,
    };
    let template = endpoint.template();
    let verb = Verb::of(&parts.method);
    if let Some(verb) = verb.filter(|verb| openapi::verbs(template).any(|known| known == *verb)) {
        return Ok((endpoint, verb));
    }
    let allowed = openapi::allowed(template);
    let problem = Problem::method_not_allowed(format!("{path} knows {allowed}"));
    Err(Problem {
        allow: Some(allowed),
        ..problem
    })
}

impl Endpoint {
    fn of(path: &str) -> Result<Self, Problem> {
        Ok(match path {
            openapi::HERE => Self::Here,
            "/publish" | "/publish/" => Self::Items,
            "/recover" | "/recover/" => Self::Recover,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            openapi::METRICS => Self::Metrics,
            "/openapi.json" => Self::Document,
            "/v1/events" => Self::Events,
            "/v1/channels" => Self::Channels,
            "/v1/kick" => Self::Kick,
            "/v1/reload" => Self::Reload,
            "/v1/streams" => Self::Streams,
            "/v1/stats" => Self::Stats,
            "/v1/tap" => Self::Tap,
            _ => {
                let nothing = || Problem::not_found("there is nothing at this path".to_owned());
                let rest = path.strip_prefix("/v1/channels/").ok_or_else(nothing)?;
                Self::of_channel(rest)?
            }
        })
    }

    /// What is below `/v1/channels/`. A name may hold slashes, plain or escaped; the end of the path is looked at before
    /// anything is unescaped, so that `%2Fevents` always belongs to the name.
    fn of_channel(rest: &str) -> Result<Self, Problem> {
        Ok(match rest.rsplit_once('/') {
            Some((name, "events")) => Self::ChannelEvents(channel(name)?),
            Some((name, "streams")) => Self::ChannelStreams(channel(name)?),
            _ => Self::Channel(channel(rest)?),
        })
    }

    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::Here => openapi::HERE,
            Self::Items => "/publish/",
            Self::Recover => "/recover/",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => openapi::METRICS,
            Self::Document => "/openapi.json",
            Self::Events => "/v1/events",
            Self::Channels => "/v1/channels",
            Self::Channel(_) => "/v1/channels/{channel}",
            Self::ChannelEvents(_) => "/v1/channels/{channel}/events",
            Self::ChannelStreams(_) => "/v1/channels/{channel}/streams",
            Self::Kick => "/v1/kick",
            Self::Reload => "/v1/reload",
            Self::Streams => "/v1/streams",
            Self::Stats => "/v1/stats",
            Self::Tap => "/v1/tap",
        }
    }
}

fn channel(name: &str) -> Result<ChannelName, Problem> {
    let refused = |detail: String| Problem::invalid_field(detail).at("/channel".to_owned());
    let name = percent_decode_str(name).decode_utf8();
    let name = name.map_err(|_| refused("the channel name is not UTF-8".to_owned()))?;
    ChannelName::parse(&name).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, StatusCode};

    use super::*;

    fn found(method: Method, path: &str) -> Result<(Endpoint, Verb), StatusCode> {
        let (parts, ()) = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap()
            .into_parts();
        find(&parts, &Places::default()).map_err(|problem| problem.status)
    }

    fn place(path: &str) -> Endpoint {
        Endpoint::of(path).unwrap()
    }

    #[test]
    fn a_channel_in_the_path_may_hold_slashes() {
        let named = |name| ChannelName::parse(name).unwrap();
        for (path, name) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("a%2Fb%3A1", "a/b:1"),
            ("events", "events"),
        ] {
            let below = |rest| place(&format!("/v1/channels/{path}{rest}"));
            assert_eq!(below(""), Endpoint::Channel(named(name)));
            assert_eq!(below("/events"), Endpoint::ChannelEvents(named(name)));
            assert_eq!(below("/streams"), Endpoint::ChannelStreams(named(name)));
        }
    }

    #[test]
    fn an_escaped_slash_belongs_to_the_name_whatever_follows() {
        let named = |name| ChannelName::parse(name).unwrap();
        for (path, found) in [
            ("room%2Fevents", Endpoint::Channel(named("room/events"))),
            ("room%2fstreams", Endpoint::Channel(named("room/streams"))),
            (
                "room%2Fevents/streams",
                Endpoint::ChannelStreams(named("room/events")),
            ),
            (
                "room/events/events",
                Endpoint::ChannelEvents(named("room/events")),
            ),
            ("room/%65vents", Endpoint::Channel(named("room/events"))),
            ("events/streams", Endpoint::ChannelStreams(named("events"))),
        ] {
            assert_eq!(place(&format!("/v1/channels/{path}")), found, "{path}");
        }
    }

    #[test]
    fn wrong_paths_methods_and_names_are_told_apart() {
        for path in ["/v2", "/v1/channel/a", "/v1/kick/", "/v1//events"] {
            assert_eq!(
                found(Method::GET, path),
                Err(StatusCode::NOT_FOUND),
                "{path}"
            );
        }
        for (method, path) in [
            (Method::GET, "/v1/events"),
            (Method::GET, "/v1/channels/a"),
            (Method::POST, "/v1/stats"),
            (Method::DELETE, "/v1/channels/a/events"),
            (Method::PATCH, "/v1/channels/a"),
        ] {
            let refused = found(method, path);
            assert_eq!(refused, Err(StatusCode::METHOD_NOT_ALLOWED), "{path}");
        }
        for name in ["a%20b", "a,b", "%00", "%ff", "", "~42", "%7E42"] {
            for rest in ["", "/events", "/streams"] {
                let refused = found(Method::GET, &format!("/v1/channels/{name}{rest}"));
                assert_eq!(refused, Err(StatusCode::UNPROCESSABLE_ENTITY), "{name}");
            }
        }
    }

    #[test]
    fn the_table_and_the_paths_are_the_same() {
        for operation in &openapi::OPERATIONS {
            let path = operation.path.replace("{channel}", "a");
            assert_eq!(place(&path).template(), operation.path);
        }
        let one = |name| ChannelName::parse(name).unwrap();
        for place in [
            Endpoint::Here,
            Endpoint::Items,
            Endpoint::Recover,
            Endpoint::Health,
            Endpoint::Ready,
            Endpoint::Metrics,
            Endpoint::Document,
            Endpoint::Events,
            Endpoint::Channels,
            Endpoint::Channel(one("a")),
            Endpoint::ChannelEvents(one("a")),
            Endpoint::ChannelStreams(one("a")),
            Endpoint::Kick,
            Endpoint::Reload,
            Endpoint::Streams,
            Endpoint::Stats,
            Endpoint::Tap,
        ] {
            assert!(openapi::verbs(place.template()).count() > 0, "{place:?}");
        }
    }
}
