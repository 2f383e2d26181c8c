//! The internal service: Django publishes here, the operator looks here.
//!
//! `server` calls it for each request on an internal listener. It decides who is there (a bearer token; or, where there
//! are none, a program on this machine or one with a certificate, and of web pages the console alone), finds the endpoint,
//! and turns problems into answers.

mod body;
mod callers;
mod endpoint;
mod grip;
mod page;
mod publish;
pub mod reload;
mod respond;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use hyper::body::Incoming;

use crate::base::handler::Handler;
use crate::base::live::Live;
use crate::base::metrics::{Registry, StatusCounters};
use crate::base::random;
use crate::base::seldom::Seldom;
use crate::console::{Console, NoPage, Wanted, Which};
use crate::domain::{ByteSize, ChannelName, ConnInfo, RequestId};
use crate::publish::{Publisher, gather};
use crate::tokens::keys::Keys;
use crate::tokens::{Grant, Tokens};
use crate::wire::headers;
use crate::wire::kick::{self, Target};
use crate::wire::openapi::{self, Verb};
use crate::wire::parameters::Parameters;
use crate::wire::problem::Problem;

pub use body::Body;
use callers::Browsers;
use endpoint::Endpoint;
pub use endpoint::Places;
use page::Page;
use reload::Reloads;

/// How often the log says that items are refused.
const HINTS: Duration = Duration::from_secs(60);
/// The longest body of a kick.
const LONGEST_KICK: ByteSize = ByteSize::kib(4);
/// The events of a page of history, and the most of them.
const KEPT: usize = 100;
const MOST_KEPT: usize = 1000;
/// The most streams that can be asked for.
const MOST_STREAMS: usize = u32::MAX as usize;

/// Who may call: a reload may change it, and a request goes by what was in force when it came.
#[derive(Debug)]
pub struct Access {
    /// What callers show; if there are none, anybody may call who is on this machine or has a
    /// certificate that the listener asks for, but no web page other than the console.
    pub tokens: Tokens,
    /// What the control endpoint takes in place of a token.
    pub keys: Keys,
}

/// The internal service.
#[derive(Debug)]
pub struct Internal {
    access: Live<Access>,
    places: Places,
    page: Page,
    publisher: Publisher,
    console: Console,
    reloads: Reloads,
    hints: Seldom,
    answered: StatusCounters,
}

impl Internal {
    /// A service for whom `access` lets in.
    pub fn new(
        access: Access,
        places: Places,
        publisher: Publisher,
        console: Console,
        reloads: Reloads,
        registry: &Registry,
    ) -> Self {
        let answered = registry.counter_by(
            "internal_requests",
            "Requests on internal listeners by status",
        );
        Self {
            access: Live::new(access),
            page: Page::new(&places.metrics),
            places,
            publisher,
            console,
            reloads,
            hints: Seldom::every(HINTS),
            answered: StatusCounters::new(&answered),
        }
    }

    /// Lets in whom `access` names, from now on.
    pub fn admit(&self, access: Access) {
        self.access.set(access);
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        conn: &ConnInfo,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let (endpoint, verb) = endpoint::find(&parts, &self.places)?;
        let access = self.access.load();
        let signed = match (&endpoint, verb) {
            (Endpoint::Events | Endpoint::ChannelEvents(_), Verb::Post) => access.signed(&parts)?,
            _ => None,
        };
        let authenticate = || access.authenticate(&parts, conn, self.browsers(&endpoint, verb));
        let scope = access.scope(&endpoint, &parts);
        let grant = match endpoint {
            Endpoint::Here | Endpoint::Health | Endpoint::Ready => None,
            // The body will say who it is.
            _ if signed.is_some() => None,
            // No token, but not for web pages either.
            Endpoint::Metrics if !access.tokens.is_empty() => None,
            _ if scope.is_some() && !access.tokens.is_empty() => None,
            Endpoint::Items => {
                let grant = authenticate();
                self.look_at_key(&access, &parts, scope.as_ref(), grant.is_ok());
                grant?
            }
            _ => authenticate()?,
        };
        let (grant, scope) = (grant.as_ref(), scope.as_ref());
        let (console, places) = (&self.console, &self.places);
        let template = endpoint.template();
        let asked = || Parameters::read(parts.uri.query(), openapi::parameters(verb, template));
        let json = match &endpoint {
            Endpoint::Here => return Ok(respond::here(&self.page, &parts.headers)),
            Endpoint::Items => return self.items(&parts, body, grant, scope).await,
            Endpoint::Recover => return self.recover(&parts.headers, grant, scope),
            Endpoint::Health => return Ok(respond::text("ok\n")),
            Endpoint::Ready if console.is_ready() => return Ok(respond::text("ready\n")),
            Endpoint::Ready => return Ok(respond::not_ready()),
            Endpoint::Metrics => return Ok(respond::metrics(console.metrics(), &parts.headers)),
            Endpoint::Tap => return self.tap(&asked()?, grant),
            Endpoint::Document => {
                asked().map(|_| openapi::document(&places.metrics, places.here))?
            }
            Endpoint::Stats => asked().map(|_| console.stats())?,
            Endpoint::Channels => {
                let pattern = asked()?.patterns("match")?.into_iter().next();
                console.channels(pattern.as_ref(), grant)
            }
            Endpoint::Streams => {
                let which = which(&asked()?)?;
                good_for_all(grant)?;
                console.streams(&which)
            }
            Endpoint::Channel(channel) => {
                asked()?;
                good_for(grant, channel)?;
                console.delete(channel)
            }
            Endpoint::ChannelStreams(channel) => {
                asked()?;
                good_for(grant, channel)?;
                console.presence(channel, grant)
            }
            Endpoint::ChannelEvents(channel) if verb == Verb::Get => {
                self.history(channel, &asked()?, grant)?
            }
            Endpoint::Events | Endpoint::ChannelEvents(_) => {
                asked()?;
                let sender = access.sender(signed, grant.cloned());
                return self.publish(&endpoint, &parts, body, sender).await;
            }
            Endpoint::Reload => {
                asked()?;
                return self.reload(grant).await;
            }
            Endpoint::Kick => {
                asked()?;
                publish::is_json(&parts.headers)?;
                self.kick(&gather(body, LONGEST_KICK).await?, grant)?
            }
        };
        Ok(respond::json(json))
    }

