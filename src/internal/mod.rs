//! The internal service: Django publishes here, the operator looks here.
//!
//! `server` calls it for each request on an internal listener. It decides who is there (a bearer token; or, where there
//! are none, a program on this machine and no web page), finds the endpoint, and turns problems into answers.

mod body;
mod endpoint;
mod publish;
mod respond;

use std::sync::Arc;

use http::header::{HOST, ORIGIN};
use http::{Method, Request, Response, request};
use hyper::body::Incoming;

use crate::base::handler::Handler;
use crate::base::metrics::{CounterBy, Registry, status_class};
use crate::base::random;
use crate::console::Console;
use crate::domain::{ChannelPattern, ConnInfo, Peer, RequestId};
use crate::publish::Publisher;
use crate::tokens::{Grant, Tokens};
use crate::wire::problem::Problem;
use crate::wire::{headers, host, query};

pub use body::Body;
use endpoint::Endpoint;

/// The internal service.
#[derive(Debug)]
pub struct Internal {
    tokens: Tokens,
    publisher: Publisher,
    console: Console,
    answered: CounterBy,
}

impl Internal {
    /// A service whose callers show one of `tokens`; if there are none, anybody on this machine may call, but no web
    /// page.
    pub fn new(
        tokens: Tokens,
        publisher: Publisher,
        console: Console,
        registry: &Registry,
    ) -> Self {
        let answered = registry.counter_by(
            "internal_requests",
            "Requests on internal listeners by status",
        );
        Self {
            tokens,
            publisher,
            console,
            answered,
        }
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        conn: &ConnInfo,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let endpoint = endpoint::find(&parts)?;
        let signed = self.signed(&endpoint, &parts)?;
        let grant = match endpoint {
            Endpoint::Health | Endpoint::Ready => None,
            // The body will say who it is.
            _ if signed.is_some() => None,
            // No token, but not for web pages either.
            Endpoint::Metrics if !self.tokens.is_empty() => None,
            _ => self.authenticate(&parts, conn)?,
        };
        let grant = grant.as_ref();
        match endpoint {
            Endpoint::Health => Ok(respond::text("ok\n")),
            Endpoint::Ready if self.console.is_ready() => Ok(respond::text("ready\n")),
            Endpoint::Ready => Ok(respond::not_ready()),
            Endpoint::Metrics => Ok(respond::metrics(self.console.metrics(), &parts.headers)),
            Endpoint::Events | Endpoint::ChannelEvents(_) => {
                let sender = self.sender(signed, grant.cloned());
                self.publish(endpoint, &parts, body, sender).await
            }
            Endpoint::Channels => {
                let pattern = query::first(parts.uri.query(), &["match"]);
                let pattern = pattern.map(|text| pattern_of(&text, "match")).transpose()?;
                Ok(respond::json(
                    self.console.channels(pattern.as_ref(), grant),
                ))
            }
            Endpoint::Stats => Ok(respond::json(self.console.stats())),
            Endpoint::Tap => {
                let pairs = query::pairs(parts.uri.query().unwrap_or_default());
                let wanted = pairs.filter(|(name, _)| name == "channel");
                let patterns = wanted
                    .map(|(_, text)| pattern_of(&text, "channel"))
                    .collect::<Result<_, _>>()?;
                let tap = self.console.tap(patterns, grant.cloned());
                tap.map(respond::tap)
                    .ok_or_else(|| Problem::too_many_requests("too many taps are open".to_owned()))
            }
        }
    }

    /// The grant of the token that was shown; `None` where no token is needed.
    fn authenticate(
        &self,
        parts: &request::Parts,
        conn: &ConnInfo,
    ) -> Result<Option<Grant>, Problem> {
        if self.tokens.is_empty() {
            return no_web_page(parts, conn).map(|()| None);
        }
        let Some(shown) = headers::bearer(&parts.headers) else {
            return Err(Problem::unauthorized(
                "a bearer token is required".to_owned(),
            ));
        };
        let grant = self.tokens.verify(shown);
        grant
            .map(Some)
            .ok_or_else(|| Problem::unauthorized("the bearer token is not known here".to_owned()))
    }
}

/// Without tokens a browser must not be able to call: not from a page of any site (those send `Origin` or
/// `Sec-Fetch-Site`), nor by a name that somebody made point to this machine.
fn no_web_page(parts: &request::Parts, conn: &ConnInfo) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::forbidden(detail.to_owned()));
    if parts.headers.contains_key(ORIGIN) || parts.headers.contains_key("sec-fetch-site") {
        return refuse(
            "a web page may not call the internal listener; set [publish] tokens to allow it",
        );
    }
    // A browser cannot reach a unix socket, and programs put any name there.
    if conn.peer == Peer::Unix && parts.headers.get_all(HOST).iter().count() <= 1 {
        return Ok(());
    }
    match host::of_request(parts) {
        Ok((host, _)) if host::is_loopback(&host) => Ok(()),
        _ => {
            refuse("without [publish] tokens the internal listener answers only to a loopback Host")
        }
    }
}

fn pattern_of(text: &str, parameter: &str) -> Result<ChannelPattern, Problem> {
    ChannelPattern::parse(text).map_err(|error| {
        Problem::invalid_parameter(error.to_string()).in_parameter(parameter.to_owned())
    })
}

impl Handler for Internal {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>, conn: Arc<ConnInfo>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        let id = RequestId::from_random(random::quick());
        let answer = self.serve(request, &conn).await;
        let response = answer.unwrap_or_else(|problem| respond::problem(problem, &id, &conn));
        self.answered
            .get_or_create(&[("status", status_class(response.status()))])
            .inc();
        // A HEAD answer has no body to hold open.
        if head {
            response.map(Body::head_only)
        } else {
            response
        }
    }
}
