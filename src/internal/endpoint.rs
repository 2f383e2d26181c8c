//! The endpoints of the internal listener: path and method to what is meant.

use http::{Method, request};
use percent_encoding::percent_decode_str;

use crate::domain::ChannelName;
use crate::wire::problem::Problem;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `POST /v1/events`
    Events,
    /// `POST /v1/channels/{channel}/events`
    ChannelEvents(ChannelName),
    /// `GET /v1/channels`
    Channels,
    /// `GET /v1/stats`
    Stats,
    /// `GET /v1/tap`
    Tap,
}

/// Finds the endpoint; 404 for a path that is none, 405 for a method it does not know, 422 for a bad channel name.
pub(super) fn find(parts: &request::Parts) -> Result<Endpoint, Problem> {
    let path = parts.uri.path();
    let (endpoint, post) = match path {
        "/healthz" => (Endpoint::Health, false),
        "/readyz" => (Endpoint::Ready, false),
        "/metrics" => (Endpoint::Metrics, false),
        "/v1/events" => (Endpoint::Events, true),
        "/v1/channels" => (Endpoint::Channels, false),
        "/v1/stats" => (Endpoint::Stats, false),
        "/v1/tap" => (Endpoint::Tap, false),
        _ => (Endpoint::ChannelEvents(channel(path)?), true),
    };
    let fits = if post {
        parts.method == Method::POST
    } else {
        matches!(parts.method, Method::GET | Method::HEAD)
    };
    if fits {
        return Ok(endpoint);
    }
    let allowed = if post { "POST" } else { "GET, HEAD" };
    let problem = Problem::method_not_allowed(format!("{path} knows {allowed}"));
    Err(Problem {
        allow: Some(allowed),
        ..problem
    })
}

/// The channel of `/v1/channels/{channel}/events`. A name may hold slashes, plain or escaped.
fn channel(path: &str) -> Result<ChannelName, Problem> {
    let name = path
        .strip_prefix("/v1/channels/")
        .and_then(|rest| rest.strip_suffix("/events"));
    let name =
        name.ok_or_else(|| Problem::not_found("there is nothing at this path".to_owned()))?;
    let refused = |detail: String| Problem::invalid_field(detail).at("/channel".to_owned());
    let name = percent_decode_str(name).decode_utf8();
    let name = name.map_err(|_| refused("the channel name is not UTF-8".to_owned()))?;
    ChannelName::parse(&name).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;

    fn found(method: Method, path: &str) -> Result<Endpoint, StatusCode> {
        let (parts, ()) = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap()
            .into_parts();
        find(&parts).map_err(|problem| problem.status)
    }

    #[test]
    fn a_channel_in_the_path_may_hold_slashes() {
        let named = |path| match found(Method::POST, path) {
            Ok(Endpoint::ChannelEvents(name)) => name.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(named("/v1/channels/a/events"), "a");
        assert_eq!(named("/v1/channels/a/b/events"), "a/b");
        assert_eq!(named("/v1/channels/a%2Fb%3A1/events"), "a/b:1");
        assert_eq!(named("/v1/channels/events/events"), "events");
    }

    #[test]
    fn wrong_paths_methods_and_names_are_told_apart() {
        assert_eq!(found(Method::GET, "/v2"), Err(StatusCode::NOT_FOUND));
        assert_eq!(
            found(Method::GET, "/v1/channels/a"),
            Err(StatusCode::NOT_FOUND)
        );
        assert_eq!(
            found(Method::GET, "/v1/events"),
            Err(StatusCode::METHOD_NOT_ALLOWED)
        );
        assert_eq!(
            found(Method::POST, "/v1/stats"),
            Err(StatusCode::METHOD_NOT_ALLOWED)
        );
        for name in ["a%20b", "a,b", "%00", "%ff", ""] {
            let path = format!("/v1/channels/{name}/events");
            assert_eq!(
                found(Method::POST, &path),
                Err(StatusCode::UNPROCESSABLE_ENTITY),
                "{name}"
            );
        }
    }
}