    /// Which browsers may call without a token. What is made to be read may be opened by its address: nothing happens by it, and
    /// no page sees the answer.
    const fn browsers(&self, endpoint: &Endpoint, verb: Verb) -> Browsers {
        Browsers {
            console: self.places.here,
            address_bar: matches!(
                (endpoint, verb),
                (Endpoint::Metrics | Endpoint::Document, Verb::Get)
            ),
        }
    }

    fn tap(
        &self,
        asked: &Parameters<'_>,
        grant: Option<&Grant>,
    ) -> Result<Response<Body>, Problem> {
        let wanted = Wanted {
            channels: asked.patterns("channel")?,
            events: asked.all("event").map(str::to_owned).collect(),
        };
        let tap = self.console.tap(wanted, grant.cloned());
        tap.map(respond::tap)
            .ok_or_else(|| Problem::too_many_requests("too many taps are open".to_owned()))
    }

    fn history(
        &self,
        channel: &ChannelName,
        asked: &Parameters<'_>,
        grant: Option<&Grant>,
    ) -> Result<Bytes, Problem> {
        let after = asked.event_id("after")?;
        let most = asked.count("limit", MOST_KEPT)?.unwrap_or(KEPT);
        good_for(grant, channel)?;
        let page = self.console.history(channel, after.as_ref(), most);
        page.map_err(|error| {
            let problem = match error {
                NoPage::Unknown => Problem::invalid_parameter(error.to_string()),
                NoPage::Dropped => Problem::gone(error.to_string()),
            };
            problem.in_parameter("after".to_owned())
        })
    }

    fn kick(&self, body: &[u8], grant: Option<&Grant>) -> Result<Bytes, Problem> {
        let target = kick::read(body)?;
        match &target {
            Target::Channel(channel) => good_for(grant, channel),
            Target::User(_) | Target::Stream(_) => good_for_all(grant),
        }?;
        Ok(self.console.kick(target))
    }
}

impl Access {
    /// The grant of the token that was shown; `None` where no token is needed.
    fn authenticate(
        &self,
        parts: &request::Parts,
        conn: &ConnInfo,
        browsers: Browsers,
    ) -> Result<Option<Grant>, Problem> {
        if self.tokens.is_empty() {
            return callers::let_in(parts, conn, browsers).map(|()| None);
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

fn which(asked: &Parameters<'_>) -> Result<Which, Problem> {
    Ok(Which {
        user: asked.user("user")?,
        channels: asked.patterns("channel")?,
        route: asked.one("route").map(str::to_owned),
        most: asked.count("limit", MOST_STREAMS)?,
    })
}

/// Whether the token, if one is needed, is good for `channel`.
fn good_for(grant: Option<&Grant>, channel: &ChannelName) -> Result<(), Problem> {
    if grant.is_none_or(|grant| grant.allows(channel)) {
        return Ok(());
    }
    let detail = format!("this token is not good for {channel}");
    Err(Problem::forbidden(detail))
}

/// Whether the token, if one is needed, is good for what concerns no single channel.
fn good_for_all(grant: Option<&Grant>) -> Result<(), Problem> {
    if grant.is_none_or(Grant::allows_all) {
        return Ok(());
    }
    let detail = "this needs a token that is good for all channels".to_owned();
    Err(Problem::forbidden(detail))
}

impl Handler for Internal {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>, conn: Arc<ConnInfo>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        let answer = self.serve(request, &conn).await;
        let response = answer.unwrap_or_else(|problem| {
            let id = RequestId::from_random(random::quick());
            respond::problem(problem, &id, &conn)
        });
        self.answered.count(response.status());
        // A HEAD answer has no body to hold open.
        if head {
            response.map(Body::head_only)
        } else {
            response
        }
    }
}
